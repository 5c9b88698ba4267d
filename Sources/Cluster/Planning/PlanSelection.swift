import PostgresModel

extension Plan {
    /// Only what is done for these nodes, and only what changes these objects, each named as the plan does or by its beginning.
    /// Empty: all. `slot`: of a node.
    package func limited(
        toNodes nodes: Set<String>, objects: [String], slot: (String) -> String = ClusterFile.Node.slot(for:)
    ) -> Plan {
        if nodes.isEmpty, objects.isEmpty { return self }
        var limited = self
        limited.steps = []
        for step in steps where nodes.isEmpty || !nodes.isDisjoint(with: step.served(among: nodes, slot)) {
            let isWanted = step.changes.contains { change in objects.contains { change.object.hasPrefix($0) } }
            // What has no change of its own, such as a reload, belongs to what was done there before.
            let isFollowing = step.changes.isEmpty && !limited.steps.allSatisfy { !step.needsOrHost.contains($0.host) }
            if objects.isEmpty || isWanted || isFollowing { limited.steps.append(step) }
        }
        if !nodes.isEmpty { limited.blocked = blocked.filter { nodes.contains($0.node) } }
        let count = changes.count - limited.changes.count
        if count > 0 { limited.remarks.append("\(count) other changes are left out") }
        return limited
    }
}

extension Plan.Step {
    fileprivate var needsOrHost: Set<String> { Set(needs + [host]) }

    /// The nodes that a step is for: where it is done, and who follows through a slot there.
    fileprivate func served(among nodes: Set<String>, _ slot: (String) -> String) -> Set<String> {
        var served: Set = [host]
        if case .awaitStandby(_, let node, _) = action { served.insert(node) }
        for node in nodes where changes.contains(where: { $0.object == "slot \(slot(node))" }) {
            served.insert(node)
        }
        return served
    }
}
