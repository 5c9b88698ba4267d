import PostgresModel

/// Whether the slots of one server keep within what its disk can bear (promise P7).
struct SlotBudgetCheck {
    let view: ClusterView
    let node: String
    let server: ServerObservation

    /// From the cluster file.
    private var budget: ByteCount? { view.file.replication.slotBudget }
    /// The slot of our receiver, where this is the node that it uses: never to be dropped, and whether it is in use is a check of
    /// its own.
    private var ownSlot: String? { view.receiverSlot?.node.name == node ? view.receiverSlotName : nil }

    private typealias Slot = ServerObservation.Slot

    private var slots: [Slot] { server.slots.filter { !$0.isTemporary } }
    /// The server's own limit; nil where there is none.
    private var limit: ByteCount? { server.settings.slotLimit ?? nil }
    private var allowance: ByteCount? { server.slotAllowance(budget) }

    /// The worst slot decides.
    var result: CheckResult { lost ?? exceeded ?? unlimited ?? unused ?? fine }

    private var lost: CheckResult? {
        guard let slot = slots.first(where: { $0.isLost || $0.walStatus == "unreserved" }) else { return nil }
        guard slot.isLost else {
            return .failed(
                .slotBudget, node, "slot \(slot.name) is about to lose WAL that its reader still needs (unreserved)",
                hint: "Let its reader catch up now, or raise max_slot_wal_keep_size and reload")
        }
        let hint =
            if slot.name == ownSlot {
                "The receiver makes it anew: \(view.repository.receiverRemedy); then: pgark backup"
            } else if view.declaredSlots(on: node).contains(slot.name), let owner = view.owner(ofSlot: slot.name) {
                "See what would be done: pgark plan; where \(owner) cannot go on: pgark rejoin \(owner)"
            } else {
                "Its reader must begin anew. SELECT pg_drop_replication_slot('\(slot.name)'); then create it again"
            }
        return .failed(
            .slotBudget, node,
            "slot \(slot.name) has lost WAL that its reader still needs (\(slot.invalidation ?? "lost"))", hint: hint)
    }

    private var exceeded: CheckResult? {
        guard let allowance, let slot = slots.max(by: { retained($0) < retained($1) }) else { return nil }
        let fact = "slot \(slot.name) holds back \(retained(slot)) of \(allowance)\(time(slot))"
        let hint =
            slot.name == ownSlot
            ? "Let the receiver catch up: \(view.repository.receiverRemedy); pgark wal status"
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
        let idle = slots.filter { !$0.isActive && $0.isHolding && $0.name != ownSlot }
        // A standby that is away for a while is why there are slots; that it is away is another check's.
        guard let slot = idle.first(where: { !isAwaiting($0) }) else { return nil }
        let fact = "slot \(slot.name) holds back \(retained(slot)) and nobody reads it"
        let drop = "SELECT pg_drop_replication_slot('\(slot.name)');"
        guard let owner = owner(slot) else {
            return .warning(.slotBudget, node, fact, hint: "Start its reader; where there is none any more: \(drop)")
        }
        return .warning(
            .slotBudget, node, "\(fact): \(owner) streams from another node",
            hint: "On \(node): \(drop) then: pgark apply, which makes it anew, holding nothing")
    }

    /// Of this cluster's slots, who is to read it.
    private func owner(_ slot: Slot) -> String? {
        view.declaredSlots(on: node).contains(slot.name) ? view.owner(ofSlot: slot.name) : nil
    }

    private func isAwaiting(_ slot: Slot) -> Bool { owner(slot).map { !isElsewhere($0) } ?? false }

    private func isElsewhere(_ owner: String) -> Bool {
        if owner == view.owner(ofSlot: view.receiverSlotName) { return view.receiverSlot?.slot.isActive == true }
        guard let standby = view.standbys.first(where: { $0.name == owner }), standby.server.walReceiver != nil else {
            return view.primaries.contains { $0.name == owner }
        }
        return view.upstreamName(of: standby).map { $0 != node } ?? false
    }

    private var fine: CheckResult {
        guard let most = slots.max(by: { retained($0) < retained($1) }) else { return .ok(.slotBudget, node, "no slots") }
        let spare = slots.count(where: \.isSpare)
        let count = counted(slots.count, "slot") + (spare > 0 ? ", of which \(spare) for later" : "")
        let of = allowance.map { " of \($0)" } ?? ""
        return .ok(.slotBudget, node, "\(count), at most \(retained(most))\(of) held back\(time(most))")
    }
}
