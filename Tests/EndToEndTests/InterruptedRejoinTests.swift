import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// `pgark rejoin`, killed.
@Suite("A rejoin that is killed", .serialized)
struct InterruptedRejoinTests {
    private static let data = "/var/lib/postgresql/data"

    private static func text(_ hosts: TestHosts) -> String {
        """
        cluster: lab
        postgres: { version: \(hosts.programs.version.major), bin: \(hosts.programs.directory), parameters: { shared_buffers: 32MB } }
        nodes:
          node1: { host: 192.168.20.228, data: \(data) }
          node2: { host: 192.168.20.229, data: \(data) }
        repository: { host: 192.168.20.230, path: /var/lib/pgark }
        """
    }

    /// A cluster that is forked again and again: its standby is promoted, and both take a row that the other has not.
    private struct Forks {
        let hosts: TestHosts
        var primary = "node1"
        var standby = "node2"
        var number = 0

        func sql(_ node: String, _ statement: String) throws -> String {
            try hosts[node].sql(statement, hosts.programs, sockets: "/var/lib/postgresql")
        }

        /// The former primary is `standby` then.
        mutating func fork() throws {
            number += 1
            let position = try sql(primary, "SELECT pg_current_wal_lsn()")
            try eventually("the standby has it") { try sql(standby, "SELECT pg_last_wal_replay_lsn() >= '\(position)'") == "t" }
            _ = try sql(standby, "SELECT pg_promote()")
            for node in [primary, standby] { _ = try sql(node, "INSERT INTO public.writes VALUES (\(number), '\(node)')") }
            swap(&primary, &standby)
        }

        /// What is nowhere else has to be somewhere until the node streams: in its data directory or beside it.
        func keepsWhatOnlyItHad() throws -> Bool {
            let place = FilePath(InterruptedRejoinTests.data).lastComponent!.string
            let names = try hosts[standby].run("ls /var/lib/postgresql").split(whereSeparator: \.isNewline).map(String.init)
            return names.contains(place) || names.contains { $0.hasPrefix("\(place).before-pgark") }
        }
    }

    @Test("before and after each of its steps leaves what apply or another rejoin goes on from, and loses nothing")
    func everyStep() throws {
        try TestHosts.with(["node1", "node2", "repo"], major: TestMachine.newest) { hosts in
            try hosts.write(Self.text(hosts))
            try hosts.json(0, "apply", "--yes")
            var forks = Forks(hosts: hosts)
            _ = try forks.sql("node1", "CREATE TABLE public.writes (number int, node text)")
            var line = 0, hasEnded = false
            repeat {
                line += 1
                try forks.fork()
                let node = forks.standby, primary = forks.primary
                hasEnded = try hosts.run("rejoin", node, "--yes", killedAtLine: line)
                try #expect(forks.keepsWhatOnlyItHad(), "killed at line \(line)")
                // What a killed rejoin has begun an apply ends; where it had not, the fork is left alone.
                _ = try hosts.pgark("apply", "--yes")
                if let fork = try hosts.json(0, "plan").blocked_by.array.first {
                    #expect(fork.reason.string?.contains("forked") == true, "killed at line \(line): \(fork)")
                    let own = "number = \(forks.number) AND node = '\(node)'"
                    try #expect(
                        forks.sql(node, "SELECT count(*) FROM public.writes WHERE \(own)") == "1", "killed at line \(line)")
                    try hosts.json(0, "rejoin", node, "--yes")
                }
                try eventually("\(node) has what \(primary) has, after a kill at line \(line)") {
                    try forks.sql(node, "SELECT string_agg(node, ',') FROM public.writes WHERE number = \(forks.number)")
                        == primary
                }
                try hosts.json(0, "plan", "--detailed-exitcode")
            } while !hasEnded
            #expect(line > 4, "\(line) lines")
        }
    }

    @Test(
        "together with what it had started on the host is gone on with by apply", arguments: ["--yes", "--in-place", "--reseed"])
    func within(how: String) throws {
        try TestHosts.with(["node1", "node2", "repo"], major: TestMachine.newest) { hosts in
            try hosts.write(Self.text(hosts))
            try hosts.json(0, "apply", "--yes")
            var forks = Forks(hosts: hosts)
            _ = try forks.sql(
                "node1", "CREATE TABLE public.writes AS SELECT n number, repeat('x', 500) node FROM generate_series(1, 300000) n")
            try forks.fork()
            let program = how == "--reseed" ? "pg_basebackup" : "pg_rewind|cp"
            let process = try hosts.start(["rejoin", "node1", "--yes"] + (how == "--yes" ? [] : [how]), log: "rejoin.log")
            try eventually("\(program) runs") { try hosts["node1"].command(["pgrep", "-x", program]).outcome().succeeded }
            try hosts.control.run("pkill -KILL -x pgark")
            _ = try hosts["node1"].command(["pkill", "-KILL", "-f", "on-host|pg_rewind|pg_basebackup|^/bin/cp"]).outcome()
            process.kill()
            if how != "--in-place" { try #expect(forks.keepsWhatOnlyItHad()) }
            _ = try hosts.pgark("apply", "--yes")
            if try !hosts.json(0, "plan").blocked_by.array.isEmpty { try hosts.json(0, "rejoin", "node1", "--yes") }
            try eventually("node1 follows") {
                try forks.sql("node1", "SELECT count(*) FROM public.writes WHERE number = 1") == "2"
            }
            try eventually("nothing is left to do") { try hosts.pgark("plan", "--detailed-exitcode").status == .exited(0) }
        }
    }

    @Test("of a data directory behind a link, and one whose WAL is behind a link, keeps what it had as well")
    func links() throws {
        try TestHosts.with(["node1", "node2", "repo"], major: TestMachine.newest) { hosts in
            try hosts.write(Self.text(hosts))
            try hosts.json(0, "apply", "--yes")
            let home = "/var/lib/postgresql", disk = "/var/lib/postgresql/disk"
            func move(_ node: String, _ place: String) throws {
                try hosts[node].run("kill -INT $(head -1 \(Self.data)/postmaster.pid)")
                try eventually("it has stopped") {
                    try hosts[node].command(["test", "-e", "\(Self.data)/postmaster.pid"]).outcome().succeeded == false
                }
                try hosts[node].run(
                    "mkdir -p \(disk); mv \(home)/\(place) \(disk)/moved; ln -s \(disk)/moved \(home)/\(place); chown -R postgres \(disk)"
                )
            }
            try move("node1", "data")
            try hosts.json(0, "apply", "--yes")
            try move("node2", "data/pg_wal")
            try hosts.json(0, "apply", "--yes")
            var forks = Forks(hosts: hosts)
            _ = try forks.sql("node1", "CREATE TABLE public.writes (number int, node text)")
            for (node, kept) in [("node1", "\(disk)/moved.before-pgark"), ("node2", "\(Self.data).before-pgark")] {
                try forks.fork()
                #expect(forks.standby == node)
                let wal = try hosts[node].run("sha256sum \(node == "node1" ? "\(disk)/moved/pg_wal" : "\(disk)/moved")/0* | sort")
                try hosts.json(0, "rejoin", node, "--yes")
                try eventually("\(node) follows") { try forks.sql(node, "SELECT pg_is_in_recovery()") == "t" }
                try hosts[node].run("test -h \(home)/data -o \(node) = node2; test -d \(kept) -a ! -h \(kept)")
                let after = try hosts[node].run("cd \(kept)/pg_wal/ && sha256sum 0*").split(whereSeparator: \.isNewline)
                // The segments that were finished then are those that are there now.
                let before = Set(wal.split(whereSeparator: \.isNewline).map { $0.prefix(64) })
                #expect(after.count { before.contains($0.prefix(64)) } >= before.count - 1, "\(wal)\n\(after)")
                try hosts.json(0, "plan", "--detailed-exitcode")
            }
        }
    }
}
