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

    @Test("become a streaming cluster by one apply, and another changes nothing", arguments: [15, 18].filter(TestMachine.majors.contains))
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
            try #expect(sql("node1", "SELECT slot_name FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid ORDER BY 1") == "node2\npgark")
            try #expect(sql("node2", "SELECT slot_name FROM pg_stat_wal_receiver") == "node2")
            try #expect(sql("node1", "SHOW max_connections") == "50")
            try #expect(sql("node1", "SHOW data_checksums") == "on")
            try #expect(sql("node1", "SELECT rolsuper FROM pg_roles WHERE rolname LIKE 'pgark%' GROUP BY 1") == "f")

            let started = try sql("node1", "SELECT pg_postmaster_start_time()") + sql("node2", "SELECT pg_postmaster_start_time()")
            let again = try hosts.pgark("apply", "--yes")
            #expect(again.status == .exited(0) && again.errors.contains("nothing to do"), "\(again.text)")
            #expect(again.seconds < 3)
            try #expect(sql("node1", "SELECT pg_postmaster_start_time()") + sql("node2", "SELECT pg_postmaster_start_time()") == started)
            try hosts.json(0, "plan", "--detailed-exitcode")
        }
    }
}
