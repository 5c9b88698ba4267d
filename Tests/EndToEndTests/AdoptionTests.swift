import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// A primary and a standby that somebody made by hand.
@Suite("A cluster that was there before pgark", .serialized)
struct AdoptionTests {
    private static let data = "/var/lib/postgresql/data"

    private static func make(_ hosts: TestHosts) throws {
        let programs = hosts.programs, run = "setpriv --reuid=postgres --regid=postgres --init-groups --"
        try hosts["node1"].run(
            """
            cd /
            \(run) \(programs.path(of: "initdb")) -D \(data) --auth-local=peer --auth-host=scram-sha-256 > /dev/null
            echo "listen_addresses = '*'" >> \(data)/postgresql.conf
            echo "unix_socket_directories = '/var/run/postgresql'" >> \(data)/postgresql.conf
            echo 'host replication replicator 192.168.20.0/24 scram-sha-256' >> \(data)/pg_hba.conf
            \(run) \(programs.path(of: "pg_ctl")) -D \(data) -l \(data).log -w start > /dev/null
            """)
        _ = try sql(hosts, "node1", "CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'handmade'")
        _ = try sql(hosts, "node1", "CREATE TABLE orders AS SELECT generate_series(1, 1000) n")
        try hosts["node2"].run(
            """
            cd /
            \(run) env PGPASSWORD=handmade \(programs.path(of: "pg_basebackup")) -h 192.168.20.228 -U replicator -D \(data) -R -C \
            -S by_hand -X stream -c fast
            \(run) \(programs.path(of: "pg_ctl")) -D \(data) -l \(data).log -w start > /dev/null
            """)
    }

    private static func sql(_ hosts: TestHosts, _ node: String, _ statement: String) throws -> String {
        try hosts[node].sql(statement, hosts.programs, sockets: "/var/run/postgresql")
    }

    /// What must not change: each server's process, its files' own place on the disk, its system.
    private static func identity(_ hosts: TestHosts) throws -> [String] {
        try ["node1", "node2"].flatMap { node in
            [
                try sql(hosts, node, "SELECT pg_postmaster_start_time()"), try hosts[node].run("stat -c %i \(data) \(data)/base"),
                try sql(hosts, node, "SELECT system_identifier FROM pg_control_system()"),
            ]
        }
    }

    @Test(
        "is taken over as it is: nothing is copied, nothing restarted, and its slot goes on",
        arguments: [15, 18].filter(TestMachine.majors.contains))
    func managed(major: Int) throws {
        try TestHosts.with(["node1", "node2", "repo"], major: major) { hosts in
            try Self.make(hosts)
            let before = try Self.identity(hosts)
            // From the standby: the primary is found over ssh, where nobody can log in from elsewhere.
            let made = try hosts.pgark(
                "init", "--cluster", "shop", "--from", "user=postgres", "--address", "192.168.20.229", "--manage",
                "--repository-host", "192.168.20.230", "--repository", "/var/lib/pgark", "--output", hosts.configuration.string,
                on: hosts["node2"])
            #expect(made.status == .exited(0), "\(made.text)")
            let text = try #require(try SmallFile.readText(hosts.configuration))
            #expect(text.contains("node2: { host: 192.168.20.229, data: \(Self.data), slot: by_hand }"), "\(text)")

            let plan = try hosts.json(4, "plan", "--detailed-exitcode")
            #expect(plan.blocked_by.array.isEmpty && plan.write_outage_seconds.double == 0, "\(plan)")
            #expect(!plan.changes.array.contains { $0.effect.string == "restart" || $0.object.string == "standby" }, "\(plan)")
            #expect(!"\(plan)".contains("handmade"))
            let applied = try hosts.json(0, "apply", "--yes")
            #expect(applied.failed.array.isEmpty && applied.skipped.int == 0)
            #expect(try Self.identity(hosts) == before)
            try #expect(
                Self.sql(
                    hosts, "node1",
                    "SELECT slot_name, usename FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid ORDER BY 1"
                )
                    == "by_hand|pgark_standby\npgark|pgark")
            try hosts.json(0, "plan", "--detailed-exitcode")
            #expect(try hosts.json(0, "backup").status.string == "done")
            _ = try Self.sql(hosts, "node1", "INSERT INTO orders VALUES (0)")
            try eventually("the standby has it") { try Self.sql(hosts, "node2", "SELECT count(*) FROM orders") == "1001" }
        }
    }

    @Test("is protected as it is, with its standby")
    func protected() throws {
        try TestHosts.with(["node1", "node2", "repo"], major: 15) { hosts in
            try Self.make(hosts)
            for node in ["node1", "node2"] {
                try hosts[node].run(
                    """
                    sed -i '1i host all,replication pgark 192.168.20.0/24 scram-sha-256' \(Self.data)/pg_hba.conf
                    sed -i '1i host all postgres 192.168.20.230/32 scram-sha-256' \(Self.data)/pg_hba.conf
                    kill -HUP $(head -1 \(Self.data)/postmaster.pid)
                    """)
            }
            _ = try Self.sql(hosts, "node1", "ALTER ROLE postgres PASSWORD 'handmade'")
            let before = try Self.identity(hosts)
            // The standby is named; its primary is found.
            let script =
                "export PGPASSWORD=handmade; pgark init --cluster shop --from 'host=192.168.20.229 user=postgres' --create-role"
                + " && pgark apply --yes && pgark backup && pgark check --json"
            let outcome = try QuickStartTests.shell(hosts, hosts["repo"], "(\(script)) < /dev/null").outcome()
            #expect(outcome.status == .exited(0), "\(outcome.output)\(outcome.errors)")
            #expect(outcome.errors.contains("the primary is 192.168.20.228:5432"))
            let text = try hosts["repo"].run("cat /etc/pgark/shop.yaml")
            #expect(
                text.contains("node1: { connection: \"host=192.168.20.228 ")
                    && text.contains("node2: { connection: \"host=192.168.20.229 "))
            #expect(try Self.identity(hosts) == before)
            #expect(try hosts["node1"].run("ls \(Self.data)").contains("pgark") == false)
        }
    }
}
