import PostgresModel

/// Whether the slots of one server keep within what its disk can bear (promise P7).
struct SlotBudgetCheck {
    let node: String
    let server: ServerObservation
    /// From the cluster file.
    let budget: ByteCount?
    /// Our receiver's slot: it is never to be dropped, and whether it is in use is a check of its own.
    let ownSlot: String

    private typealias Slot = ServerObservation.Slot

    private var slots: [Slot] { server.slots.filter { !$0.isTemporary } }
    /// The server's own limit; nil where there is none.
    private var limit: ByteCount? { server.settings.slotLimit ?? nil }
    private var allowance: ByteCount? { server.slotAllowance(budget) }

    /// The worst slot decides.
    var result: CheckResult { lost ?? exceeded ?? unlimited ?? unused ?? fine }

    private var lost: CheckResult? {
        guard let slot = slots.first(where: { $0.walStatus == "lost" || $0.walStatus == "unreserved" }) else { return nil }
        let fate = (slot.walStatus == "lost" ? "has lost" : "is about to lose") + " WAL that its reader still needs"
        return .failed(
            .slotBudget, node, "slot \(slot.name) \(fate) (\(slot.walStatus ?? ""))",
            hint: slot.walStatus == "lost"
                ? "Its reader must begin anew. SELECT pg_drop_replication_slot('\(slot.name)'); then create it again"
                : "Let its reader catch up now, or raise max_slot_wal_keep_size and reload")
    }

    private var exceeded: CheckResult? {
        guard let allowance, let slot = slots.max(by: { retained($0) < retained($1) }) else { return nil }
        let fact = "slot \(slot.name) holds back \(retained(slot)) of \(allowance)\(time(slot))"
        let hint =
            slot.name == ownSlot
            ? "Let the receiver catch up: pgark wal receive; pgark wal status"
            : "Let its reader catch up; where nobody reads it any more: SELECT pg_drop_replication_slot('\(slot.name)');"
        if retained(slot) > allowance { return .failed(.slotBudget, node, "\(fact): over its budget", hint: hint) }
        let isNearItsEnd = !slot.isActive && (secondsLeft(slot).map { $0 < CheckLimits.budgetSeconds } ?? false)
        guard isNearItsEnd || Double(retained(slot).rawValue) > Double(allowance.rawValue) * CheckLimits.budgetShare else {
            return nil
        }
        return .warning(.slotBudget, node, fact, hint: hint)
    }

    private func secondsLeft(_ slot: Slot) -> Double? { server.secondsToBudgetEnd(of: slot, budget) }

    private func time(_ slot: Slot) -> String {
        guard let rate = server.walBytesPerSecond, let seconds = secondsLeft(slot) else { return "" }
        return ", at \(ByteCount(Int(rate)))/s for \(BackupChecks.span(seconds)) more"
    }

    private func retained(_ slot: Slot) -> ByteCount { slot.retained ?? ByteCount(0) }

    private var unlimited: CheckResult? {
        guard !slots.isEmpty, let known = server.settings.slotLimit else { return nil }
        let suggestion = budget.map { "\($0.rawValue >> 20)MB" } ?? "20GB"
        let hint = "ALTER SYSTEM SET max_slot_wal_keep_size = '\(suggestion)'; SELECT pg_reload_conf();"
        guard let limit = known else {
            return .warning(
                .slotBudget, node, "max_slot_wal_keep_size is -1: a slot that nobody reads fills the server's disk", hint: hint)
        }
        guard let budget, limit.rawValue >> 20 != budget.rawValue >> 20 else { return nil }
        return .warning(
            .slotBudget, node,
            limit > budget
                ? "the server lets a slot hold back \(limit), the cluster file says \(budget)"
                : "the server takes WAL from a slot at \(limit), before its budget of \(budget) ends", hint: hint)
    }

    private var unused: CheckResult? {
        guard let slot = slots.first(where: { !$0.isActive && $0.restartLSN != nil && $0.name != ownSlot }) else { return nil }
        return .warning(
            .slotBudget, node, "slot \(slot.name) holds back \(retained(slot)) and nobody reads it",
            hint: "Start its reader; where there is none any more: SELECT pg_drop_replication_slot('\(slot.name)');")
    }

    private var fine: CheckResult {
        guard let most = slots.max(by: { retained($0) < retained($1) }) else { return .ok(.slotBudget, node, "no slots") }
        let of = allowance.map { " of \($0)" } ?? ""
        return .ok(
            .slotBudget, node, "\(counted(slots.count, "slot")), at most \(retained(most))\(of) held back\(time(most))")
    }
}
