package import PostgresModel
import Storage

/// One line of `status`: what a node is and how it stands to the others.
package struct NodeStatus: Sendable, Encodable, Equatable {
    package enum Role: String, Sendable, Encodable {
        case primary, standby, unreachable
        /// A server is there, and did not let us ask.
        case unknown
    }

    package var name: String
    package var role: Role
    /// running, or what pg_stat_wal_receiver says, or why the node could not be reached.
    package var state: String
    @Nullable package var version: String?
    @Nullable package var timeline: TimelineID?
    /// What it has; on a primary: what it wrote.
    @Nullable package var receivedLSN: LSN?
    @Nullable package var replayedLSN: LSN?
    @Nullable package var lagBytes: Int?
    @Nullable package var lagSeconds: Double?
    /// How far it stays behind on purpose; nil where it does not.
    @Nullable package var delaySeconds: Double?
    /// A node's name, else an address.
    @Nullable package var upstream: String?
    @Nullable package var slot: String?
    /// What the upstream gains from waiting for it: async, potential, sync or quorum.
    @Nullable package var sync: String?
}

extension ClusterView {
    package var nodeStatuses: [NodeStatus] {
        nodes.map { node in
            switch node.state {
            case .unreachable(let failure): NodeStatus(name: node.node, role: .unreachable, state: failure.message.onOneLine)
            case .refusing(let failure): NodeStatus(name: node.node, role: .unknown, state: failure.message.onOneLine)
            case .reached(let server): status(of: Reached(name: node.node, server: server))
            }
        }
    }

    private func status(of node: Reached) -> NodeStatus {
        let server = node.server
        var status = NodeStatus(
            name: node.name, role: server.isInRecovery ? .standby : .primary, state: "running",
            version: "\(server.version)", timeline: server.timeline)
        guard server.isInRecovery else {
            status.receivedLSN = server.positions.current
            return status
        }
        let receiver = server.walReceiver
        status.state = receiver.map { $0.status ?? "not visible" } ?? "no WAL receiver"
        status.receivedLSN = server.positions.end
        status.replayedLSN = server.positions.replayed
        let lag = lag(of: node)
        status.lagBytes = lag.bytes?.rawValue
        status.lagSeconds = lag.seconds
        status.delaySeconds = server.delaySeconds > 0 ? server.delaySeconds : nil
        status.upstream = upstreamName(of: node) ?? receiver?.senderHost.map { "\($0):\(receiver?.senderPort ?? "")" }
        status.slot = receiver?.slot
        status.sync = sender(to: node)?.sync
        return status
    }

    /// The timeline of the primary, else the highest that a node is on.
    package var timeline: TimelineID? { primary?.server.timeline ?? reached.compactMap(\.server.timeline).max() }

    /// Where our receiver gets its WAL from, and how far it is behind.
    package var receiverNode: String? { receiverSlot?.node.name }
    package var repositoryLagBytes: Int? { repositoryLag?.rawValue }
    package var repositoryDurableLSN: LSN? { durableLSN }

    /// What is not as it should be, a line each.
    package var warnings: [String] {
        Checks(self).results().filter { $0.result != .ok }.map { result in
            "\(result.name.rawValue)\(result.node.map { " (\($0))" } ?? ""): \(result.message)"
        }
    }

    /// Looks at everything: the nodes first, so that the repository can only be ahead of what they said of it.
    package static func observe(_ file: ClusterFile) throws -> ClusterView {
        let nodes = try Observer.observe(file.nodes)
        let facts = RepositoryFacts.read(file.repository, cluster: file.name)
        return ClusterView(file: file, nodes: nodes, repository: facts, time: .now)
    }
}
