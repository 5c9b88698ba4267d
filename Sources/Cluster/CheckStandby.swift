import PostgresModel

/// Whether one standby keeps up with its upstream, and whether WAL waits for it when it cannot.
struct StandbyChecks {
    let view: ClusterView
    let standby: ClusterView.Reached

    private var node: String { standby.name }
    private var server: ServerObservation { standby.server }
    private var receiver: ServerObservation.WALReceiver? { server.walReceiver }

    var results: [CheckResult] { [streaming, slot, lag].compactMap { $0 } }

    private var streaming: CheckResult {
        guard let receiver else {
            return .failed(
                .streaming, node, "no WAL receiver runs: the standby stands still",
                hint: "Look at its log; check primary_conninfo there and pg_hba.conf on the primary")
        }
        guard let status = receiver.status else { return notVisible(.streaming) }
        let source = view.upstream(of: standby)?.name ?? receiver.senderHost.map { "\($0):\(receiver.senderPort ?? "")" }
        let from = source.map { " from \($0)" } ?? ""
        if status == "streaming" { return .ok(.streaming, node, "streams\(from)") }
        return .failed(
            .streaming, node, "the WAL receiver is \(status)\(from)", hint: "Look at the logs of both servers")
    }

    private func notVisible(_ name: CheckName) -> CheckResult {
        .warning(
            name, node, "\(server.role.name) may not see what the WAL receiver does",
            hint: "GRANT pg_monitor TO \(identifier(server.role.name));")
    }

    private var slot: CheckResult? {
        guard let receiver else { return nil }  // `streaming` says it
        guard receiver.status != nil else { return notVisible(.standbySlot) }
        guard let name = receiver.slot else {
            return .failed(
                .standbySlot, node, "streams without a slot: the primary may remove WAL that it still needs",
                hint: "On the primary: SELECT pg_create_physical_replication_slot('\(suggestedSlot)', true); "
                    + "on \(node): ALTER SYSTEM SET primary_slot_name = '\(suggestedSlot)'; SELECT pg_reload_conf();")
        }
        guard let upstream = view.upstream(of: standby) else { return .ok(.standbySlot, node, "streams through \(name)") }
        if upstream.server.slots.contains(where: { $0.name == name && $0.isActive }) {
            return .ok(.standbySlot, node, "streams through \(name), active on \(upstream.name)")
        }
        return .failed(
            .standbySlot, node, "says that it streams through \(name), which is not active on \(upstream.name)",
            hint: "Compare: SELECT slot_name, active, active_pid FROM pg_replication_slots;")
    }

    /// A slot's name has fewer letters than a node's.
    private var suggestedSlot: String {
        String(node.lowercased().map { $0 == "-" ? "_" : $0 })
    }

    private var lag: CheckResult? {
        let (bytes, seconds) = view.lag(of: standby)
        guard bytes != nil || seconds != nil else { return nil }
        let facts = [bytes.map { "\($0)" }, seconds.map { "\(decimal($0, places: 1)) s" }].compactMap { $0 }
        let fact = "\(facts.joined(separator: ", ")) behind"
        let late = seconds ?? 0
        let hint =
            "See what holds it up, on \(node): SELECT * FROM pg_stat_wal_receiver; "
            + "SELECT * FROM pg_stat_activity WHERE backend_xmin IS NOT NULL;"
        if late > CheckLimits.lagFailedSeconds { return .failed(.standbyLag, node, fact, hint: hint) }
        if late > CheckLimits.lagWarningSeconds { return .warning(.standbyLag, node, fact, hint: hint) }
        return .ok(.standbyLag, node, fact)
    }
}
