import PostgresModel

/// Whether the nodes are one cluster: one primary, one system, one history.
struct ClusterChecks {
    let view: ClusterView

    var results: [CheckResult] { [primary, systemIdentifier, timeline].compactMap { $0 } }

    private var primary: CheckResult? {
        let names = view.primaries.map(\.name)
        if names.count == 1 { return .ok(.primary, nil, "\(names[0])") }
        if names.count > 1 { return fork }
        let silent = view.nodes.filter { $0.server == nil }.map(\.node)
        if silent.isEmpty {
            return .warning(
                .primary, nil, "every node is a standby: the primary is not in the cluster file",
                hint: "Add it to nodes in \(view.file.path)")
        }
        return .failed(
            .primary, nil, "no node that answers is a primary; silent: \(silent.joined(separator: ", "))",
            hint: "Start the primary, or promote a standby once the primary is known to be stopped")
    }

    private var fork: CheckResult {
        let claims = view.primaries.map { node in
            node.name + (node.server.timeline.map { " (timeline \($0))" } ?? "")
        }
        let isManaged = view.primaries.contains { view.file.placement(of: $0.name) != nil }
        return .failed(
            .primary, nil,
            "\(claims.joined(separator: " and ")) both accept writes: what is committed on one is not on the other",
            hint: isManaged
                ? "Decide which one is right, keep clients from the other, now, and then give that one up: pgark rejoin NODE"
                : "Stop the one that clients should not use, now: pg_ctl -D DATADIR stop -m fast")
    }

    private var systemIdentifier: CheckResult? {
        var known = view.reached.compactMap { node in node.server.systemIdentifier.map { (node.name, $0) } }
        if let stored = view.repository.systemIdentifier { known.append(("the repository", stored)) }
        guard let first = known.first else { return nil }
        if known.allSatisfy({ $0.1 == first.1 }) {
            return .ok(.systemIdentifier, nil, "\(first.1) on \(known.map(\.0).joined(separator: ", "))")
        }
        return .failed(
            .systemIdentifier, nil, "not the same system: " + known.map { "\($0.0) is \($0.1)" }.joined(separator: ", "),
            hint: "Correct nodes in \(view.file.path); another system needs its own cluster name")
    }

    private var timeline: CheckResult? {
        guard let primary = view.primary, let current = primary.server.timeline else { return nil }
        if let stray = view.standbys.compactMap({ stray($0, primary, current) }).first { return stray }
        if let stored = view.repository.receiver.timeline, stored != current {
            let isOlder = stored < current
            return .failed(
                .timeline, nil, "the repository is on timeline \(stored), the primary \(primary.name) on \(current)",
                hint: isOlder
                    ? "Let the receiver follow: \(view.repository.receiverRemedy)"
                    : "The server was restored to an older state. Take a new backup once that is meant: pgark backup")
        }
        return .ok(.timeline, nil, "\(current)")
    }

    /// A standby whose timeline is not the primary's: it has not come there yet, or never will.
    private func stray(_ standby: ClusterView.Reached, _ primary: ClusterView.Reached, _ current: TimelineID) -> CheckResult? {
        // What it receives is ahead of what it replays.
        guard let own = [standby.server.timeline, standby.server.walReceiver?.timeline].compactMap(\.self).max(), own != current
        else { return nil }
        let isManaged = view.file.placement(of: standby.name) != nil
        let fact = "\(standby.name) is on timeline \(own), the primary \(primary.name) on \(current)"
        guard let history = primary.server.history, history.timeline == current, let left = history.end(of: own), let left,
            let end = standby.server.positions.end, end <= left
        else {
            return .failed(
                .timeline, nil, "\(fact)\(beyond(standby, own, primary))",
                hint: isManaged
                    ? "Make it a standby of the primary again: pgark rejoin \(standby.name)"
                    : "Let it follow (primary_conninfo, recovery_target_timeline = 'latest'), or rewind it: "
                        + "pg_rewind --target-pgdata=DATADIR --source-server=CONNINFO")
        }
        // All that it has is the primary's too. A delayed one comes there late, which `streaming` says.
        if standby.server.delaySeconds > 0 { return nil }
        return .failed(
            .timeline, nil, "\(fact), which left \(own) at \(left): it does not follow",
            hint: isManaged
                ? "See what differs from the cluster file: pgark plan; else look at its log"
                : "Let it follow: primary_conninfo, recovery_target_timeline = 'latest'")
    }

    /// What it has that the primary never had.
    private func beyond(_ standby: ClusterView.Reached, _ own: TimelineID, _ primary: ClusterView.Reached) -> String {
        guard let history = primary.server.history, let end = standby.server.positions.end else { return "" }
        guard let left = history.end(of: own) else { return ", in whose history that is not" }
        guard let left, end > left else { return "" }
        return ": it has \(ByteCount(end - left)) beyond \(left), where the primary left \(own)"
    }
}
