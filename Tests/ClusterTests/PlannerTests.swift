@testable import Cluster
import PostgresModel
import Testing

/// The planner alone: facts in, a plan out.
@Suite("A plan")
struct PlannerTests {
    @Test("of a cluster that is as its file says is empty")
    func empty() throws {
        let plan = try PlanExample.converged().plan()
        #expect(plan.steps.isEmpty && plan.blocked.isEmpty && plan.remarks.isEmpty, "\(plan)")
    }

    @Test("of bare hosts makes the file's first node the primary, and holds WAL for a standby before it is copied")
    func bare() throws {
        let plan = try PlanExample.bare().plan()
        #expect(plan.blocked.isEmpty)
        let order = plan.steps.map { "\($0.host) \($0.action.title)" }
        let primary = try #require(order.firstIndex(of: "node1 make a server in /data"))
        let copy = try #require(order.firstIndex(of: "node2 copy into /data"))
        let slot = try #require(plan.steps.firstIndex { $0.changes.first?.object == "slot node2" })
        #expect(primary < slot && slot < copy)
        #expect(plan.writeOutageSeconds == 0 && !plan.mayLoseData)
    }

    @Test("holds no password, and is the same for the same facts")
    func secrets() throws {
        var example = try PlanExample.converged()
        example.nodes["node1"]!.instance!.server!.roles["pgark"]!.verifier = nil
        example.nodes["node2"]!.instance!.passfile = nil
        let plan = try example.plan()
        #expect(try plan == example.plan())
        let text = "\(plan)"
        #expect(
            !plan.steps.isEmpty && !PlanExample.passwords.values.contains { text.contains($0) } && !text.contains("SCRAM-SHA"))
    }

    @Test("lets a node follow another standby, through a slot that holds WAL back there, and behind it on purpose")
    func cascade() throws {
        var example = try PlanExample.bare()
        example.text = example.text.replacing(
            "replication:", with: "  node3: { host: 10.0.0.13, data: /data, upstream: node2, delay: 1h }\nreplication:")
        example.nodes["node3"] = PlanExample.host()
        example.nodes["node3"]!.instance = PlanExample.instance(try example.file, try example.file.nodes[2])
        let plan = try example.plan()
        let slot = try #require(plan.steps.firstIndex { $0.host == "node2" && $0.changes.first?.object == "slot node3" })
        let copy = try #require(plan.steps.firstIndex { $0.host == "node3" })
        #expect(slot < copy && plan.steps[slot].changes[0].to == "holds WAL back from now on")
        guard case .copyStandby(_, let upstream, _, let files) = plan.steps[copy].action else { throw PlanTestFailure() }
        #expect(upstream.contains("host=10.0.0.12") && files.include.contains("recovery_min_apply_delay = '3600000ms'"))
        #expect(plan.steps.contains { if case .awaitStandby(_, "node3", _) = $0.action { $0.host == "node2" } else { false } })
        // As it is afterwards, nothing is left to do.
        try example.converge()
        example.nodes["node2"]!.instance!.server!.senders = [.init(application: "node3", state: "streaming", slot: "node3")]
        example.nodes["node2"]!.instance!.server!.slots["node3"] = .init(isPhysical: true, isActive: true, isReserved: true)
        #expect(try example.lines() == [])
    }

    @Test("takes what pgark set up for the cluster that it is, also where nobody has used it yet and another's was used")
    func ownSystem() throws {
        var example = try PlanExample.converged()
        for node in ["node1", "node2"] { example.nodes[node]!.instance!.server!.isPristine = true }
        example.text = example.text.replacing("replication:", with: "  node0: { host: 10.0.0.10, data: /data }\nreplication:")
        example.repository.repository!.clusterFile = example.text
        example.nodes["node0"] = PlanExample.host()
        example.nodes["node0"]!.instance = PlanExample.instance(try example.file, try example.file.nodes[2])
        example.nodes["node0"]!.instance!.data = .present(
            ControlFacts(
                systemIdentifier: 5, major: 18, state: "", timeline: 1, hasChecksums: true, logsHints: false, required: [:]))
        let plan = try example.plan()
        #expect(plan.blocked.map(\.node) == ["node0"] && plan.blocked[0].reason.contains("of another system (5)"), "\(plan)")
    }

    @Test("gives a standby as much as its primary has by other files, and both what replication needs; done, nothing is left")
    func requiredSettings() throws {
        var example = try PlanExample.converged()
        func set(_ node: String, _ name: String, _ value: String) {
            example.nodes[node]!.instance!.server!.settings[name] = .init(
                value: value, text: value, source: "configuration file", file: "/data/postgresql.conf", isPending: false,
                context: "postmaster")
        }
        for node in ["node1", "node2"] {
            set(node, "max_locks_per_transaction", node == "node1" ? "256" : "64")
            set(node, "max_wal_senders", "3")
            set(node, "wal_level", node == "node1" ? "minimal" : "logical")
        }
        let lines = try example.lines()
        for wanted in [
            "+ node2: setting max_locks_per_transaction: 64 → 256 (restart)", "+ node1: setting max_wal_senders: 3 → 5 (restart)",
            "+ node2: setting max_wal_senders: 3 → 5 (restart)", "+ node1: setting wal_level: minimal → replica (restart)",
        ] { #expect(lines.contains(wanted), "\(lines)") }
        #expect(!lines.contains { $0.contains("node1: setting max_locks") || $0.contains("node2: setting wal_level") })
        let restarts = try example.plan().changes.filter { $0.object == "server" }.map(\.node)
        #expect(restarts == ["node2", "node1"])

        for node in ["node1", "node2"] {
            let plan = try example.plan()
            for step in plan.steps where step.host == node {
                guard case .writeFiles(_, let files) = step.action else { continue }
                example.nodes[node]!.instance!.include = files.include
                for (name, value) in SettingsText.values(files.include) { set(node, name, value) }
            }
        }
        #expect(try example.lines() == [])
    }

    @Test("keeps a setting that standbys must match when the file no longer names it, and lowers it when it says so")
    func keptSetting() throws {
        var example = try PlanExample.converged()
        let text = example.text
        example.text = text.replacing(", parameters: { max_connections: 100 }", with: "")
        example.repository.repository!.clusterFile = example.text
        #expect(try !example.lines().contains { $0.contains("max_connections") })
        example.text = text.replacing("max_connections: 100", with: "max_connections: 50")
        example.repository.repository!.clusterFile = example.text
        #expect(try example.lines().contains("~ node1: setting max_connections: 100 → 50 (restart)"))
    }

    // MARK: Rejoin

    @Test("rewinds a node that is to rejoin, on a copy, after the primary's checkpoint; without room it says how")
    func rewinds() throws {
        var example = try PlanExample.converged()
        example.nodes["node2"]!.instance!.server!.isInRecovery = false
        #expect(try example.lines().contains { $0.hasPrefix("! node2: it is a primary, on timeline 1, and so is node1") })
        let plan = try example.plan(rejoin: ["node2": .rewind])
        let order = plan.steps.map { "\($0.host) \($0.action.title)" }
        #expect(order == ["node1 SQL", "node2 pg_rewind of /data", "node2 start"] + Array(order.dropFirst(3)), "\(order)")
        #expect(order.last == "node1 node2 streams from here")
        #expect(plan.steps[0].action == .sql(example.nodes["node1"]!.instance!.layout!, ["CHECKPOINT"]) && !plan.mayLoseData)
        guard case .rewind(_, let source, let files, false) = plan.steps[1].action else { throw PlanTestFailure() }
        #expect(source.contains("dbname=postgres") && files.isStandby)

        example.nodes["node2"]!.instance!.freeBytes = 1 << 20
        let blocked = try example.plan(rejoin: ["node2": .rewind])
        #expect(blocked.blocked.first?.hint?.contains("pgark rejoin node2 --in-place") == true)
        #expect(try example.plan(rejoin: ["node2": .rewindInPlace]).mayLoseData)
    }

    @Test("makes anew what cannot be rewound", arguments: ["checksums", "pg_wal", "asked"])
    func reseeds(reason: String) throws {
        var example = try PlanExample.converged()
        example.nodes["node2"]!.instance!.server!.isInRecovery = false
        if reason == "pg_wal" { example.nodes["node2"]!.instance!.walLink = "/wal/18" }
        if reason == "checksums", case .present(var control)? = example.nodes["node2"]!.instance?.data {
            control.hasChecksums = false
            example.nodes["node2"]!.instance!.data = .present(control)
        }
        let lines = try example.lines(rejoin: ["node2": reason == "asked" ? .reseed : .rewind])
        #expect(lines.contains { $0.hasPrefix("- node2: server: /data → kept beside") }, "\(lines)")
        #expect(lines.contains { $0.hasPrefix("+ node2: standby") })
    }

    @Test(
        "sets nothing aside that another server could not take the place of",
        arguments: ["mount point", "tablespaces"], [Rejoin.rewind, .rewindInPlace, .reseed])
    func leaves(what: String, rejoin: Rejoin) throws {
        var example = try PlanExample.converged()
        example.nodes["node2"]!.instance!.server!.isInRecovery = false
        if what == "tablespaces" {
            example.nodes["node2"]!.instance!.hasTablespaces = true
        } else {
            example.nodes["node2"]!.instance!.isMountPoint = true
        }
        let plan = try example.plan(rejoin: ["node2": rejoin])
        if what == "tablespaces", rejoin == .rewindInPlace { return #expect(plan.blocked.isEmpty && plan.mayLoseData) }
        #expect(plan.blocked.count == 1 && plan.blocked[0].reason.contains(what), "\(plan.blocked)")
        #expect(!plan.steps.contains { $0.host == "node2" })
    }

    @Test("makes no server where a mount point is to be its data directory, which could not be renamed")
    func mountPoint() throws {
        var example = try PlanExample.bare()
        example.nodes["node2"]!.instance!.data = .empty
        example.nodes["node2"]!.instance!.isMountPoint = true
        let plan = try example.plan()
        let problem = plan.blocked.first { $0.node == "node2" }
        #expect(problem?.hint?.contains("/data/data") == true && !plan.steps.contains { $0.host == "node2" }, "\(plan.blocked)")
    }

    @Test("makes no new cluster where all servers are lost and the repository has what they had")
    func lostCluster() throws {
        var example = try PlanExample.bare()
        example.repository.repository!.system = PlanExample.system
        let plan = try example.plan()
        #expect(plan.blocked.map(\.node) == ["node1"] && plan.blocked[0].hint?.contains("pgark restore --node node1") == true)
        #expect(!plan.steps.contains { $0.host.hasPrefix("node") })

        example.unreachable["repository"] = Failure(.hostUnreachable, "could not reach the repository")
        let unknown = try example.plan()
        #expect(unknown.blocked.map(\.node) == ["node1", "node2", "repository"], "\(unknown.blocked)")
        #expect(!unknown.steps.contains { $0.host.hasPrefix("node") })
    }

    @Test("streams no WAL of a cluster into the repository of another")
    func otherSystem() throws {
        var example = try PlanExample.converged()
        example.repository.repository!.system = 1
        example.repository.repository!.receiverIsRunning = false
        let plan = try example.plan()
        #expect(plan.blocked.map(\.node) == ["repository"] && plan.blocked[0].hint?.contains("pgark upgrade") == true)
        #expect(plan.steps.isEmpty, "\(plan.steps)")
    }

    @Test("makes anew a standby whose slot was lost, with a new slot, unless the file says to wait")
    func lostSlot() throws {
        var example = try PlanExample.converged()
        example.nodes["node1"]!.instance!.server!.slots["node2"] = .init(
            isPhysical: true, isActive: false, isReserved: false, walStatus: "lost")
        example.nodes["node1"]!.instance!.server!.senders = []
        let plan = try example.plan()
        let order = plan.steps.map { "\($0.host) \($0.changes.first?.object ?? $0.action.title)" }
        let slot = try #require(order.firstIndex(of: "node1 slot node2"))
        let aside = try #require(order.firstIndex(of: "node2 server"))
        let copy = try #require(order.firstIndex(of: "node2 standby"))
        #expect(slot < copy && aside < copy && plan.remarks.count == 1 && !plan.mayLoseData, "\(order)")
        guard case .sql(_, let statements) = plan.steps[slot].action else { throw PlanTestFailure() }
        #expect(statements.count == 3 && statements[1].contains("pg_drop_replication_slot"))

        example.text = example.text.replacing("keep: 1GB", with: "keep: 1GB, then: wait")
        example.repository.repository!.clusterFile = example.text
        let waiting = try example.plan()
        #expect(
            waiting.blocked.map(\.hint) == ["To make it anew: pgark rejoin node2"]
                && !waiting.steps.contains { $0.host == "node2" })
    }

    @Test("of a standby that leaves stops it, drops its slots, and takes it out of pg_hba.conf")
    func removal() throws {
        var example = try PlanExample.bare()
        let two = example.text
        example.text = two.replacing("replication:", with: "  node3: { host: 10.0.0.13, data: /data }\nreplication:")
        example.nodes["node3"] = PlanExample.host()
        example.nodes["node3"]!.instance = PlanExample.instance(try example.file, try example.file.nodes[2])
        try example.converge()
        #expect(try example.lines() == [])
        example.text = two
        var lines = try example.lines(remove: ["node3"])
        for wanted in [
            "- node3: server: /data → stopped, and kept as /data.before-pgark (restart)",
            "- node1: slot node3: of a node that leaves",
            "- node2: slot node3: of a node that leaves",
            "- node1: line of pg_hba.conf: host replication,postgres pgark_standby 10.0.0.13/32 scram-sha-256 (reload)",
        ] { #expect(lines.contains(wanted), "\(lines)") }
        #expect(try example.plan(remove: ["node3"]).remarks.isEmpty)
        // Also where it is not there any more.
        example.unreachable["node3"] = Failure(.hostUnreachable, "no")
        lines = try example.lines(remove: ["node3"])
        #expect(lines.contains("- node1: slot node3: of a node that leaves") && lines.contains("! node3: no"), "\(lines)")
        // A primary does not leave.
        example.unreachable = [:]
        example.nodes["node3"]!.instance!.server!.isInRecovery = false
        #expect(try example.lines(remove: ["node3"]).contains { $0.hasPrefix("! node3: it is no standby") })
    }

    @Test("can be limited to nodes and to objects")
    func selection() throws {
        let plan = try PlanExample.bare().plan()
        let node2 = plan.limited(toNodes: ["node2"], objects: [])
        #expect(Set(node2.steps.map(\.host)) == ["node1", "node2"])
        #expect(node2.changes.allSatisfy { $0.node == "node2" || $0.object == "slot node2" }, "\(node2.changes)")
        #expect(node2.remarks == ["\(plan.changes.count - node2.changes.count) other changes are left out"])
        let roles = plan.limited(toNodes: [], objects: ["role"])
        #expect(roles.changes.map(\.object) == ["role pgark", "role pgark_standby"])
        #expect(plan.limited(toNodes: [], objects: []) == plan)
        let drifted = try {
            var example = try PlanExample.converged()
            example.nodes["node1"]!.instance!.server!.slots["node2"] = nil
            example.nodes["node2"]!.instance!.accessRules = ""
            return try example.plan().limited(toNodes: [], objects: ["line of pg_hba.conf"])
        }()
        #expect(drifted.steps.map(\.action.title).starts(with: ["write its files", "reload"]), "\(drifted.steps)")
        #expect(!drifted.changes.contains { $0.object.hasPrefix("slot") })
    }

    @Test("never starts an old primary beside another")
    func oldPrimary() throws {
        var example = try PlanExample.converged()
        func stop(_ node: String, timeline: UInt32, isStandby: Bool) {
            example.nodes[node]!.instance!.server = nil
            example.nodes[node]!.instance!.isRunning = false
            example.nodes[node]!.instance!.hasStandbySignal = isStandby
            if case .present(var control)? = example.nodes[node]!.instance?.data {
                control.timeline = timeline
                example.nodes[node]!.instance!.data = .present(control)
            }
        }
        // One that was promoted runs.
        stop("node1", timeline: 1, isStandby: false)
        example.nodes["node2"]!.instance!.server!.isInRecovery = false
        var plan = try example.plan()
        #expect(plan.blocked.contains { $0.node == "node1" && $0.hint?.contains("pgark rejoin node1") == true }, "\(plan)")
        #expect(!plan.steps.contains { $0.host == "node1" })
        // It cannot be seen.
        example.unreachable["node2"] = Failure(.hostUnreachable, "no")
        plan = try example.plan()
        #expect(plan.blocked.contains { $0.node == "node1" && $0.reason.contains("node2 is not known") }, "\(plan)")
        #expect(!plan.steps.contains { $0.host == "node1" })
        // It runs, and follows nobody any more, on a newer timeline.
        example.unreachable = [:]
        stop("node2", timeline: 2, isStandby: true)
        plan = try example.plan()
        #expect(plan.blocked.contains { $0.node == "node1" && $0.reason.contains("timeline 2") }, "\(plan)")
        #expect(!plan.steps.contains { $0.host == "node1" })
        // Nothing speaks against it.
        stop("node2", timeline: 1, isStandby: true)
        plan = try example.plan()
        #expect(plan.blocked.isEmpty && plan.steps.contains { $0.host == "node1" && $0.action.title == "start" }, "\(plan)")
    }

    // MARK: Drift

    @Test("undoes what was changed by hand", arguments: Drift.all)
    fileprivate func drift(_ drift: Drift) throws {
        var example = try PlanExample.converged()
        try drift.change(&example)
        #expect(try example.lines() == drift.lines, "\(drift.name)")
    }

    fileprivate struct Drift: CustomTestStringConvertible {
        let name: String
        let lines: [String]
        let change: @Sendable (inout PlanExample) throws -> Void
        var testDescription: String { name }

        static let all = [
            Drift(
                name: "ALTER SYSTEM",
                lines: ["~ node1: setting max_connections: 7 (by ALTER SYSTEM) → 100 (reload)"]
            ) { $0.nodes["node1"]!.instance!.autoSettings = ["max_connections": "7", "work_mem": "1GB"] },
            Drift(
                name: "an edited block of pg_hba.conf",
                lines: [
                    "- node1: line of pg_hba.conf: host all all 0.0.0.0/0 trust (reload)",
                    "+ node1: line of pg_hba.conf: host all,replication pgark 10.0.0.20/32 scram-sha-256 (reload)",
                ]
            ) { example in
                example.nodes["node1"]!.instance!.accessRules!.replace(
                    "host all,replication pgark 10.0.0.20/32 scram-sha-256", with: "host all all 0.0.0.0/0 trust")
            },
            Drift(name: "lines of pg_hba.conf outside the block", lines: []) {
                $0.nodes["node1"]!.instance!.accessRules! += "host all app 10.0.0.0/8 scram-sha-256\n"
            },
            Drift(
                name: "a dropped slot", lines: ["+ node1: slot node2: holds WAL back from now on"]
            ) { $0.nodes["node1"]!.instance!.server!.slots["node2"] = nil },
            Drift(
                name: "another password",
                lines: ["~ node1: role pgark: the password of the passfiles"]
            ) { $0.nodes["node1"]!.instance!.server!.roles["pgark"]!.verifier = "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA" },
            Drift(
                name: "a superuser", lines: ["~ node1: role pgark: superuser → no superuser"]
            ) { $0.nodes["node1"]!.instance!.server!.roles["pgark"]!.isSuperuser = true },
            Drift(
                name: "a standby without its slot",
                lines: ["~ node2: standby: not streaming → streaming from node1 through the slot node2"]
            ) { $0.nodes["node1"]!.instance!.server!.senders = [.init(application: "node2", state: "streaming", slot: nil)] },
            Drift(name: "a stopped standby", lines: ["~ node2: server: stopped → running"]) { example in
                example.nodes["node2"]!.instance!.isRunning = false
                example.nodes["node2"]!.instance!.server = nil
                example.nodes["node1"]!.instance!.server!.senders = []
            },
            Drift(
                name: "files that nobody made the server read",
                lines: ["~ node1: configuration files: changed since the server read them → read again (reload)"]
            ) { $0.nodes["node1"]!.instance!.filesChanged = 101 },
            Drift(name: "a stopped receiver", lines: ["+ repository: WAL receiver: running"]) {
                $0.repository.repository!.receiverIsRunning = false
            },
        ]
    }

    // MARK: What cannot be done

    @Test("says what stands in the way and how to get past it, and plans the rest", arguments: Obstacle.all)
    fileprivate func obstacle(_ obstacle: Obstacle) throws {
        var example = try PlanExample.converged()
        try obstacle.change(&example)
        let plan = try example.plan()
        #expect(plan.blocked.map(\.node) == [obstacle.node], "\(obstacle.name): \(plan.blocked)")
        #expect(plan.blocked.first?.reason.contains(obstacle.reason) == true, "\(plan.blocked)")
        #expect(!plan.steps.contains { $0.host == obstacle.node }, "\(plan.steps)")
    }

    fileprivate struct Obstacle: CustomTestStringConvertible {
        let name: String
        let node: String
        let reason: String
        let change: @Sendable (inout PlanExample) throws -> Void
        var testDescription: String { name }

        static let all = [
            Obstacle(name: "an unreachable host", node: "node2", reason: "could not reach node2") {
                $0.unreachable["node2"] = Failure(.hostUnreachable, "could not reach node2: timed out")
            },
            Obstacle(name: "a foreign system", node: "node2", reason: "is of another system") { example in
                example.nodes["node2"]!.instance!.data = .present(
                    ControlFacts(
                        systemIdentifier: 5, major: 18, state: "", timeline: 1, hasChecksums: true, logsHints: false,
                        required: [:]))
                example.nodes["node2"]!.instance!.server!.systemIdentifier = 5
            },
            Obstacle(name: "a directory that is no server", node: "node2", reason: "holds something that is no data directory") {
                $0.nodes["node2"]!.instance!.data = .foreign(some: ["photos"])
            },
            Obstacle(name: "another major version", node: "node2", reason: "is of PostgreSQL 17") {
                $0.nodes["node2"]!.instance!.data = .present(
                    ControlFacts(
                        systemIdentifier: PlanExample.system, major: 17, state: "", timeline: 1, hasChecksums: true,
                        logsHints: false, required: [:]
                    ))
            },
            Obstacle(name: "a taken port", node: "node2", reason: "port 5432 is taken") { example in
                example.nodes["node2"]!.instance!.data = .absent
                example.nodes["node2"]!.instance!.portIsTaken = true
            },
            Obstacle(name: "an error in its files", node: "node2", reason: "work_mem: invalid value") {
                $0.nodes["node2"]!.instance!.server!.fileErrors = ["/data/pgark.conf, line 7: work_mem: invalid value"]
            },
            Obstacle(name: "another user", node: "node2", reason: "\"user\" is admin") { example in
                example.text = example.text.replacing("host: 10.0.0.12,", with: "host: 10.0.0.12, user: admin,")
                example.repository.repository!.clusterFile = example.text
            },
            Obstacle(name: "the same server twice", node: "node2", reason: "is that of node1: they are one server") { example in
                for node in ["node1", "node2"] { example.nodes[node]!.instance!.identity = "boot 1 2" }
            },
            Obstacle(name: "no libpq", node: "node2", reason: "libpq is not there") { $0.nodes["node2"]!.hasLibPQ = false },
            Obstacle(name: "no libpq for the receiver", node: "repository", reason: "libpq is not there") {
                $0.repository.hasLibPQ = false
            },
            Obstacle(name: "a relative repository", node: "repository", reason: "is relative to /etc/shop.yaml") { example in
                example.text = example.text.replacing("{ host: 10.0.0.20, path: /repo }", with: "{ path: repo }")
                example.repository.repository!.clusterFile = example.text
            },
            Obstacle(name: "no root", node: "node2", reason: "may not become it") { $0.nodes["node2"]!.isRoot = false },
        ]
    }

    @Test("touches neither of two primaries, nor who follows one of them")
    func fork() throws {
        var example = try PlanExample.converged()
        example.text = example.text.replacing("replication:", with: "  node3: { host: 10.0.0.13, data: /data }\nreplication:")
        example.nodes["node3"] = PlanExample.host()
        example.nodes["node3"]!.instance = PlanExample.instance(try example.file, try example.file.nodes[2])
        try example.converge()
        example.nodes["node2"]!.instance!.server!.isInRecovery = false
        example.nodes["node2"]!.instance!.server!.timeline = 2
        let plan = try example.plan()
        #expect(plan.steps.isEmpty && plan.blocked.map(\.node) == ["node1", "node2"], "\(plan)")
        #expect(plan.blocked.allSatisfy { $0.reason.contains("the cluster's history forked") })
        let rejoined = try example.plan(rejoin: ["node1": .rewind])
        #expect(rejoined.blocked.isEmpty && rejoined.steps.contains { $0.host == "node1" }, "\(rejoined)")
    }

    @Test("makes nothing of the only server that there is", arguments: [Rejoin.rewind, .rewindInPlace, .reseed], [true, false])
    func onlyServer(rejoin: Rejoin, isOther: Bool) throws {
        var example = try PlanExample.converged()
        example.repository.repository!.system = nil
        if isOther {
            // The other node has nothing yet.
            example.nodes["node2"]!.instance = PlanExample.instance(try example.file, try example.file.nodes[1])
        } else {
            example.nodes["node2"] = nil
            example.text = example.text.replacing("  node2: { host: 10.0.0.12, data: /data }\n", with: "")
        }
        let plan = try example.plan(rejoin: ["node1": rejoin])
        #expect(!plan.steps.contains { $0.host.hasPrefix("node") }, "\(plan.steps)")
        #expect(plan.blocked.contains { $0.node == "node1" })
    }

    @Test("leaves a standby as it is whose upstream cannot be looked at")
    func orphan() throws {
        var example = try PlanExample.converged()
        example.text = example.text.replacing(
            "replication:", with: "  node3: { host: 10.0.0.13, data: /data, upstream: node2 }\nreplication:")
        example.nodes["node3"] = PlanExample.host()
        example.nodes["node3"]!.instance = PlanExample.instance(try example.file, try example.file.nodes[2])
        try example.converge()
        example.unreachable["node2"] = Failure(.hostUnreachable, "could not reach node2")
        let plan = try example.plan()
        #expect(plan.steps.isEmpty && plan.blocked.map(\.node) == ["node2", "node3"], "\(plan)")
    }

    @Test("has the slot of a standby hold WAL back before that is made again")
    func reservedBeforehand() throws {
        var example = try PlanExample.converged()
        example.nodes["node2"]!.instance!.server!.isInRecovery = false
        example.nodes["node1"]!.instance!.server!.slots["node2"] = .init(
            isPhysical: true, isActive: false, isReserved: false, walStatus: nil)
        for rejoin in [Rejoin.rewind, .reseed] {
            let plan = try example.plan(rejoin: ["node2": rejoin])
            let slot = try #require(plan.steps.firstIndex { $0.changes.first?.object == "slot node2" })
            let made = try #require(
                plan.steps.firstIndex { ["copy into /data", "pg_rewind of /data"].contains($0.action.title) })
            #expect(slot < made && plan.steps[slot].changes[0].to == "holds WAL back from now on", "\(plan.steps)")
        }
    }

    @Test("lets no slot hold WAL back for nobody, as long as it is known that nobody needs it")
    func frozenSlot() throws {
        var example = try PlanExample.converged()
        example.nodes["node2"]!.instance!.server!.slots["pgark"] = .init(
            isPhysical: true, isActive: false, isReserved: true, walStatus: nil)
        try #expect(
            example.lines() == ["~ node2: slot pgark: holds WAL back for nobody → holds nothing until this node is the primary"])
        example.nodes["node1"]!.instance!.server!.slots["pgark"]!.isActive = false
        #expect(try !example.lines().contains { $0.contains("slot pgark") })
    }

    @Test("keeps what it knows of a lost slot until its standby is made anew")
    func lostSlotWithoutRoom() throws {
        var example = try PlanExample.converged()
        example.nodes["node1"]!.instance!.server!.slots["node2"] = .init(
            isPhysical: true, isActive: false, isReserved: false, walStatus: "lost")
        example.nodes["node1"]!.instance!.server!.senders.removeAll { $0.slot == "node2" }
        example.nodes["node2"]!.instance!.freeBytes = 1 << 20
        let plan = try example.plan()
        #expect(plan.steps.isEmpty && plan.blocked.map(\.node) == ["node2"], "\(plan)")
    }

    @Test("makes no second primary while it is not known what the first node has")
    func unknownFirst() throws {
        var example = try PlanExample.bare()
        example.unreachable["node1"] = Failure(.hostUnreachable, "could not reach node1")
        let plan = try example.plan()
        #expect(plan.blocked.map(\.node) == ["node1", "node2"] && !plan.steps.contains { $0.host.hasPrefix("node") })
    }

    @Test("replaces a server that a package made and nobody used, and keeps what it had")
    func pristine() throws {
        var example = try PlanExample.converged()
        example.nodes["node2"]!.instance!.server!.isPristine = true
        example.nodes["node2"]!.instance!.server!.isInRecovery = false
        example.nodes["node2"]!.instance!.data = .present(
            ControlFacts(
                systemIdentifier: 5, major: 18, state: "", timeline: 1, hasChecksums: true, logsHints: false, required: [:]))
        let titles = try example.plan().steps.filter { $0.host == "node2" }.map(\.action.title)
        #expect(titles.prefix(3) == ["set /data aside", "copy into /data", "start"], "\(titles)")
    }

    @Test("copies nothing to where it has no room, and says how much that takes")
    func noRoom() throws {
        var example = try PlanExample.converged()
        example.nodes["node2"]!.instance!.data = .absent
        example.nodes["node2"]!.instance!.freeBytes = 1 << 30
        let plan = try example.plan()
        #expect(
            plan.blocked.first?.reason.contains("1.5 GiB") == true && !plan.steps.contains { $0.host == "node2" },
            "\(plan.blocked)")
    }

    @Test("remarks on a clock that is wrong, and on slots and roles that are not ours, and leaves those alone")
    func remarks() throws {
        var example = try PlanExample.converged()
        example.clocksAhead = ["node2": -90]
        example.nodes["node1"]!.instance!.server!.slots["barman"] = .init(isPhysical: true, isActive: false, isReserved: true)
        example.nodes["node1"]!.instance!.server!.roles["barman"] = .init(
            mayLogIn: true, mayReplicate: true, isSuperuser: true, verifier: nil, grants: [])
        let plan = try example.plan()
        #expect(plan.steps.isEmpty && plan.remarks.count == 3, "\(plan.remarks)")
        #expect(plan.remarks.contains { $0.contains("90 s behind") })
    }

    // MARK: Restarts

    @Test(
        "that changes what standbys must have restarts them first when it rises, and last when it falls",
        arguments: [(200, ["node2", "node1"]), (50, ["node1", "node2"])])
    func order(value: Int, nodes: [String]) throws {
        var example = try PlanExample.converged()
        example.text = example.text.replacing("max_connections: 100", with: "max_connections: \(value)")
        let plan = try example.plan()
        let restarts = plan.steps.filter { if case .restart = $0.action { true } else { false } }
        #expect(restarts.map(\.host) == nodes && plan.writeOutageSeconds > 0)
        guard case .restart(_, let lowered)? = restarts.first(where: { $0.host == "node2" })?.action else { return }
        #expect(lowered == (value < 100 ? ["max_connections": value] : [:]))
    }

    @Test("makes a standby of a backup where that leads to what the receiver holds back, else of the primary")
    func seed() throws {
        var example = try PlanExample.converged()
        example.nodes["node2"]!.instance!.data = .absent
        example.nodes["node2"]!.instance!.isRunning = false
        example.repository.repository!.seed = .init(
            backup: "b1", systemIdentifier: PlanExample.system, timeline: 1, major: 18, bytes: 1 << 30)
        func source() throws -> String? { try example.plan().steps.first { $0.host == "node2" }?.action.title }
        #expect(try source() == "copy from the repository into /data")
        example.repository.repository!.seed!.timeline = 2
        #expect(try source() == "copy into /data")
        example.repository.repository!.seed!.timeline = 1
        example.repository.repository!.receiverIsRunning = false
        #expect(try source() == "copy into /data")
    }

    @Test("waits for no delayed standby that is there already: it asks for WAL when it has replayed what it has")
    func delayed() throws {
        var example = try PlanExample.converged()
        example.text = example.text.replacing("host: 10.0.0.12,", with: "host: 10.0.0.12, delay: 1h,")
        try example.converge()
        example.nodes["node1"]!.instance!.server!.senders = []
        let plan = try example.plan()
        #expect(plan.steps == [] && plan.remarks.count == 1 && plan.remarks[0].contains("does not stream now"))
        example.nodes["node2"]!.instance!.data = .absent
        example.nodes["node2"]!.instance!.server = nil
        #expect(try example.plan().steps.contains { if case .awaitStandby = $0.action { true } else { false } })
    }
}

struct PlanTestFailure: Error {}
