import Postgres
package import PostgresModel
import Storage

/// One replication slot, as `slots` and `status` show it: whose it is, what it holds back, and how long that may go on.
package struct SlotStatus: Sendable, Encodable, Equatable {
    package var node: String
    package var slot: String
    /// physical or logical.
    package var kind: String
    package var active: Bool
    /// Whose it is by its name, or who streams through it; nil where nothing shows it.
    @Nullable package var owner: String?
    /// One of this cluster's: of a node or of the repository.
    package var managed: Bool
    /// active; waiting: it holds WAL back for a reader who is not there; spare: it holds nothing, until its reader comes; lost.
    package var state: State
    @Nullable package var restartLSN: LSN?
    /// reserved, extended, unreserved or lost.
    @Nullable package var walStatus: String?
    @Nullable package var inactiveSince: Timestamp?
    @Nullable package var retainedBytes: Int?
    /// The smaller of the cluster file's `replication.slots.keep` and the server's max_slot_wal_keep_size.
    @Nullable package var budgetBytes: Int?
    /// Why the server took its WAL away, where it did and says so.
    @Nullable package var invalidation: String?
    /// What the server writes at present, per second.
    @Nullable package var rateBytesPerSecond: Double?
    /// Until the budget is used up, at that rate, where its reader takes nothing more from now on.
    @Nullable package var secondsToBudget: Double?

    package enum State: String, Sendable, Encodable { case active, waiting, spare, lost }
}

extension ServerObservation.Slot {
    fileprivate var state: SlotStatus.State { isLost ? .lost : isActive ? .active : isSpare ? .spare : .waiting }
}

extension ServerObservation {
    /// What a slot may hold back; nil where nothing limits it.
    func slotAllowance(_ budget: ByteCount?) -> ByteCount? {
        [budget, settings.slotLimit ?? nil].compactMap { $0 }.min()
    }

    func secondsToBudgetEnd(of slot: Slot, _ budget: ByteCount?) -> Double? {
        guard let allowance = slotAllowance(budget), let rate = walBytesPerSecond, rate > 0, let retained = slot.retained else {
            return nil
        }
        return Double(max(0, allowance.rawValue - retained.rawValue)) / rate
    }
}

extension ClusterView {
    /// Of every node that answered, in the order of the file.
    package var slotStatuses: [SlotStatus] {
        reached.flatMap { node in
            node.server.slots.filter { !$0.isTemporary }.map { slot -> SlotStatus in
                let owner = owner(ofSlot: slot.name)
                return SlotStatus(
                    node: node.name, slot: slot.name, kind: slot.kind, active: slot.isActive,
                    owner: owner ?? slot.activeApplication, managed: owner != nil, state: slot.state,
                    restartLSN: slot.restartLSN, walStatus: slot.walStatus, inactiveSince: slot.inactiveSince,
                    retainedBytes: slot.retained?.rawValue,
                    budgetBytes: node.server.slotAllowance(file.replication.slotBudget)?.rawValue,
                    invalidation: slot.invalidation, rateBytesPerSecond: node.server.walBytesPerSecond,
                    secondsToBudget: node.server.secondsToBudgetEnd(of: slot, file.replication.slotBudget))
            }
        }
    }
}
