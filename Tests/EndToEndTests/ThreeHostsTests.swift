import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Three machines, from nothing to a cluster that keeps itself so, with one file.
@Suite("Three hosts", .serialized)
struct ThreeHostsTests {
    /// With PostgreSQL of packages where that is what the machine has, else with its programs named.
    private static func text(_ hosts: TestHosts, _ more: String = "") -> String {
        let isPackaged = hosts.programs.directory.string.hasPrefix("/usr/lib/postgresql/")
        let data = isPackaged ? "" : ", data: /var/lib/postgresql/data"
        return """
            cluster: lab
            postgres:
              version: \(hosts.programs.version.major)
              \(isPackaged ? "" : "bin: \(hosts.programs.directory)")
              parameters: { shared_buffers: 64MB, max_connections: 50 }
            nodes:
              node1: { host: 192.168.20.228\(data) }
              node2: { host: 192.168.20.229\(data) }
            replication: { slots: { keep: 1GB } }
            repository: { host: 192.168.20.230, path: /var/lib/pgark }
            \(more)
            """
    }

    private static func sockets(_ hosts: TestHosts) -> String {
        hosts.programs.directory.string.hasPrefix("/usr/lib/postgresql/") ? "/var/run/postgresql" : "/var/lib/postgresql"
    }

    @Test(
        "become a streaming cluster by one apply, and another changes nothing",
        arguments: [15, 18].filter(TestMachine.majors.contains))
    func fromNothing(major: Int) throws {
        try TestHosts.with(["node1", "node2", "repo"], major: major) { hosts in
            try hosts.write(Self.text(hosts))
            let plan = try hosts.json(4, "plan", "--detailed-exitcode")
            #expect(plan.changes.array.count > 10 && plan.blocked_by.array.isEmpty && plan.data_loss_possible.bool == false)
            let applied = try hosts.json(0, "apply", "--yes")
            #expect(applied.failed.array.isEmpty && applied.skipped.int == 0)

            func sql(_ node: String, _ statement: String) throws -> String {
                try hosts[node].sql(statement, hosts.programs, sockets: Self.sockets(hosts))
            }
            try #expect(
                sql(
                    "node1",
                    "SELECT slot_name FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid ORDER BY 1")
                    == "node2\npgark")
            try #expect(sql("node2", "SELECT slot_name FROM pg_stat_wal_receiver") == "node2")
            try #expect(sql("node1", "SHOW max_connections") == "50")
            try #expect(sql("node1", "SHOW data_checksums") == "on")
            try #expect(sql("node1", "SELECT rolsuper FROM pg_roles WHERE rolname LIKE 'pgark%' GROUP BY 1") == "f")

            let started =
                try sql("node1", "SELECT pg_postmaster_start_time()") + sql("node2", "SELECT pg_postmaster_start_time()")
            let again = try hosts.pgark("apply", "--yes")
            #expect(again.status == .exited(0) && again.errors.contains("nothing to do"), "\(again.text)")
            #expect(again.seconds < 3)
            try #expect(
                sql("node1", "SELECT pg_postmaster_start_time()") + sql("node2", "SELECT pg_postmaster_start_time()") == started)
            try hosts.json(0, "plan", "--detailed-exitcode")
        }
    }

    @Test("get PostgreSQL from their package sources, in the same apply", arguments: [15].filter(TestMachine.majors.contains))
    func packages(major: Int) throws {
        try TestHosts.with(["node1", "node2", "repo"], major: major, bare: ["node1", "node2", "repo"]) { hosts in
            let text = Self.text(hosts).replacing("version: \(major)", with: "version: \(major)\n  packages: apt")
            try hosts.write(text.replacing("\n  packages: apt", with: ""))
            let without = try hosts.pgark("plan")
            #expect(without.text.contains("no PostgreSQL is installed there") && without.text.contains("packages: apt"))
            #expect(without.text.contains("repository: libpq is not there"), "\(without.text)")
            try hosts.write(text)
            let applied = try hosts.json(0, "apply", "--yes")
            #expect(applied.plan.changes.array.count { $0.object.string == "PostgreSQL \(major)" } == 2)
            #expect(applied.plan.changes.array.contains { $0.node.string == "repository" && $0.object.string == "libpq" })
            for node in ["node1", "node2"] {
                try #expect(hosts[node].sql("SHOW data_checksums", hosts.programs, sockets: Self.sockets(hosts)) == "on")
            }
            try #expect(
                hosts["node2"].sql("SELECT slot_name FROM pg_stat_wal_receiver", hosts.programs, sockets: Self.sockets(hosts))
                    == "node2")
            try hosts.json(0, "plan", "--detailed-exitcode")
        }
    }

    @Test("are backed up, lose a table, get it back on every node, and are joined by a fourth, which comes from the repository")
    func restoresAndGrows() throws {
        try TestHosts.with(["node1", "node2", "repo", "node3"], major: TestMachine.newest) { hosts in
            try hosts.write(Self.text(hosts))
            try hosts.json(0, "apply", "--yes")
            func sql(_ node: String, _ statement: String) throws -> String {
                try hosts[node].sql(statement, hosts.programs, sockets: Self.sockets(hosts))
            }
            func rows(_ node: String) -> String? { try? sql(node, "SELECT count(*) FROM public.orders") }
            _ = try sql("node1", "CREATE TABLE public.orders AS SELECT generate_series(1, 1000) n")
            // Commands of the repository go on where that is.
            let backup = try hosts.json(0, "backup")
            #expect(backup.status.string == "done" && backup.node.string == "node1")
            #expect(try hosts.json(0, "list").backups.array.count == 1)
            _ = try sql("node1", "INSERT INTO public.orders SELECT generate_series(1001, 1500)")
            let moment = try sql(
                "node1", "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'")
            _ = try sql("node1", "DROP TABLE public.orders")
            let end = try sql("node1", "SELECT pg_current_wal_lsn()")
            try eventually("the repository has it") {
                try hosts.json(0, "wal", "status").durable_lsn.string.flatMap { LSN($0) }.map { $0 >= LSN(end)! } ?? false
            }

            let restored = try hosts.json(0, "restore", "--node", "node1", "--target-time", moment, "--yes")
            #expect(restored.reseeded.array.map(\.string) == ["node2"])
            #expect(rows("node1") == "1500")
            try eventually("node2 has it too") { rows("node2") == "1500" }
            try #expect(sql("node1", "SELECT pg_is_in_recovery()") == "f" && sql("node2", "SELECT pg_is_in_recovery()") == "t")
            #expect(try hosts["node1"].run("ls /var/lib/postgresql").contains("data.before-pgark"))
            // The receiver has gone on by itself, onto the new timeline.
            _ = try sql("node1", "INSERT INTO public.orders VALUES (0)")
            let position = try sql("node1", "SELECT pg_current_wal_lsn()")
            try eventually("the repository has the new timeline") {
                let status = try hosts.json(0, "wal", "status")
                return status.durable_lsn.string.flatMap { LSN($0) }.map { $0 >= LSN(position)! } == true
                    && status.timelines.array.last?.timeline.int == 2
            }
            let after = try hosts.json(0, "plan", "--detailed-exitcode")
            #expect(after.blocked_by.array.isEmpty, "\(after)")

            // It was the wrong moment: once more from the first timeline, and the number of the second is not taken again.
            try hosts.json(
                0, "restore", "--node", "node1", "--target-time", moment, "--target-timeline", "1", "--yes")
            try eventually("node2 has that") { rows("node2") == "1500" }
            _ = try sql("node1", "INSERT INTO public.orders VALUES (0)")
            let second = try sql("node1", "SELECT pg_current_wal_lsn()")
            try eventually("the repository has the third timeline") {
                let status = try hosts.json(0, "wal", "status")
                return status.durable_lsn.string.flatMap { LSN($0) }.map { $0 >= LSN(second)! } == true
                    && status.timelines.array.last?.timeline.int == 3
            }
            let missing = try hosts.pgark("restore", "--node", "node1", "--target-action", "pause", "--yes")
            #expect(missing.status == .exited(64) && rows("node1") == "1501")

            let plan = try hosts.json(
                0, "standby", "add", "node3", "--host", "192.168.20.231", "--data", "/var/lib/postgresql/data", "--yes")
            #expect(
                plan.changes.array.contains { $0.node.string == "node3" && $0.to.string?.contains("from backup") == true },
                "\(plan)")
            try eventually("node3 has it too") { rows("node3") == "1501" }
            #expect(try sql("node3", "SELECT slot_name FROM pg_stat_wal_receiver") == "node3")
            try hosts.json(0, "plan", "--detailed-exitcode")

            // And leaves again.
            try hosts.json(0, "standby", "remove", "node3", "--yes")
            for node in ["node1", "node2"] {
                try #expect(sql(node, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'node3'") == "0")
            }
            #expect(try hosts["node3"].run("ls /var/lib/postgresql; pgrep -c postgres || true").contains("data.before-pgark"))
            #expect(throws: (any Error).self) { try sql("node3", "SELECT 1") }
            try hosts.json(0, "plan", "--detailed-exitcode")
        }
    }

    @Test(
        "whose standby was promoted by somebody have a fork, which is said and left alone until a rejoin",
        arguments: [15, 18].filter(TestMachine.majors.contains))
    func rejoins(major: Int) throws {
        try TestHosts.with(["node1", "node2", "repo"], major: major) { hosts in
            let isPackaged = hosts.programs.directory.string.hasPrefix("/usr/lib/postgresql/")
            let data = isPackaged ? "/var/lib/postgresql/15/main" : "/var/lib/postgresql/data"
            let configuration = isPackaged ? "/etc/postgresql/15/main" : data
            try hosts.write(Self.text(hosts))
            try hosts.json(0, "apply", "--yes")
            func sql(_ node: String, _ statement: String) throws -> String {
                try hosts[node].sql(statement, hosts.programs, sockets: Self.sockets(hosts))
            }
            _ = try sql("node1", "CREATE TABLE public.orders AS SELECT generate_series(1, 10) n")
            let position = try sql("node1", "SELECT pg_current_wal_lsn()")
            try eventually("node2 has it") { try sql("node2", "SELECT pg_last_wal_replay_lsn() >= '\(position)'") == "t" }
            _ = try sql("node2", "SELECT pg_promote()")
            _ = try sql("node2", "INSERT INTO public.orders VALUES (2)")
            _ = try sql("node1", "INSERT INTO public.orders VALUES (1)")

            try hosts["node1"].run("echo work_mem = 6MB >> \(configuration)/postgresql.conf")
            let plan = try hosts.json(0, "plan")
            let blocked = plan.blocked_by.array
            #expect(blocked.map(\.node.string) == ["node1", "node2"], "\(plan)")
            #expect(blocked.allSatisfy { $0.reason.string?.contains("forked") == true })
            #expect(!plan.changes.array.contains { $0.node.string != "repository" }, "\(plan)")
            try hosts.json(3, "plan", "--detailed-exitcode")
            try #expect(hosts.pgark("apply", "--yes").status == .exited(3))
            try #expect(sql("node1", "SELECT count(*) FROM public.orders WHERE n = 1") == "2", "nothing was taken from it")

            let rejoined = try hosts.pgark("rejoin", "node1", "--yes", "--json")
            let changes = try JSON(parsing: rejoined.output).changes.array
            // Where the WAL since the fork is no longer there, it is made anew.
            #expect(
                changes.contains { $0.to.string?.contains("rewound") == true }
                    || rejoined.errors.contains("could not be rewound"),
                "\(rejoined.text)")
            try eventually("node1 follows") { try sql("node1", "SELECT pg_is_in_recovery()") == "t" }
            try eventually("it has what node2 has") { try sql("node1", "SELECT count(*) FROM public.orders") == "11" }
            try #expect(sql("node1", "SELECT count(*) FROM public.orders WHERE n = 1") == "1")
            if isPackaged || changes.contains(where: { $0.to.string?.contains("rewound") == true }) {
                try #expect(sql("node1", "SHOW work_mem") == "6MB", "its own postgresql.conf")
            }
            try hosts["node1"].run("test -e \(data).before-pgark/PG_VERSION")
            try eventually("nothing is left to do") { try hosts.pgark("plan", "--detailed-exitcode").status == .exited(0) }

            // The other way round, after a crash, and without keeping anything.
            _ = try sql("node1", "SELECT pg_promote()")
            _ = try sql("node2", "INSERT INTO public.orders SELECT generate_series(100, 200); CHECKPOINT")
            try hosts["node2"].run("kill -QUIT $(head -1 \(data)/postmaster.pid)")
            _ = try sql("node1", "INSERT INTO public.orders VALUES (3)")
            try eventually("node2 has crashed, and is left alone") {
                let blocked = try hosts.json(0, "plan").blocked_by.array
                return blocked.contains { $0.node.string == "node2" && $0.hint.string?.contains("pgark rejoin node2") == true }
            }
            try hosts.json(0, "rejoin", "node2", "--in-place", "--yes")
            try eventually("it has what node1 has") { try sql("node2", "SELECT count(*) FROM public.orders") == "12" }
            try hosts["node2"].run("! test -e \(data).before-pgark")
            try #expect(sql("node2", "SELECT slot_name FROM pg_stat_wal_receiver") == "node2")
        }
    }
}
