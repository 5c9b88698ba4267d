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
}
