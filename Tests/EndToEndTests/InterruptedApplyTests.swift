import Glibc
import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// `pgark apply`, killed.
@Suite("An apply that is killed", .serialized)
struct InterruptedApplyTests {
    private static func text(_ hosts: TestHosts) -> String {
        """
        cluster: lab
        postgres: { version: \(hosts.programs.version.major), bin: \(hosts.programs.directory), parameters: { shared_buffers: 32MB } }
        nodes:
          node1: { host: 192.168.20.228, data: /var/lib/postgresql/data }
          node2: { host: 192.168.20.229, data: /var/lib/postgresql/data }
        repository: { host: 192.168.20.230, path: /var/lib/pgark }
        """
    }

    /// What an apply decides, on all hosts, without what is random.
    private static func state(_ hosts: TestHosts) throws -> [String] {
        var state: [String] = []
        for node in ["node1", "node2"] {
            let data = "/var/lib/postgresql/data"
            state.append(try hosts[node].run("cat \(data)/pgark.conf \(data)/pg_hba.conf; tail -3 \(data)/postgresql.conf"))
            state.append(
                try hosts[node].run("sed 's/[^:]*$/password/' /var/lib/postgresql/.pgark.pgpass; ls -a /var/lib/postgresql"))
            for query in [
                "SELECT slot_name, restart_lsn IS NOT NULL FROM pg_replication_slots ORDER BY 1",
                "SELECT rolname, rolsuper, rolreplication, rolcanlogin FROM pg_roles WHERE oid >= 16384 ORDER BY 1",
                "SELECT count(*) FROM pg_auth_members WHERE member >= 16384", "SELECT pg_is_in_recovery()",
            ] { state.append(try hosts[node].sql(query, hosts.programs, sockets: "/var/lib/postgresql")) }
        }
        state.append(
            try hosts["repo"].run("sed 's/[^:]*$/password/' /etc/pgark/lab.pgpass; cat /etc/pgark/lab.yaml; id -un pgark"))
        return state
    }

    @Test("before and after each of its steps goes on, and comes to where an undisturbed one does")
    func everyStep() throws {
        let undisturbed = try TestHosts.with(["node1", "node2", "repo"], major: TestMachine.newest) { hosts in
            try hosts.write(Self.text(hosts))
            let applied = try hosts.json(0, "apply", "--yes")
            return (steps: applied.done.int ?? 0, state: try Self.state(hosts))
        }
        try TestHosts.with(["node1", "node2", "repo"], major: TestMachine.newest) { hosts in
            try hosts.write(Self.text(hosts))
            var kills = 0
            // At its first line nothing is done, at its second one step is.
            while try !hosts.run("apply", "--yes", killedAtLine: kills % 2 + 1) { kills += 1 }
            #expect(kills >= 2 * undisturbed.steps - 4, "\(kills) kills of \(undisturbed.steps) steps")
            _ = try hosts.json(0, "apply", "--yes")
            try hosts.json(0, "plan", "--detailed-exitcode")
            let state = try Self.state(hosts)
            for (own, other) in zip(state, undisturbed.state) { #expect(own == other) }
        }
    }

    @Test("together with what it had started on the hosts, while a server is made and while one is copied, begins those anew")
    func within() throws {
        try TestHosts.with(["node1", "node2", "repo"], major: TestMachine.newest) { hosts in
            try hosts.write(Self.text(hosts))
            for (node, program) in [("node1", "initdb"), ("node2", "pg_basebackup")] {
                let process = try hosts.start(["apply", "--yes"], log: "apply.log")
                try eventually("\(program) runs on \(node)") { try hosts[node].command(["pgrep", program]).outcome().succeeded }
                try hosts.control.run("pkill -KILL -x pgark")
                _ = try hosts[node].command(["pkill", "-KILL", "-f", "on-host|initdb|pg_basebackup"]).outcome()
                process.kill()
            }
            _ = try hosts.json(0, "apply", "--yes")
            try hosts.json(0, "plan", "--detailed-exitcode")
            let names = try hosts["node2"].run("ls /var/lib/postgresql")
            #expect(names.split(whereSeparator: \.isNewline) == ["data", "data.log"], "\(names)")
        }
    }
}
