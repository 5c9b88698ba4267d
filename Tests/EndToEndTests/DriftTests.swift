import Glibc
import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Somebody works on the hosts by hand.
@Suite("What was changed by hand on the hosts", .serialized)
struct DriftTests {
    private static func text(_ hosts: TestHosts, connections: Int = 50) -> String {
        """
        cluster: lab
        postgres:
          version: \(hosts.programs.version.major)
          bin: \(hosts.programs.directory)
          parameters: { shared_buffers: 32MB, max_connections: \(connections), log_statement: all }
        nodes:
          node1: { host: 192.168.20.228, data: /var/lib/postgresql/data }
          node2: { host: 192.168.20.229, data: /var/lib/postgresql/data }
        repository: { host: 192.168.20.230, path: /var/lib/pgark }
        """
    }

    @Test("is shown by plan and undone by apply, and what is not pgark's stays")
    func undone() throws {
        try TestHosts.with(["node1", "node2", "repo"], major: TestMachine.newest) { hosts in
            try hosts.write(Self.text(hosts))
            try hosts.json(0, "apply", "--yes")
            func sql(_ node: String, _ statement: String) throws -> String {
                try hosts[node].sql(statement, hosts.programs, sockets: "/var/lib/postgresql")
            }
            let hba = "/var/lib/postgresql/data/pg_hba.conf"

            _ = try sql("node1", "ALTER SYSTEM SET max_connections = 77")
            _ = try sql("node1", "ALTER SYSTEM SET work_mem = '7MB'")
            _ = try sql("node1", "ALTER ROLE pgark PASSWORD 'other'")
            _ = try sql("node1", "CREATE ROLE barman LOGIN REPLICATION SUPERUSER")
            _ = try sql("node1", "SELECT pg_create_physical_replication_slot('barman', true)")
            try hosts["node1"].run("sed -i '/pgark_standby/d' \(hba); echo 'host all app 10.0.0.0/8 scram-sha-256' >> \(hba)")
            try eventually("the slot is dropped") {
                (try? sql(
                    "node1",
                    """
                    SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'node2';
                    SELECT pg_drop_replication_slot('node2')
                    """)) != nil
            }
            let plan = try hosts.json(4, "plan", "--detailed-exitcode")
            let objects = plan.changes.array.compactMap(\.object.string)
            for wanted in ["setting max_connections", "line of pg_hba.conf", "slot node2", "role pgark"] {
                #expect(objects.contains(wanted), "\(objects)")
            }
            #expect(plan.remarks.array.compactMap(\.string).count { $0.contains("barman") } == 2, "\(plan.remarks)")
            try hosts.json(0, "apply", "--yes")
            try hosts.json(0, "plan", "--detailed-exitcode")
            try #expect(sql("node1", "SELECT slot_name FROM pg_replication_slots WHERE active ORDER BY 1") == "node2\npgark")
            try #expect(sql("node1", "SHOW work_mem") == "7MB")
            #expect(try hosts["node1"].run("tail -1 \(hba)").contains("host all app"))
            // The repository's role has its password again.
            _ = try sql("node1", "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'pgark'")
            try eventually("the receiver is back") {
                try sql("node1", "SELECT active FROM pg_replication_slots WHERE slot_name = 'pgark'") == "t"
            }
        }
    }

    @Test("and a value in the cluster file that PostgreSQL does not take is found before any server has it")
    func wrongValue() throws {
        try TestHosts.with(["node1", "repo"], major: TestMachine.newest) { hosts in
            let text = Self.text(hosts).replacing("  node2: { host: 192.168.20.229, data: /var/lib/postgresql/data }\n", with: "")
                .replacing("192.168.20.230", with: hosts["repo"].address)
            try hosts.write(text)
            try hosts.json(0, "apply", "--yes")
            func sql(_ statement: String) throws -> String {
                try hosts["node1"].sql(statement, hosts.programs, sockets: "/var/lib/postgresql")
            }
            let started = try sql("SELECT pg_postmaster_start_time()")
            for (wrong, reason) in [
                ("wal_buffers: 4Mx, ", "pgark.conf, line"), ("work_mem: 1 MBs, ", "work_mem: "),
                ("wörk_mem: 1MB, ", "postgres.parameters"),
                ("shared_bufers: 1MB, ", "shared_bufers"),
            ] {
                try hosts.write(text.replacing("log_statement: all", with: "\(wrong)log_statement: all"))
                let failed = try hosts.pgark("apply", "--yes")
                #expect(failed.status != .exited(0) && failed.text.contains(reason), "\(wrong): \(failed.text)")
                let again = try hosts.pgark("plan", "--detailed-exitcode")
                #expect(again.status != .exited(0) && again.text.contains(reason), "\(wrong): \(again.text)")
            }
            try hosts.write(
                text.replacing("  parameters:", with: "  hba: [ host all app 10.0.0.0/8 scram-sha256 ]\n  parameters:"))
            let failed = try hosts.pgark("apply", "--yes")
            #expect(failed.status == .exited(1) && failed.text.contains("pg_hba.conf, line"), "\(failed.text)")
            try hosts.write(text)
            try hosts.json(0, "apply", "--yes")
            try hosts.json(0, "plan", "--detailed-exitcode")
            try #expect(sql("SELECT pg_postmaster_start_time()") == started)
        }
    }

    @Test("while somebody thinks about a plan ends that plan: nothing of it is done")
    func moved() throws {
        try TestHosts.with(["node1", "repo"], major: TestMachine.newest) { hosts in
            let text = Self.text(hosts).replacing("  node2: { host: 192.168.20.229, data: /var/lib/postgresql/data }\n", with: "")
                .replacing("192.168.20.230", with: hosts["repo"].address)
            try hosts.write(text)
            try hosts.json(0, "apply", "--yes")
            func sql(_ statement: String) throws -> String {
                try hosts["node1"].sql(statement, hosts.programs, sockets: "/var/lib/postgresql")
            }
            try hosts.write(text.replacing("log_statement: all", with: "log_statement: ddl"))
            let pgark = "env PGARK_CONFIG=\(hosts.configuration) \(try TestMachine.pgark())"
            let place = hosts.directory.appending("answer")
            for isMoved in [true, false] {
                let script = """
                    (while ! test -e \(place); do sleep 0.1; done; echo y; sleep 5) |
                    script --quiet --flush --return --command '\(pgark) apply' \(place).typescript
                    """
                let log = FilePath("\(place).typescript")
                try Directory.remove(place)
                try Directory.remove(log)
                let asking = try hosts.control.command(["/bin/sh", "-c", script]).launch(
                    log: hosts.directory.appending("apply.log"))
                try eventually("it asks") { try SmallFile.readText(log)?.contains("Do this?") == true }
                if isMoved {
                    _ = try sql("ALTER SYSTEM SET log_statement = 'none'")
                    _ = try sql("SELECT pg_reload_conf()")
                }
                try SmallFile.write("", to: place)
                var status: Int32 = 0
                waitpid(asking, &status, 0)
                let typed = try SmallFile.readText(log) ?? ""
                #expect(typed.contains("have changed since it was made") == isMoved, "\(typed)")
                try #expect(sql("SHOW log_statement") == (isMoved ? "none" : "ddl"))
            }
        }
    }

    @Test("and what the file asks for that needs restarts is done in the order that keeps the standby alive")
    func restarts() throws {
        try TestHosts.with(["node1", "node2", "repo"], major: TestMachine.newest) { hosts in
            try hosts.write(Self.text(hosts))
            try hosts.json(0, "apply", "--yes")
            func sql(_ node: String, _ statement: String) throws -> String {
                try hosts[node].sql(statement, hosts.programs, sockets: "/var/lib/postgresql")
            }
            for (connections, order) in [(90, ["node2", "node1"]), (30, ["node1", "node2"])] {
                try hosts.write(Self.text(hosts, connections: connections))
                let plan = try hosts.json(0, "plan")
                #expect(plan.changes.array.filter { $0.object.string == "server" }.compactMap(\.node.string) == order, "\(plan)")
                #expect(plan.write_outage_seconds.double ?? 0 > 0)
                try hosts.json(0, "apply", "--yes")
                for node in order { try #expect(sql(node, "SHOW max_connections") == "\(connections)") }
                try #expect(sql("node2", "SELECT status FROM pg_stat_wal_receiver") == "streaming")
                try hosts.json(0, "plan", "--detailed-exitcode")
            }
        }
    }

    @Test("and a host that cannot be reached keeps nothing from the others, and apply says so")
    func unreachable() throws {
        try TestHosts.with(["node1", "node2", "repo"], major: TestMachine.newest) { hosts in
            try hosts.write(Self.text(hosts))
            _ = try hosts["node2"].command(["pkill", "-x", "sshd"]).outcome()
            // It may be the primary, so nobody else becomes one.
            let first = try hosts.pgark("apply", "--yes")
            #expect(first.status == .exited(8) && first.text.contains("no server is made while it is not known"), "\(first.text)")
            try hosts["node2"].run("/usr/sbin/sshd -f \(hosts.directory)/node2/sshd_config")
            try hosts.json(0, "apply", "--yes")

            _ = try hosts["node2"].command(["pkill", "-x", "sshd"]).outcome()
            try hosts.write(Self.text(hosts).replacing("log_statement: all", with: "log_statement: ddl"))
            let outcome = try hosts.pgark("apply", "--yes")
            #expect(outcome.status == .exited(8) && outcome.text.contains("could not reach node2"), "\(outcome.text)")
            try #expect(hosts["node1"].sql("SHOW log_statement", hosts.programs, sockets: "/var/lib/postgresql") == "ddl")
            try hosts["node2"].run("/usr/sbin/sshd -f \(hosts.directory)/node2/sshd_config")
            try hosts.json(0, "apply", "--yes")
            try hosts.json(0, "plan", "--detailed-exitcode")
        }
    }

    @Test(
        "and no password is in any log, journal, argument, output or statistics",
        arguments: [15, 18].filter(TestMachine.majors.contains))
    func secrets(major: Int) throws {
        try TestHosts.with(["node1", "node2", "repo"], major: major) { hosts in
            // Debian's server has the modules of contrib.
            let hasStatistics = major == 15
            let library = hasStatistics ? "shared_preload_libraries: pg_stat_statements, " : ""
            try hosts.write(Self.text(hosts).replacing("shared_buffers:", with: library + "shared_buffers:"))
            let trace = hosts.directory.appending("arguments")
            let strace = ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=execve", "-o", trace.string, "env"]
            let command =
                strace + ["PGARK_CONFIG=\(hosts.configuration)", try TestMachine.pgark().string, "apply", "--yes", "--json"]
            let outcome = try hosts.control.command(command).run()
            let passfiles =
                try hosts["node1"].run("cat /var/lib/postgresql/.pgark.pgpass") + hosts["repo"].run("cat /etc/pgark/lab.pgpass")
            let passwords = Set(
                passfiles.split(whereSeparator: \.isNewline).filter { !$0.hasPrefix("#") }.compactMap {
                    $0.split(separator: ":").last
                })
            #expect(passwords.count == 2 && passwords.allSatisfy { $0.count >= 24 })
            var places = [outcome.output, outcome.errors, try SmallFile.readText(trace) ?? ""]
            places.append(try hosts.control.run("cat /var/lib/pgark-apply/*"))
            for node in ["node1", "node2"] { places.append(try hosts[node].run("cat /var/lib/postgresql/data.log")) }
            try eventually("the receiver streams") {
                try hosts["repo"].run("cat /var/log/pgark/lab/receive.log").contains("WAL stream")
            }
            places.append(try hosts["repo"].run("cat /var/log/pgark/lab/receive.log /etc/pgark/lab.yaml"))
            if hasStatistics {
                func sql(_ statement: String) throws -> String {
                    try hosts["node1"].sql(statement, hosts.programs, sockets: "/var/lib/postgresql")
                }
                _ = try sql("CREATE EXTENSION pg_stat_statements")
                _ = try sql("ALTER ROLE pgark PASSWORD 'another'")
                try hosts.json(0, "apply", "--yes")
                let statements = try sql("SELECT string_agg(query, ' ') FROM pg_stat_statements")
                #expect(statements.contains("ALTER ROLE pgark PASSWORD") && statements.contains("pg_stat_replication"))
                places[1] += statements
            }
            let verifiers = places.enumerated().filter { $0.element.contains("SCRAM-SHA-256$") }.map(\.offset)
            #expect(verifiers.isEmpty, "what a server keeps instead of a password is in \(verifiers)")
            #expect(places[2].contains("on-host") && places.last?.contains("WAL stream") == true)
            for password in passwords {
                let isNowhere = !places.contains { $0.contains(password) }
                #expect(isNowhere)
            }
            for path in ["/var/lib/postgresql/.pgark.pgpass"] {
                #expect(try hosts["node1"].run("stat -c '%a %U' \(path)") == "600 postgres\n")
            }
            #expect(try hosts["repo"].run("stat -c '%a %U' /etc/pgark/lab.pgpass") == "600 pgark\n")
        }
    }
}
