import PostgresModel

/// Whether one standby follows whom it should, keeps up with it, and whether WAL waits for it when it cannot.
struct StandbyChecks {
    let view: ClusterView
    let standby: ClusterView.Reached

    private var node: String { standby.name }
    private var server: ServerObservation { standby.server }
    private var receiver: ServerObservation.WALReceiver? { server.walReceiver }
    private var isManaged: Bool { view.file.placement(of: node) != nil }

    var results: [CheckResult] { [streaming, slot, delay, lag].compactMap { $0 } }

    // MARK: From whom

    private var streaming: CheckResult {
        guard let receiver else { return standsStill }
        guard let status = receiver.status else { return notVisible(.streaming) }
        let source = view.upstreamName(of: standby) ?? receiver.senderHost.map { "\($0):\(receiver.senderPort ?? "")" }
        let from = source.map { " from \($0)" } ?? ""
        guard status == "streaming" else {
            if let waiting = waitsForItsDelay(status) { return waiting }
            return .failed(
                .streaming, node, "the WAL receiver is \(status)\(from)", hint: "Look at the logs of both servers")
        }
        if let wanted = view.declaredUpstream(of: standby)?.name, let source, wanted != source {
            return .warning(
                .streaming, node, "streams from \(source); the cluster file says from \(wanted)",
                hint: "See what would be done: pgark plan; do it: pgark apply")
        }
        return .ok(.streaming, node, "streams\(from)")
    }

    /// What is missing on the other side says more than the standby can.
    private var standsStill: CheckResult {
        func failed(_ reason: String, _ hint: String) -> CheckResult {
            .failed(.streaming, node, "no WAL receiver runs: \(reason)", hint: hint)
        }
        guard let upstream = view.declaredUpstream(of: standby), let slot = view.declaredSlot(of: node) else {
            return failed(
                "the standby stands still", "Look at its log; check primary_conninfo there and pg_hba.conf on the primary")
        }
        guard let found = upstream.server.slot(slot) else {
            return failed("its slot \(slot) is not there on \(upstream.name)", "pgark apply")
        }
        if found.isLost {
            return failed(
                "its slot \(slot) on \(upstream.name) has lost WAL that it still needs",
                "See what would be done: pgark plan; to make it anew: pgark rejoin \(node)")
        }
        return replaysBeforeItReceives
            ?? failed("the standby stands still", "See what differs from the cluster file: pgark plan; else look at its log")
    }

    /// A standby asks for WAL when it has replayed all that it has, and a delay makes that late (PostgreSQL:
    /// src/backend/access/transam/xlogrecovery.c, WaitForWALToBecomeAvailable and recoveryApplyDelay). After a restart, or after its
    /// upstream's, that is how it is.
    private var replaysBeforeItReceives: CheckResult? {
        let delay = server.delaySeconds
        guard delay > 0, let replayed = server.positions.replayed else { return nil }
        let hasMore =
            if let received = server.positions.received {
                received > replayed
            } else {
                (server.uptimeSeconds ?? 0) < delay + CheckLimits.lagWarningSeconds
            }
        guard hasMore else { return nil }
        return .warning(
            .streaming, node,
            "receives nothing until it has replayed what it has, \(BackupChecks.span(delay)) late on purpose; then it goes on",
            hint: Self.nothingToDo)
    }

    private static let nothingToDo = "Nothing is to be done; its slot holds the WAL meanwhile: pgark slots"

    /// At the end of a timeline a WAL receiver waits until all before it is replayed, and only then asks for the next one
    /// (PostgreSQL: src/backend/replication/walreceiver.c, WalRcvWaitForStartPosition).
    private func waitsForItsDelay(_ status: String) -> CheckResult? {
        guard status == "waiting", server.delaySeconds > 0, let own = receiver?.timeline,
            let history = view.upstream(of: standby)?.server.history, own < history.timeline,
            let end = server.positions.end, history.contains(end, on: own)
        else { return nil }
        return .warning(
            .streaming, node,
            "receives nothing until it has replayed the end of timeline \(own), \(BackupChecks.span(server.delaySeconds)) late "
                + "on purpose; then it goes on with timeline \(history.timeline)",
            hint: Self.nothingToDo)
    }

    private func notVisible(_ name: CheckName) -> CheckResult {
        .warning(
            name, node, "\(server.role.name) may not see what the WAL receiver does",
            hint: "GRANT pg_monitor TO \(identifier(server.role.name));")
    }

    // MARK: Through which slot

    private var slot: CheckResult? {
        guard let receiver else { return nil }  // `streaming` says it
        guard receiver.status != nil else { return notVisible(.standbySlot) }
        guard let name = receiver.slot else {
            return .failed(
                .standbySlot, node, "streams without a slot: the primary may remove WAL that it still needs", hint: slotRemedy)
        }
        if let own = view.declaredSlot(of: node), own != name {
            return .failed(
                .standbySlot, node, "streams through \(name), which is not its slot: that is \(own)", hint: slotRemedy)
        }
        guard let upstream = view.upstream(of: standby) else { return .ok(.standbySlot, node, "streams through \(name)") }
        // While it waits it is not connected, which `streaming` says.
        if upstream.server.slot(name).map({ $0.isActive || receiver.status != "streaming" }) == true {
            return .ok(.standbySlot, node, "streams through \(name), active on \(upstream.name)")
        }
        return .failed(
            .standbySlot, node, "says that it streams through \(name), which is not active on \(upstream.name)",
            hint: "Compare: SELECT slot_name, active, active_pid FROM pg_replication_slots;")
    }

    private var slotRemedy: String {
        if isManaged { return "See what would be done: pgark plan; do it: pgark apply" }
        // A slot's name has fewer letters than a node's.
        let slot = ClusterFile.Node.slot(for: node)
        return "On the primary: SELECT pg_create_physical_replication_slot('\(slot)', true); "
            + "on \(node): ALTER SYSTEM SET primary_slot_name = '\(slot)'; SELECT pg_reload_conf();"
    }

    // MARK: How far behind

    /// Said only where something is, or should be, late on purpose.
    private var delay: CheckResult? {
        let actual = server.delaySeconds, declared = view.declaredDelay(of: node) ?? actual
        guard actual > 0 || declared > 0 else { return nil }
        if abs(actual - declared) < 1 { return .ok(.standbyDelay, node, "\(BackupChecks.span(actual)), as declared") }
        let fact =
            actual == 0
            ? "is not delayed; the cluster file says by \(BackupChecks.span(declared))"
            : "is delayed by \(BackupChecks.span(actual)); the cluster file says "
                + (declared == 0 ? "not at all" : "by \(BackupChecks.span(declared))")
        return .warning(.standbyDelay, node, fact, hint: "See what would be done: pgark plan; do it: pgark apply")
    }

    private var lag: CheckResult? {
        let (bytes, seconds) = view.lag(of: standby)
        guard bytes != nil || seconds != nil else { return nil }
        let facts = [bytes.map { "\($0)" }, seconds.map { "\(decimal($0, places: 1)) s" }].compactMap { $0 }
        let delay = server.delaySeconds
        let purpose = delay > 0 ? ", of which \(BackupChecks.span(delay)) on purpose" : ""
        let fact = "\(facts.joined(separator: ", ")) behind\(purpose)"
        if server.positions.isReplayPaused {
            return .warning(
                .standbyLag, node, "replay is paused: \(fact)", hint: "On \(node), to go on: SELECT pg_wal_replay_resume();")
        }
        let late = (seconds ?? 0) - delay
        let hint =
            "See what holds it up, on \(node): SELECT * FROM pg_stat_wal_receiver; "
            + "SELECT * FROM pg_stat_activity WHERE backend_xmin IS NOT NULL;"
        if late > CheckLimits.lagFailedSeconds { return .failed(.standbyLag, node, fact, hint: hint) }
        if late > CheckLimits.lagWarningSeconds { return .warning(.standbyLag, node, fact, hint: hint) }
        return .ok(.standbyLag, node, fact)
    }
}
