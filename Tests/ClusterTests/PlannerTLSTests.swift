@testable import Cluster
import PostgresModel
import Testing

/// Certificates and the order in which everybody uses them: facts in, a plan out.
@Suite("A plan of TLS")
struct PlannerTLSTests {
    private static let given = "{ certificate: /tls/a.crt, key: /tls/a.key, ca: /tls/ca.crt }"

    @Test("is empty where everything is as the file says", arguments: ["", "off", "cluster", given])
    func empty(tls: String) throws {
        var example = try PlanExample.converged().wanting(tls: tls)
        try example.converge()
        #expect(try example.lines() == [])
        #expect(try example.plan().remarks == [])
    }

    @Test("of bare hosts makes the authority, then the certificates, then servers that use them from their first moment")
    func bare() throws {
        let plan = try PlanExample.bare().wanting(tls: "cluster").plan()
        #expect(plan.blocked.isEmpty)
        let order = plan.steps.map { "\($0.host) \($0.action.title)" }
        let wanted = [
            "repository certificate authority of shop", "node1 certificate of node1", "node2 certificate of node2",
            "node1 make a server in /data", "node1 start", "node2 copy into /data", "node2 start",
            "repository write /etc/pgark/shop-trusted.crt", "repository start the WAL receiver",
        ]
        #expect(order.filter(wanted.contains) == wanted, "\(order)")
        for step in plan.steps {
            switch step.action {
            case .createServer(_, _, let files):
                #expect(files.include.contains("ssl = 'on'") && files.include.contains("/data.pgark-tls/server.crt"))
                let ours = files.accessRules.filter { $0.contains("pgark") }
                #expect(ours.allSatisfy { $0.hasPrefix("hostssl ") || $0.hasSuffix(" reject") } && ours.count == 3, "\(ours)")
                #expect(ours.last?.hasPrefix("hostnossl ") == true)
            case .copyStandby(_, let upstream, _, let files):
                for text in [upstream, files.include] {
                    #expect(text.contains("sslmode=verify-full sslrootcert=/data.pgark-tls/ca.crt"))
                }
            default: break
            }
        }
    }

    @Test(
        "of a running cluster changes it in three stages, none of which shuts anybody out, wherever it is cut short",
        arguments: [true, false])
    func stages(isOn: Bool) throws {
        var example = try PlanExample.converged()
        if !isOn {
            example.text += "\ntls: cluster"
            try example.converge()
        }
        example = try example.wanting(tls: isOn ? "cluster" : "off")
        let plan = try example.plan()
        #expect(plan.blocked.isEmpty && plan.writeOutageSeconds == 0 && plan.steps.count > (isOn ? 12 : 7))
        #expect(!plan.steps.contains { $0.action.stopsServer })
        for count in 0...plan.steps.count {
            var cut = TLSSimulation(example)
            for step in plan.steps.prefix(count) { cut.perform(step) }
            #expect(cut.everybodyConnects, "after step \(count): \(plan.steps[max(0, count - 1)])")
            for step in try cut.example.plan().steps {
                cut.perform(step)
                #expect(cut.everybodyConnects, "cut short after \(count), then \(step.host) \(step.action.title)")
            }
            #expect(try cut.example.lines() == [], "cut short after \(count)")
            let stage = TLSStage(found: cut.example.nodes["node2"]!.instance!)
            #expect(stage.isRequired == isOn && (stage.trusted != nil) == isOn && (stage.server != nil) == isOn)
        }
    }

    // MARK: The authority's certificates

    @Test(
        "makes a certificate anew where it does not fit any more, and the server reads it",
        arguments: ["name", "key", "distrust", "end", "life", "authority", "exposed"])
    func renewal(reason: String) throws {
        var example = try PlanExample.converged().wanting(tls: "cluster")
        try example.converge()
        var tls = PlanExample.certified
        switch reason {
        case "name": tls.certificate!.namesHost = false
        case "key": tls.certificate!.fitsKey = false
        case "distrust": tls.certificate!.distrust = "error 20"
        case "end": tls.certificate!.ends = -1
        case "life": tls.certificate!.ends = 4_999_999
        case "authority": tls.authority = "other"
        default: tls.key = .exposed
        }
        example.nodes["node2"]!.instance!.tls = tls
        let titles = try example.plan().steps.map { "\($0.host) \($0.action.title)" }
        #expect(
            titles.prefix(3) == ["node2 certificate of node2", "node2 reload", "node2 TLS with its certificate"], "\(titles)")
        #expect(titles.dropFirst(3) == ["node1 node2 streams from here"], "\(titles)")
        if reason == "life" {
            example.nodes["node2"]!.instance!.tls!.certificate!.ends = 5_000_001
            #expect(try example.lines() == [])
        }
    }

    @Test("has a server read a certificate again that it does not show")
    func notShown() throws {
        var example = try PlanExample.converged().wanting(tls: "cluster")
        try example.converge()
        example.nodes["node1"]!.instance!.tls!.isServed = false
        #expect(try example.lines() == ["~ node1: certificate: not used yet → shown by the server (reload)"])
        example.nodes["node1"]!.instance!.tls!.isServed = nil
        #expect(try example.lines() == [])
    }

    @Test("makes the authority anew in the last third of its life, and where its key is gone, and every certificate with it")
    func authority() throws {
        for isGone in [true, false] {
            var example = try PlanExample.converged().wanting(tls: "cluster")
            try example.converge()
            if isGone {
                example.repository.repository!.authority.hasKey = false
            } else {
                example.repository.repository!.authority.ends = 30
            }
            let objects = try example.plan().changes.map { "\($0.node) \($0.object)" }
            #expect(
                objects == [
                    "repository certificate authority", "node1 certificate", "node2 certificate",
                    "repository /etc/pgark/shop-trusted.crt", "repository WAL receiver",
                ])
        }
    }

    @Test("without the authority's host leaves a certificate that is only due, and blocks a node that has none")
    func authorityUnreachable() throws {
        var example = try PlanExample.converged().wanting(tls: "cluster")
        try example.converge()
        example.repository.isRoot = false
        example.nodes["node1"]!.instance!.tls!.certificate!.ends = 10
        example.nodes["node2"]!.instance!.tls = PlanExample.uncertified
        let plan = try example.plan()
        #expect(!plan.steps.contains { $0.host != "repository" } || plan.steps.allSatisfy { $0.host == "node1" }, "\(plan.steps)")
        #expect(plan.remarks.contains { $0.hasPrefix("node1: its certificate: ends on 1970-01-01") }, "\(plan.remarks)")
        #expect(plan.blocked.contains { $0.node == "node2" && $0.reason.hasPrefix("it has no certificate") }, "\(plan.blocked)")
    }

    @Test("waits with the check of certificates until the last server has one, and says so")
    func incomplete() throws {
        var example = try PlanExample.converged().wanting(tls: "cluster")
        example.unreachable["node2"] = Failure(.hostUnreachable, "no")
        let plan = try example.plan()
        #expect(!plan.steps.contains { if case .trust = $0.action { true } else { false } })
        #expect(plan.remarks == ["repository: servers' certificates are not checked until node2 has one"])
        #expect(plan.steps.contains { $0.host == "node1" && $0.action.title == "certificate of node1" })
        // What is checked already stays so.
        example = try PlanExample.converged().wanting(tls: "cluster")
        try example.converge()
        example.unreachable["node2"] = Failure(.hostUnreachable, "no")
        #expect(try example.lines() == ["! node2: no"])
    }

    @Test("sends a receiver away that came in without TLS")
    func receiver() throws {
        var example = try PlanExample.converged().wanting(tls: "cluster")
        try example.converge()
        let index = try #require(example.nodes["node1"]!.instance!.server!.senders.firstIndex { $0.slot == "pgark" })
        example.nodes["node1"]!.instance!.server!.senders[index].isEncrypted = false
        #expect(try example.lines() == ["~ repository: WAL receiver: with a program or a cluster file of before → started again"])
    }

    // MARK: What speaks against it

    @Test("does nothing to a server that cannot have TLS, nor to those that follow it, and says why")
    func unsupported() throws {
        var example = try PlanExample.bare().wanting(tls: "cluster")
        example.nodes["node1"]!.instance!.tls!.isSupported = false
        var plan = try example.plan()
        #expect(plan.blocked.map(\.reason) == ["its PostgreSQL was built without TLS"])
        #expect(!plan.steps.contains { $0.action.stopsServer || $0.host == "node1" }, "\(plan.steps)")
        // A standby without it does not hinder its primary.
        example = try PlanExample.converged().wanting(tls: "cluster")
        example.nodes["node2"]!.instance!.tls!.isSupported = false
        plan = try example.plan()
        #expect(plan.blocked.map(\.node) == ["node2"] && !plan.steps.contains { $0.host == "node2" })
        #expect(plan.steps.contains { $0.host == "node1" })
        example.nodes["node2"]!.instance!.tls = TLSFacts(hasOpenSSL: false, isSupported: true, key: .missing)
        #expect(try example.plan().blocked.first?.hint == "apt-get install openssl")
    }

    @Test("looks at given certificates, and names each thing that is wrong with one")
    func givenOnes() throws {
        var example = try PlanExample.converged().wanting(tls: Self.given)
        try example.converge()
        let cases: [(String, (inout TLSFacts) -> Void)] = [
            ("there is no key /tls/a.key", { $0.key = .missing }),
            ("postgres cannot read the key /tls/a.key", { $0.key = .unreadable }),
            ("others may read the key /tls/a.key", { $0.key = .exposed }),
            ("/tls/a.crt is no certificate", { $0.certificate = nil }),
            ("the key /tls/a.key is not that of /tls/a.crt", { $0.certificate!.fitsKey = false }),
            ("its certificate /tls/a.crt ended on 1969-12-31", { $0.certificate!.ends = -1 }),
            ("its certificate /tls/a.crt begins on 1970-01-01", { $0.certificate!.begins = 1 }),
            ("its certificate /tls/a.crt is for IP, and not for 10.0.0.12", { $0.certificate!.namesHost = false }),
            ("its certificate /tls/a.crt is not of the authorities in /tls/ca.crt", { $0.certificate!.distrust = "error 20" }),
            ("postgres cannot read the authorities /tls/ca.crt", { $0.authority = nil }),
        ]
        for (reason, damage) in cases {
            var tls = PlanExample.certified
            damage(&tls)
            example.nodes["node2"]!.instance!.tls = tls
            let plan = try example.plan()
            #expect(plan.blocked.count == 1 && plan.blocked[0].reason.hasPrefix(reason), "\(reason): \(plan.blocked)")
            #expect(plan.blocked.first?.hint?.isEmpty == false && !plan.steps.contains { $0.host == "node2" })
        }
        example.nodes["node2"]!.instance!.tls = PlanExample.certified
        example.nodes["node2"]!.instance!.tls!.certificate!.ends = 29 * 86400
        #expect(try example.plan().remarks == ["node2: its certificate ends on 1970-01-30"])
    }
}
