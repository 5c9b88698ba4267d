@testable import Cluster
import PostgresModel
import Testing

/// Servers that were there before pgark.
@Suite("A server that somebody else made")
struct AdoptionTests {
    /// Two servers by hand, node2 streaming through a slot of its own name, with no file of ours.
    private static func found() throws -> PlanExample {
        var example = try PlanExample.bare()
        example.text = example.text.replacing("10.0.0.12, data: /data", with: "10.0.0.12, data: /data, slot: old_slot")
        try example.converge()
        for name in ["node1", "node2"] {
            var instance = example.nodes[name]!.instance!
            instance.include = nil
            instance.includesOurs = false
            instance.accessRules = "local all all peer\n"
            instance.passfile = nil
            for (setting, value) in [("listen_addresses", "*"), ("cluster_name", ""), ("unix_socket_directories", "/tmp")] {
                instance.server!.settings[setting] = .init(
                    value: value, text: value, source: "default", file: nil, isPending: false, context: "postmaster")
            }
            instance.server!.roles = [:]
            instance.server!.slots = name == "node1" ? ["old_slot": slot] : [:]
            example.nodes[name]!.instance = instance
        }
        example.nodes["node1"]!.instance!.server!.senders = [
            .init(application: "walreceiver", state: "streaming", slot: "old_slot")
        ]
        example.nodes["node2"]!.instance!.autoSettings = [
            "primary_slot_name": "old_slot", "primary_conninfo": "host=10.0.0.11 user=r password=secret3",
        ]
        return example
    }

    private static let slot = ServerFacts.Slot(isPhysical: true, isActive: true, isReserved: true, walStatus: nil)

    @Test("is neither made anew nor restarted, and its standby goes on through the slot that it has")
    func unchanged() throws {
        let plan = try Self.found().plan()
        #expect(plan.blocked.isEmpty && plan.writeOutageSeconds == 0 && !"\(plan)".contains("secret3"))
        #expect(!plan.changes.contains { $0.effect == .restart }, "\(plan.changes.filter { $0.effect == .restart })")
        #expect(!plan.steps.contains { $0.action.stopsServer })
        let objects = plan.changes.map(\.object)
        #expect(!objects.contains("slot old_slot") && !objects.contains("slot node2"))
        for untouched in ["cluster_name", "unix_socket_directories", "listen_addresses"] {
            #expect(!objects.contains("setting \(untouched)"))
        }
        // Its role and its slots are there before it is told to use them.
        let role = try #require(plan.steps.firstIndex { $0.changes.first?.object == "role pgark_standby" })
        let reload = try #require(plan.steps.firstIndex { $0.host == "node2" && $0.action.title == "reload" })
        #expect(role < reload)
        guard
            case .writeFiles(_, let files)? = plan.steps.first(where: {
                $0.host == "node2" && $0.action.title == "write its files"
            })?.action
        else { throw PlanTestFailure() }
        #expect(files.include.contains("primary_slot_name = 'old_slot'") && !files.include.contains("cluster_name"))
    }

    @Test("is left as it was ever after")
    func stays() throws {
        var example = try Self.found()
        let plan = try example.plan()
        try example.converge()
        example.nodes["node2"]!.instance!.autoSettings = [:]
        for step in plan.steps {
            guard case .writeFiles(_, let files) = step.action else { continue }
            example.nodes[step.host]!.instance!.include = files.include
            for name in ["cluster_name", "listen_addresses", "unix_socket_directories"] {
                let value = name == "listen_addresses" ? "*" : "",
                    setting = example.nodes[step.host]!.instance!.server!.settings[name]!
                example.nodes[step.host]!.instance!.server!.settings[name] = .init(
                    value: value, text: value, source: "default", file: nil, isPending: false, context: setting.context)
            }
        }
        let again = try example.lines()
        #expect(again == [])
        // Where it does not run, too.
        example.nodes["node2"]!.instance!.server = nil
        example.nodes["node2"]!.instance!.isRunning = false
        let lines = try example.lines().filter { $0.contains("setting") }
        #expect(lines == [])
    }

    @Test("is made to listen where the others reach it, which costs a restart and says so")
    func listens() throws {
        var example = try Self.found()
        example.nodes["node1"]!.instance!.server!.settings["listen_addresses"]!.value = "localhost"
        example.nodes["node1"]!.instance!.server!.settings["listen_addresses"]!.text = "localhost"
        let plan = try example.plan()
        #expect(plan.changes.contains { $0.node == "node1" && $0.object == "setting listen_addresses" && $0.effect == .restart })
        #expect(plan.writeOutageSeconds > 0)
    }

    @Test("keeps a setting that the file asks for all the same")
    func asked() throws {
        var example = try Self.found()
        example.text = example.text.replacing("parameters: { ", with: "parameters: { wal_log_hints: on, ")
        #expect(try example.lines().contains { $0.contains("node1: setting wal_log_hints") })
    }
}

/// Servers that pgark does not set up: only the repository's host is.
@Suite("A server that is only protected")
struct ProtectionTests {
    private static func example() throws -> PlanExample {
        var example = try PlanExample.bare()
        example.text = """
            cluster: shop
            nodes: { node1: { connection: "host=10.0.0.11,10.0.0.12 user=pgark dbname=postgres" } }
            repository: { path: /repo }
            """
        example.nodes = [:]
        return example
    }

    @Test("has its password brought to the repository's host, in a place of the plan")
    func password() throws {
        var example = try Self.example()
        example.connectionPasswords = ["node1": "se:cret"]
        let plan = try example.plan()
        #expect(plan.blocked.isEmpty && plan.remarks.isEmpty && !"\(plan)".contains("se:cret"))
        let step = try #require(plan.steps.first { $0.action.title == "write /etc/pgark/shop.pgpass" })
        guard case .writeFile(_, let text, "pgark", 0o600) = step.action else { throw PlanTestFailure() }
        let secrets = Secrets(example.facts.passwords)
        let filled = try #require(try secrets.filled(text))
        #expect(filled.hasSuffix("\n10.0.0.11:5432:*:pgark:se\\:cret\n10.0.0.12:5432:*:pgark:se\\:cret\n"))
        #expect(Passfile(filled).password(host: "10.0.0.12", port: "5432", database: "postgres", user: "pgark") == "se:cret")
        // Done once, it is done.
        example.repository.repository!.passfile = filled
        #expect(try !example.plan().steps.contains { $0.action.title == "write /etc/pgark/shop.pgpass" })
    }

    @Test("without a password that is known is done all the same, with a remark")
    func unknown() throws {
        let plan = try Self.example().plan()
        #expect(plan.blocked.isEmpty && plan.remarks.count == 1 && plan.remarks[0].contains("no password"))
        #expect(!plan.steps.contains { $0.action.title.contains("pgpass") } && plan.steps.count >= 4)
    }
}

@Suite("A passfile")
struct PassfileTests {
    private let file = Passfile(
        """
        # a remark
        10.0.0.1:5432:shop:app:one
        10.0.0.1:*:*:pgark:two\\:\\\\x
        fe80\\:\\:1:5432:*:pgark:three
        *:*:*:last:four
        short:line
        """)

    @Test(
        "gives the first password that fits",
        arguments: [
            ("host=10.0.0.1 user=app dbname=shop", "one"), ("host=10.0.0.1 user=app dbname=other", nil),
            ("host=10.0.0.1 port=99 user=pgark dbname=x", "two:\\x"), ("postgresql://pgark@[fe80::1]/x", "three"),
            ("user=last", "four"), ("user=nobody", nil), ("host=10.0.0.1,10.0.0.2 user=pgark", nil), ("host=10.0.0.1", nil),
        ])
    func found(connection: String, password: String?) {
        #expect(file.password(for: ConnectionText(connection)) == password)
    }

    @Test("line is read as it was written")
    func line() {
        let line = Passfile.line("fe80::1", "5432", "o:hara", Passfile.escaped("a\\:b"))
        #expect(Passfile(line).password(host: "fe80::1", port: "5432", database: "x", user: "o:hara") == "a\\:b")
    }

    @Test("is added to connection strings of both forms")
    func added() {
        for text in ["host=a user=b", "postgresql://b@a/c", "postgresql://b@a/c?sslmode=require"] {
            let more = ConnectionText(ConnectionText.adding("passfile", "/my dir/ü.pgpass", to: text))
            #expect(more.passfile == "/my dir/ü.pgpass" && more.user == "b" && more.host == "a")
        }
    }
}
