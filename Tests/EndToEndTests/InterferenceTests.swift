import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Hosts on which something is in the way.
@Suite("What is in the way on a host", .serialized)
struct InterferenceTests {
    private static let nodes = ["good", "photos", "older", "taken", "small", "other"]

    private static func text(_ hosts: TestHosts, _ names: [String]) -> String {
        let nodes = names.map { "  \($0): { host: \(hosts[$0].address), data: /var/lib/postgresql/data }" }
        return """
            cluster: lab
            postgres: { version: \(hosts.programs.version.major), bin: \(hosts.programs.directory) }
            nodes:
            \(nodes.joined(separator: "\n"))
            repository: { host: \(hosts["repo"].address), path: /var/lib/pgark }
            """
    }

    @Test("is named with its reason and its way out, is left as it is, and keeps nothing from the others")
    func named() throws {
        try TestHosts.with(Self.nodes + ["repo"], major: TestMachine.newest) { hosts in
            try hosts.write(Self.text(hosts, ["good"]))
            try hosts.json(0, "apply", "--yes")
            func asServer(_ node: String, _ script: String) throws {
                try hosts[node].run("setpriv --reuid=postgres --regid=postgres --init-groups sh -ec '\(script)'")
            }
            let own = hosts.programs.directory, older = try TestMachine.postgres(15).directory
            try asServer("photos", "mkdir /var/lib/postgresql/data; echo cat > /var/lib/postgresql/data/cat.jpg")
            try asServer("older", "\(older)/initdb -D /var/lib/postgresql/data >/dev/null")
            try hosts["taken"].run("python3 -m http.server 5432 --bind 0.0.0.0 >/dev/null 2>&1 &")
            try hosts["small"].run(
                "mount -t tmpfs -o size=64m,mode=755 tmpfs /var/lib/postgresql; chown postgres /var/lib/postgresql")
            try asServer("other", "\(own)/initdb -D /var/lib/postgresql/data >/dev/null")
            try eventually("the port is taken") {
                let script = "import socket; socket.create_connection(('127.0.0.1', 5432))"
                return (try? hosts["taken"].command(["python3", "-c", script]).run()) != nil
            }
            func fingerprint() throws -> [String] {
                try ["photos", "older", "other"].map {
                    try hosts[$0].run("cd /var/lib/postgresql/data && find . -type f | sort | xargs sha256sum | sha256sum")
                }
            }
            let before = try fingerprint()

            try hosts.write(Self.text(hosts, Self.nodes).replacing("repository:", with: "postgres_is_mine: 1\nrepository:"))
            let wrong = try hosts.pgark("plan")
            #expect(wrong.status == .exited(64) && wrong.text.contains("pgark.yaml:10:1: unknown key"), "\(wrong.text)")

            try hosts.write(Self.text(hosts, Self.nodes))
            let outcome = try hosts.pgark("apply", "--yes", "--json")
            #expect(outcome.status == .exited(3), "\(outcome.text)")
            let blocked = try JSON(parsing: outcome.output).plan.blocked_by.array
            func reason(_ node: String) -> String {
                blocked.filter { $0.node.string == node }.compactMap(\.reason.string).joined(separator: "; ")
            }
            #expect(reason("photos").contains("holds something that is no data directory: cat.jpg"), "\(blocked)")
            #expect(reason("older").contains("is of PostgreSQL 15"), "\(blocked)")
            #expect(reason("taken").contains("port 5432 is taken"), "\(blocked)")
            #expect(reason("small").contains("a copy of good needs"), "\(blocked)")
            #expect(reason("other").contains("is of another system"), "\(blocked)")
            #expect(reason("good").isEmpty && blocked.count == 5, "\(blocked)")
            #expect(try fingerprint() == before)
            // The good one got what it needs for the others, and runs.
            try #expect(
                hosts["good"].sql(
                    "SELECT count(*) FROM pg_replication_slots", hosts.programs, sockets: "/var/lib/postgresql") == "6")

            // One after the other gets out of the way.
            try hosts["photos"].run("mv /var/lib/postgresql/data /var/lib/postgresql/photos")
            try hosts["taken"].run("pkill -f [h]ttp.server")
            try hosts["other"].run("rm -r /var/lib/postgresql/data")
            let second = try hosts.pgark("apply", "--yes", "--json")
            #expect(second.status == .exited(3), "\(second.text)")
            for node in ["photos", "taken", "other"] {
                try #expect(
                    hosts[node].sql("SELECT slot_name FROM pg_stat_wal_receiver", hosts.programs, sockets: "/var/lib/postgresql")
                        == node)
            }
        }
    }
}
