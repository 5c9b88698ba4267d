import Postgres
import PostgresModel

/// A cluster file that is to be: what `init` found or was told, and its text with remarks for who reads it.
package struct ClusterDraft: Sendable, Equatable {
    package struct Node: Sendable, Equatable {
        package var name: String
        package var form: Form
        package var remark: String?
        /// False for one that is only written as a comment, to be looked at.
        package var isActive = true

        package enum Form: Sendable, Equatable {
            case protected(connection: String)
            case managed(ClusterFile.Placement)
        }
    }

    package var cluster: String
    package var nodes: [Node] = []
    package var repositoryPath: String
    package var repositoryHost: String?
    package var major: Int?
    package var programs: String?
    package var installs = false
    /// What was noticed, for whoever runs `init`.
    package var remarks: [String] = []

    package init(cluster: String, repositoryPath: String, repositoryHost: String? = nil) {
        self.cluster = cluster
        self.repositoryPath = repositoryPath
        self.repositoryHost = repositoryHost
    }

    // MARK: Where it comes from

    /// Servers that keep all they have; pgark only connects. `base` is what their connections have beside the server's place.
    package mutating func protect(_ servers: [ClusterDiscovery.Server], base: [(keyword: String, value: String)]) {
        for server in servers {
            var parts = [(keyword: "host", value: server.address)]
            if server.port != 5432 { parts.append(("port", "\(server.port)")) }
            parts += [("user", ClusterRoles.repository), ("dbname", "postgres")] + base
            nodes.append(
                Node(
                    name: name(for: server), form: .protected(connection: ConnectionText.make(parts)),
                    remark: Self.remark(server),
                    isActive: server.isThere))
            if !server.isThere {
                remarks.append("\(nodes.last!.name) is written as a comment: \(server.problem ?? "it did not answer")")
            }
        }
    }

    /// Servers that `apply` is to look after, as they are: no directory is made anew, and no slot of another name.
    package mutating func manage(_ servers: [ClusterDiscovery.Server]) throws {
        if let silent = servers.first(where: { $0.survey?.data == nil }) {
            throw Failure(
                .hostUnreachable, "could not take over the cluster: \(silent.address) could not be asked",
                details: [silent.problem ?? "its data directory is not known"],
                hint: "Make this work without a question: ssh \(silent.address) true; or protect only, without --manage")
        }
        for server in servers {
            guard let survey = server.survey, let data = survey.data else { continue }
            let name = name(for: server), delay = survey.settings["recovery_min_apply_delay"].flatMap { Double($0) } ?? 0
            let slot = survey.slot.flatMap { $0 == ClusterFile.Node.slot(for: name) ? nil : try? SlotName($0) }
            let upstream = server.upstream.flatMap { $0 == 0 ? nil : nodes[$0].name }
            nodes.append(
                Node(
                    name: name,
                    form: .managed(
                        .init(
                            host: server.address, port: server.port, ssh: server.address, data: data, slot: slot,
                            upstream: upstream,
                            delaySeconds: delay >= 1000 ? delay / 1000 : nil)),
                    remark: Self.remark(server)))
        }
        major = servers[0].survey?.major
        managePrograms(servers.compactMap(\.survey?.programs))
        remarkSynchronous(servers)
    }

    private mutating func managePrograms(_ places: [String]) {
        guard let first = places.first, let major, first != "/usr/lib/postgresql/\(major)/bin" else { return }
        programs = first
        if let other = places.first(where: { $0 != first }) {
            remarks.append("the servers' programs are in \(first) and in \(other); postgres.bin can name one of them only")
        }
    }

    /// A standby's name for synchronous_standby_names becomes that of its node.
    private mutating func remarkSynchronous(_ servers: [ClusterDiscovery.Server]) {
        guard let names = servers[0].survey?.settings["synchronous_standby_names"], !names.isEmpty else { return }
        for (node, server) in zip(nodes, servers) where server.upstream == 0 && node.name != server.application {
            remarks.append(
                "\(node.name) has called itself \"\(server.application)\", and will call itself \"\(node.name)\": "
                    + "synchronous_standby_names is \"\(names)\"; change it first, or commits will wait")
        }
    }

    /// Hosts that have nothing yet, or what is to be taken over as it is.
    package mutating func place(_ hosts: [String]) {
        for (index, host) in hosts.enumerated() {
            let placement = ClusterFile.Placement(host: host, port: 5432, ssh: host)
            nodes.append(
                Node(
                    name: "node\(index + 1)", form: .managed(placement),
                    remark: index == 0 ? "the primary, where there is no server yet" : nil))
        }
    }

    /// What a standby calls itself, where that can be a name; walreceiver is what those are called that were given none.
    private func name(for server: ClusterDiscovery.Server) -> String {
        let wanted = server.application,
            isTaken = nodes.contains { $0.name == wanted || $0.name.lowercased() == wanted.lowercased() }
        let generic = ["walreceiver", "pg_basebackup", ClusterRoles.repository, "repository"]
        if ClusterFileParser.isName(wanted), !isTaken, !generic.contains(wanted) { return wanted }
        return (1...).lazy.map { "node\($0)" }.first { name in
            !nodes.contains { $0.name == name } && (server.upstream == nil || name != "node1")
        }!
    }

    private static func remark(_ server: ClusterDiscovery.Server) -> String? {
        guard let survey = server.survey else { return server.problem.map { "it could not be asked: \($0)" } }
        return survey.isInRecovery ? "a standby" : "the primary, PostgreSQL \(ServerVersion(number: survey.version))"
    }

    package var active: [Node] { nodes.filter(\.isActive) }
    package var isProtecting: Bool {
        nodes.contains { if case .protected = $0.form { true } else { false } }
    }
}
