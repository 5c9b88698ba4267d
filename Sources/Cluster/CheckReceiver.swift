import Postgres
import PostgresModel
import Repository

/// Whether every byte of WAL comes here: by our receiver, through our slot, without a gap.
struct ReceiverChecks {
    let view: ClusterView

    private var facts: RepositoryFacts { view.repository }
    private var slotName: String { view.file.repository.slot.description }

    var results: [CheckResult] {
        guard facts.failure == nil else { return [slot].compactMap { $0 } }
        return [receiver, slot, lag, contiguity].compactMap { $0 }
    }

    private var receiver: CheckResult {
        if facts.receiver.isRunning {
            let position = facts.receiver.receivedLSN.map { ", received up to \($0)" } ?? ""
            return .ok(.receiver, nil, "runs\(position)")
        }
        return .failed(
            .receiver, nil, "no process receives WAL: what is committed from now on is in no repository",
            hint: facts.receiverRemedy)
    }

    // MARK: The slot

    private var slot: CheckResult? {
        guard !view.reached.isEmpty else { return nil }
        guard let (node, slot) = view.receiverSlot else {
            return .failed(
                .slot, (view.primary ?? view.reached[0]).name, "there is no physical slot \"\(slotName)\"",
                hint: "The receiver creates it: \(facts.receiverRemedy)")
        }
        return misuse(of: slot, on: node)
            ?? .ok(
                .slot, node.name,
                "\(slotName) is active: process \(slot.activeProcess ?? 0) streams to \"\(slot.activeApplication ?? "")\"")
    }

    private func misuse(of slot: ServerObservation.Slot, on node: ClusterView.Reached) -> CheckResult? {
        func failed(_ message: String, hint: String) -> CheckResult { .failed(.slot, node.name, message, hint: hint) }
        if slot.isLost {
            return failed(
                "\(slotName) is lost (\(slot.invalidation ?? "wal_removed")): the server may have removed WAL that the repository "
                    + "does not have", hint: "The receiver makes it anew: \(facts.receiverRemedy); then: pgark backup")
        }
        guard slot.isActive else {
            return failed("\(slotName) is not active: nobody streams through it", hint: facts.receiverRemedy)
        }
        guard slot.restartLSN != nil else {
            return failed("\(slotName) holds no WAL yet", hint: "Wait until its first segment is received: pgark wal status")
        }
        guard let application = slot.activeApplication else {
            return .warning(
                .slot, node.name, "\(slotName) is active; \(node.server.role.name) may not see who streams through it",
                hint: "GRANT pg_monitor TO \(identifier(node.server.role.name));")
        }
        guard application.hasPrefix("pgark") else {
            return failed(
                "\(slotName) is used by \"\(application)\" (process \(slot.activeProcess ?? 0)), not by pgark",
                hint: "Stop that process, or give pgark its own slot: repository.slot in \(view.file.path)")
        }
        return strangeReceiver(slot, on: node)
    }

    /// A pgark streams, but into another repository than this one.
    private func strangeReceiver(_ slot: ServerObservation.Slot, on node: ClusterView.Reached) -> CheckResult? {
        let hint = "Give each repository its own slot: repository.slot in \(view.file.path)"
        if facts.failure == nil, !facts.receiver.isRunning {
            return .failed(
                .slot, node.name, "\(slotName) streams to a pgark that is not this repository's receiver", hint: hint)
        }
        // The repository was read after the server answered, so it can only be ahead of what was reported as durable.
        guard let flushed = view.receiverSender?.flushedLSN, let received = facts.receiver.receivedLSN, flushed > received,
            facts.receiver.timeline == node.server.timeline
        else { return nil }
        return .failed(
            .slot, node.name, "\(slotName)'s reader has \(flushed), this repository only \(received): it is another one's reader",
            hint: hint)
    }

    // MARK: WAL

    private var lag: CheckResult? {
        guard facts.receiver.isRunning, let lag = view.repositoryLag else { return nil }
        let fact = "\(lag) behind the server"
        if lag <= CheckLimits.repositoryLag { return .ok(.walLag, nil, fact) }
        return .warning(
            .walLag, nil, fact,
            hint: "See whether it catches up: pgark wal status; the network and the repository's disk set its pace")
    }

    private var contiguity: CheckResult? {
        guard facts.segmentCount > 0 || !facts.completeBackups.isEmpty else { return nil }
        guard let oldest = facts.completeBackups.map(\.content.beginLSN).min() else {
            return facts.gaps.isEmpty ? .ok(.walContiguity, nil, "no gaps") : gap(facts.gaps[0], isHarmful: true)
        }
        if let torn = facts.completeBackups.first(where: { !$0.content.isRestorable }) {
            return .failed(
                .walContiguity, nil,
                "backup \(torn.id) cannot be restored: its WAL from \(torn.content.beginLSN) to \(torn.content.endLSN) "
                    + "is not complete",
                hint: "Take a new backup: pgark backup; then: pgark delete \(torn.id)")
        }
        let gaps = facts.gaps.filter { $0.toLSN > oldest }
        guard let worst = gaps.last else { return .ok(.walContiguity, nil, "no gaps from \(oldest) on") }
        // Behind the newest backup the past has a hole, the future has none.
        let newest = facts.completeBackups[0].content
        return gap(worst, isHarmful: worst.timeline > newest.timeline || worst.toLSN > newest.beginLSN)
    }

    private func gap(_ gap: StoredWAL.Gap, isHarmful: Bool) -> CheckResult {
        let fact = "WAL of timeline \(gap.timeline) is missing from \(gap.fromLSN) to \(gap.toLSN)"
        if isHarmful {
            return .failed(
                .walContiguity, nil, "\(fact): nothing after it can be restored", hint: "Take a new backup: pgark backup")
        }
        return .warning(
            .walContiguity, nil, "\(fact): moments between it and the next backup cannot be restored",
            hint: "Nothing is to be done; it goes with the backups before it: pgark list")
    }
}
