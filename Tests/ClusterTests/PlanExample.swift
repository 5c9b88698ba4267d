@testable import Cluster
import Postgres
import PostgresModel
import SystemPackage

/// A cluster that is as its file says: two nodes and a repository. Tests change what was found, or what is wanted.
struct PlanExample {
    var text = """
        cluster: shop
        postgres: { version: 18, bin: /pg/bin, parameters: { max_connections: 100 } }
        nodes:
          node1: { host: 10.0.0.11, data: /data }
          node2: { host: 10.0.0.12, data: /data }
        replication: { slots: { keep: 1GB } }
        repository: { host: 10.0.0.20, path: /repo }
        """
    var nodes: [String: HostFacts] = [:]
    var unreachable: [String: Failure] = [:]
    var clocksAhead: [String: Double] = [:]
    var connectionPasswords: [String: String] = [:]
    var repository: HostFacts

    static let system: UInt64 = 7_000_000_000_000_000_001
    static let passwords = ["pgark": "secret1", "pgark_standby": "secret2"]

    var file: ClusterFile { get throws { try ClusterFile.parse(text: text, path: "/etc/shop.yaml") } }

    /// With nothing on any host but the programs.
    static func bare() throws -> PlanExample {
        var example = PlanExample(repository: host())
        example.repository.repository = RepositoryHostFacts(
            hasAccount: false, directoryOwner: nil, clusterFile: nil, passfile: nil, programDigest: nil, ownDigest: "d",
            receiverIsRunning: false, serviceFiles: [:], units: [:], seed: nil)
        for node in try example.file.nodes {
            example.nodes[node.name] = host()
            example.nodes[node.name]!.instance = instance(try example.file, node)
        }
        return example
    }

    /// As it is after an apply of its file.
    static func converged() throws -> PlanExample {
        var example = try bare()
        try example.converge()
        return example
    }

    /// Makes the facts what they are after an apply, node1 being the primary.
    mutating func converge() throws {
        let file = try file, secrets = Secrets(Self.passwords)
        for (name, var host) in nodes {
            let node = file.nodes.first { $0.name == name }!
            var instance = host.instance!
            let upstream = name == "node1" ? nil : file.nodes.first { $0.name == node.placement?.upstream ?? "node1" }
            let desired = DesiredFiles(
                file: file, node: node, placement: node.placement!, layout: instance.layout!, major: 18, hasChecksums: true,
                upstream: upstream, repositoryAddress: "10.0.0.20",
                tls: Self.stage(file, node, instance.layout!, upstream: upstream))
            if file.tls(of: node) != .off { instance.tls = Self.certified }
            instance.data = .present(
                ControlFacts(
                    systemIdentifier: Self.system, major: 18, state: "in production", timeline: 1, hasChecksums: true,
                    logsHints: false,
                    required: [:]))
            instance.include = desired.files.include
            instance.includesOurs = true
            instance.accessRules = AccessBlock.replace(in: "local all all peer\n", with: desired.files.accessRules)
            instance.passfile = try secrets.filled(desired.files.passfile)
            instance.hasStandbySignal = upstream != nil
            instance.isRunning = true
            instance.server = try server(desired, name: name, upstream: upstream)
            host.instance = instance
            nodes[name] = host
        }
        try convergeRepository(file, secrets)
    }

    private func server(_ desired: DesiredFiles, name: String, upstream: ClusterFile.Node?) throws -> ServerFacts {
        let others = try file.nodes.filter { $0.name != name }
        let slots = Dictionary(
            uniqueKeysWithValues: (others.map(\.slot) + ["pgark"]).map {
                ($0, ServerFacts.Slot(isPhysical: true, isActive: upstream == nil, isReserved: upstream == nil, walStatus: nil))
            })
        var settings: [String: ServerFacts.Setting] = [:]
        for (setting, value) in desired.settings {
            settings[setting] = .init(
                value: value, text: value, source: "configuration file", file: desired.layout.include, isPending: false,
                context: ["max_connections", "port", "listen_addresses"].contains(setting) ? "postmaster" : "sighup")
        }
        return ServerFacts(
            version: 180_004, isInRecovery: upstream != nil, systemIdentifier: Self.system, timeline: 1, settings: settings,
            roles: try Dictionary(
                uniqueKeysWithValues: ClusterRoles.all.map {
                    (
                        $0,
                        ServerFacts.Role(
                            mayLogIn: true, mayReplicate: true, isSuperuser: false,
                            verifier: try PasswordVerifier.scram(Self.passwords[$0]!), grants: ClusterRoles.grants($0))
                    )
                }), slots: slots,
            senders: upstream != nil
                ? []
                : (others.map(\.slot) + ["pgark"]).map {
                    .init(application: $0, state: "streaming", slot: $0, isEncrypted: true)
                },
            receiver: upstream.map { .init(status: "streaming", slot: desired.node.slot, host: $0.placement?.host, port: 5432) },
            isPristine: false,
            databaseBytes: 1 << 30, filesRead: 100)
    }

    private mutating func convergeRepository(_ file: ClusterFile, _ secrets: Secrets) throws {
        repository.repository = RepositoryHostFacts(
            hasAccount: true, directoryOwner: "pgark", clusterFile: text,
            passfile: try secrets.filled(Planner.repositoryPasswords(file)), programDigest: "d", ownDigest: "d",
            receiverIsRunning: true, receiverStarted: 2000, receiverInputsChanged: 1000,
            serviceFiles: ServiceFiles(file).texts(for: .cron), units: [:], system: Self.system, seed: nil)
        if !file.nodesWithTLS.isEmpty { repository.repository!.authority = Self.authority }
    }

    static func host() -> HostFacts {
        HostFacts(
            hostName: "h", isRoot: true, clock: 0, hasSystemd: false, hasCron: true, hasApt: true, instance: nil, repository: nil
        )
    }

    static func instance(_ file: ClusterFile, _ node: ClusterFile.Node) -> InstanceFacts {
        let layout = InstanceLayout(
            kind: .plain, programs: "/pg/bin", data: "/data", configuration: "/data", port: node.placement!.port,
            log: "/data.log",
            sockets: "/tmp", passfile: "/.pgark.pgpass", debianName: nil)
        return InstanceFacts(
            layout: layout, version: 180_004, installedMajors: [18], hasServerAccount: true, data: .absent, freeBytes: 1 << 40,
            portIsTaken: false, include: nil, includesOurs: false, accessRules: nil, autoSettings: [:], passfile: nil,
            hasStandbySignal: false, hasTablespaces: false, filesChanged: 99, isRunning: false, server: nil, serverFailure: nil,
            contexts: ["max_connections": "postmaster", "work_mem": "user"])
    }

    func plan(rejoin: [String: Rejoin] = [:], remove: [String] = []) throws -> Plan {
        let leaving = remove.map { ClusterFile.Node(name: $0, connection: "", placement: nil) }
        return try Planner.plan(file, facts, rejoin: rejoin, remove: leaving)
    }

    var facts: ClusterFacts {
        var hosts = nodes.mapValues { ClusterFacts.Host.reached($0) }
        for (name, failure) in unreachable where name != Plan.repositoryHost { hosts[name] = .unreachable(failure) }
        return ClusterFacts(
            nodes: hosts,
            repository: unreachable[Plan.repositoryHost].map { .unreachable($0) } ?? .reached(repository),
            repositoryAddresses: [:], clocksAhead: clocksAhead,
            connectionPasswords: connectionPasswords)
    }

    /// The plan, a line for each change and each blockage.
    func lines(rejoin: [String: Rejoin] = [:], remove: [String] = []) throws -> [String] {
        let plan = try plan(rejoin: rejoin, remove: remove)
        return plan.changes.map { change in
            let mark = ["create": "+", "change": "~", "remove": "-"][change.action.rawValue]!
            let parts = [change.from, change.to].compactMap { $0 }.joined(separator: " → ")
            return "\(mark) \(change.node): \(change.object)" + (parts.isEmpty ? "" : ": \(parts)")
                + (change.effect == .none ? "" : " (\(change.effect.rawValue))")
        } + plan.blocked.map { "! \($0.node): \($0.reason)" }
    }
}
