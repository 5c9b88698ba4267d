import Postgres
package import PostgresModel
import Storage

/// Everything that is known about a cluster at one moment, and what follows from it without asking anybody again.
package struct ClusterView: Sendable {
    package let file: ClusterFile
    /// In the order of the file.
    package let nodes: [NodeObservation]
    package let repository: RepositoryFacts
    package let time: Timestamp
    /// How far this host's clock is from UTC at a moment, in seconds: schedules go by it.
    package var zone: @Sendable (Timestamp) -> Int = { $0.localOffsetSeconds }

    package init(file: ClusterFile, nodes: [NodeObservation], repository: RepositoryFacts, time: Timestamp) {
        self.file = file
        self.nodes = nodes
        self.repository = repository
        self.time = time
    }

    /// A node that answered.
    struct Reached: Sendable {
        let name: String
        let server: ServerObservation
    }

    var reached: [Reached] { nodes.compactMap { node in node.server.map { Reached(name: node.node, server: $0) } } }
    var primaries: [Reached] { reached.filter { !$0.server.isInRecovery } }
    var standbys: [Reached] { reached.filter(\.server.isInRecovery) }

    /// The one primary; nil where none answered and where several claim to be it.
    var primary: Reached? { primaries.count == 1 ? primaries[0] : nil }

    /// The node whose slot our WAL receiver uses, and that slot: an active one before one that is only there, the
    /// primary's before a standby's. One that waits on a standby for the day on which that is the primary is nobody's.
    var receiverSlot: (node: Reached, slot: ServerObservation.Slot)? {
        let found = (primaries + standbys).compactMap { node in
            node.server.slot(receiverSlotName).map { (node: node, slot: $0) }
        }.filter { !$0.node.server.isInRecovery || !$0.slot.isSpare }
        return found.first(where: \.slot.isActive) ?? found.first
    }

    var receiverSlotName: String { file.repository.slot.description }

    /// The process on the server that sends WAL to our receiver.
    var receiverSender: ServerObservation.WALSender? {
        guard let (node, slot) = receiverSlot, let process = slot.activeProcess else { return nil }
        return node.server.walSenders.first { $0.processIdentifier == process }
    }

    /// The end of what is durable in the repository: what was reported to the server, else what lies there.
    var durableLSN: LSN? {
        guard repository.receiver.isRunning, let flushed = receiverSender?.flushedLSN else {
            return [repository.receiver.durableLSN, repository.receiver.receivedLSN].compactMap(\.self).max()
        }
        return flushed
    }

    /// Bytes that the server has written and the repository does not have.
    var repositoryLag: ByteCount? {
        guard let end = (receiverSlot?.node ?? primary)?.server.positions.end, let durable = durableLSN else { return nil }
        return ByteCount(max(0, end - durable))
    }

    /// The node that a standby streams from, by the address that it says it is connected to; also where it did not answer us.
    func upstreamName(of standby: Reached) -> String? {
        guard let receiver = standby.server.walReceiver else { return nil }
        if let host = receiver.senderHost {
            let match = file.nodes.first { node in
                let address = ConnectionText(node.connection)
                return address.host == host && address.port == receiver.senderPort && node.name != standby.name
            }
            if let match { return match.name }
        }
        // The same server may have two addresses; a slot in use under its name is as good a sign.
        return (primaries + standbys).first { node in
            node.name != standby.name && node.server.slots.contains { $0.name == receiver.slot && $0.isActive }
        }?.name
    }

    func upstream(of standby: Reached) -> Reached? { upstreamName(of: standby).flatMap(reached(_:)) }

    func reached(_ name: String) -> Reached? { reached.first { $0.name == name } }

    /// What the upstream says about a standby: found by the slot, else by the name it gave.
    func sender(to standby: Reached) -> ServerObservation.WALSender? {
        guard let upstream = upstream(of: standby) ?? primary else { return nil }
        let slot = upstream.server.slots.first { $0.name == standby.server.walReceiver?.slot }
        if let process = slot?.activeProcess,
            let sender = upstream.server.walSenders.first(where: { $0.processIdentifier == process })
        {
            return sender
        }
        return upstream.server.walSenders.first { $0.application == standby.name }
    }
}

extension ServerObservation {
    /// A physical slot.
    func slot(_ name: String) -> Slot? { slots.first { $0.name == name && $0.kind == "physical" } }
}
