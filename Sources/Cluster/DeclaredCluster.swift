import Postgres
import PostgresModel

/// What the cluster file says of how the nodes stand to each other, against what they are. Of nodes that pgark only watches
/// it says nothing.
extension ClusterView {
    /// The slot that a node streams through.
    func declaredSlot(of node: String) -> String? {
        file.nodes.first { $0.name == node && $0.placement != nil }?.slot
    }

    /// Whom a standby is to follow, where that one answered (as `Planner.upstream`).
    func declaredUpstream(of standby: Reached) -> Reached? {
        guard let placement = file.placement(of: standby.name) else { return nil }
        guard let name = placement.upstream, name != standby.name else { return primary }
        return reached(name)
    }

    /// How far a node is to be behind; nil where that is its own affair.
    func declaredDelay(of node: String) -> Double? { file.placement(of: node).map { $0.delaySeconds ?? 0 } }

    /// Whose a slot is by its name: a node's or the repository's. Nil for one that is not of this cluster.
    func owner(ofSlot name: String) -> String? {
        if name == receiverSlotName { return "the repository" }
        if let node = file.nodes.first(where: { declaredSlot(of: $0.name) == name }) { return node.name }
        return standbys.first { $0.server.walReceiver?.slot == name }?.name
    }

    /// The slots that `apply` makes on a node.
    func declaredSlots(on node: String) -> [String] {
        guard file.placement(of: node) != nil else { return [] }
        return file.nodes.filter { $0.name != node }.compactMap { declaredSlot(of: $0.name) } + [receiverSlotName]
    }
}

extension ClusterFile {
    func placement(of node: String) -> Placement? { nodes.first { $0.name == node }?.placement }
}
