import PostgresModel

/// Whether the nodes are one cluster: one primary, one system, one history.
struct ClusterChecks {
    let view: ClusterView

    var results: [CheckResult] { [primary, systemIdentifier, timeline].compactMap { $0 } }

    private var primary: CheckResult? {
        let names = view.primaries.map(\.name)
        if names.count == 1 { return .ok(.primary, nil, "\(names[0])") }
        if names.count > 1 {
            return .failed(
                .primary, nil,
                "\(names.joined(separator: " and ")) both accept writes: what is committed on one is not on the other",
                hint: "Stop the one that clients should not use, now: pg_ctl -D DATADIR stop -m fast")
        }
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
        let strays = view.standbys.filter { $0.server.timeline != nil && $0.server.timeline != current }
        if let stray = strays.first, let own = stray.server.timeline {
            return .failed(
                .timeline, nil, "\(stray.name) is on timeline \(own), the primary \(primary.name) on \(current)",
                hint: "Let it follow (primary_conninfo, recovery_target_timeline = 'latest'), or rewind it: "
                    + "pg_rewind --target-pgdata=DATADIR --source-server=CONNINFO")
        }
        if let stored = view.repository.receiver.timeline, stored != current {
            let isOlder = stored < current
            return .failed(
                .timeline, nil, "the repository is on timeline \(stored), the primary \(primary.name) on \(current)",
                hint: isOlder
                    ? "Let the receiver follow: pgark wal receive"
                    : "The server was restored to an older state. Take a new backup once that is meant: pgark backup")
        }
        return .ok(.timeline, nil, "\(current)")
    }
}
