import PostgresModel

/// How a node becomes a standby of the primary again, whatever it has.
package enum Rejoin: Sendable, Equatable {
    /// By pg_rewind where that can be, on a copy, so that what it had is kept; else made anew.
    case rewind
    /// By pg_rewind on the directory itself: what only it has is lost.
    case rewindInPlace
    /// Made anew from the repository or the primary.
    case reseed
}

extension Planner {
    func rejoined(
        _ instance: InstanceFacts, _ control: ControlFacts, _ system: UInt64?, _ rejoin: Rejoin
    ) throws(NodeProblem) -> NodeState.Judgement {
        let obstacle = obstacleToRewinding(instance, control, system, isInPlace: rejoin == .rewindInPlace)
        switch (rejoin, obstacle) {
        case (.reseed, _), (.rewind, _?): return try replaceable(instance)
        case (.rewind, nil):
            _ = try replaceable(instance)
            return .rewindable(inPlace: false)
        case (.rewindInPlace, nil):
            // It too has another name until it is whole.
            if instance.isMountPoint { _ = try replaceable(instance) }
            return .rewindable(inPlace: true)
        case (.rewindInPlace, let obstacle?):
            throw NodeProblem("pg_rewind cannot be used: \(obstacle)", hint: "Without --in-place it is made anew.")
        }
    }

    /// Why pg_rewind could not work (PostgreSQL documentation: pg_rewind, Description); nil where it may.
    private func obstacleToRewinding(
        _ instance: InstanceFacts, _ control: ControlFacts, _ system: UInt64?, isInPlace: Bool
    ) -> String? {
        if control.systemIdentifier != system { return "it is of another system" }
        if !control.hasChecksums, !control.logsHints { return "it has neither data checksums nor wal_log_hints" }
        // A copy of the directory would share them with it.
        if instance.hasTablespaces, !isInPlace { return "it has tablespaces" }
        if let link = instance.walLink, !isInPlace { return "its pg_wal is \(link)" }
        return nil
    }

    /// Throws where a server could not be set aside, to make another in its place.
    func replaceable(_ instance: InstanceFacts) throws(NodeProblem) -> NodeState.Judgement {
        if let problem = instance.obstacleToReplacing { throw problem }
        return .replaceable
    }

    /// Standbys whose slot was lost, which cannot go on: to be made anew, where the file says so.
    mutating func withLostOnes(_ states: [NodeState], _ primary: NodeState) -> [NodeState] {
        states.map { state in
            let upstream = upstream(of: state, primary, states), slot = state.node.slot
            guard state.exists, state.isStandby, state.name != primary.name, upstream.server?.slots[slot]?.isLost == true else {
                return state
            }
            let reason = "its slot on \(upstream.name) held back more WAL than it may, and the server has let go of it"
            guard file.replication.atSlotEnd == .reclone else {
                block(state.name, reason, hint: "To make it anew: pgark rejoin \(state.name)")
                return state
            }
            if let problem = state.facts.obstacleToReplacing {
                block(state.name, "\(reason), and it cannot be made anew: \(problem.reason)", hint: problem.hint)
                return state
            }
            plan.remarks.append("\(state.name): \(reason); it is made anew")
            return NodeState(
                node: state.node, placement: state.placement, facts: state.facts, layout: state.layout, judgement: .replaceable)
        }
    }

    /// A running primary makes another one, which is stopped, an old one: it must not come up as it is.
    mutating func blockOldPrimaries(_ states: [NodeState], besides primary: NodeState) {
        for state in states where state.name != primary.name && state.judgement == .stopped && !state.isStandby {
            block(
                state.name,
                "it was a primary when it stopped, and \(primary.name) is the primary: it may have what \(primary.name) has not",
                hint: "To make it a standby, keeping what it has beside: pgark rejoin \(state.name)")
        }
    }

    /// The only node that was a primary, stopped: whether it may be started. Another that was promoted meanwhile would make two.
    mutating func mayStart(_ primary: NodeState, among states: [NodeState]) -> Bool {
        if let other = file.nodes.first(where: { mayHide($0, states) }) {
            block(
                primary.name, "it is stopped, and \(other.name) is not known to be no primary: both might take writes then",
                hint: "Make \(other.name) reachable, or, if you know that it is down, start \(primary.name) by hand.")
            return false
        }
        let newer = states.filter { $0.name != primary.name && $0.timeline > primary.timeline }
        if let newer = newer.max(by: { $0.timeline < $1.timeline }) {
            block(
                primary.name,
                "it was a primary on timeline \(primary.timeline) when it stopped, and \(newer.name) has been on timeline "
                    + "\(newer.timeline): it is an old primary",
                hint: "Bring back the one that was promoted last; then: pgark rejoin \(primary.name)")
            return false
        }
        return true
    }

    /// True where a node may have a server of which nothing is known.
    private func mayHide(_ node: ClusterFile.Node, _ states: [NodeState]) -> Bool {
        guard node.placement != nil, !states.contains(where: { $0.name == node.name }) else { return false }
        guard let data = facts.nodes[node.name]?.facts?.instance?.data else { return true }
        if case .present = data { return true }
        return false
    }
}

extension InstanceFacts {
    /// Why its server could not be set aside, to make another in its place; nil where it may.
    var obstacleToReplacing: NodeProblem? {
        let data = layout?.data ?? ""
        if isMountPoint {
            return NodeProblem(
                "\(data) is a mount point, which cannot be set aside",
                hint: "Have its server in a directory below it: stop it, move what it has there, and name that with \"data\".")
        }
        // Both would want the same places.
        if hasTablespaces {
            return NodeProblem(
                "its tablespaces are in places of their own, where those of a new server would be",
                hint:
                    "Rewind it in place where that can be (pgark rejoin --in-place), or stop its server, and move \(data) and its "
                    + "tablespaces away; then: pgark apply")
        }
        return nil
    }
}
