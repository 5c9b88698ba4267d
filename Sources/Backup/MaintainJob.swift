package import PostgresModel
package import Repository
package import Storage

/// One round of what keeps a repository in order: a backup where WAL is of no use without one, then retention.
package struct MaintainJob {
    package struct Outcome: Sendable {
        /// Why a backup was or would be taken; nil where none is due.
        package var dueBackup: String?
        /// The one that was taken.
        package var backup: String?
        /// Why it could not be.
        package var backupFailure: Failure?
        package var verdicts: [Retention.Verdict] = []
        package var windowBegin: Timestamp?
        package var collection = GarbageCollection.Result()
        package var removedWAL = WALRemoval.Result()

        package init() {}

        package var deleted: [String] { verdicts.filter(\.isObsolete).map(\.id) }
    }

    private let repository: Repository
    private let policy: RetentionPolicy
    private let level: CompressionLevel

    package init(repository: Repository, policy: RetentionPolicy, level: CompressionLevel) {
        self.repository = repository
        self.policy = policy
        self.level = level
    }

    private static let verb = "maintain the repository"

    /// `takeBackup` takes one and returns its id. That it fails is in the outcome, and no reason to leave out the rest: what
    /// retention may take away does not depend on it.
    package func run(_ patience: Patience = .none, takeBackup: () throws -> String) throws -> Outcome {
        var outcome = Outcome()
        // What another one is about to store may be what is due.
        try patience.run { try repository.requireIdle(to: Self.verb) }
        outcome.dueBackup = try Self.dueBackup(Inventory(repository))
        if outcome.dueBackup != nil {
            do { outcome.backup = try takeBackup() } catch let failure as Failure where failure.code != .interrupted {
                outcome.backupFailure = failure
            }
        }
        guard try repository.system() != nil else { return outcome }
        // Both or none: who waits for readers must not keep backups from being taken.
        let locks = try patience.run {
            (try repository.lockForWriting(to: Self.verb), try repository.lockAgainstReaders(to: Self.verb))
        }
        defer { withExtendedLifetime(locks) {} }
        let inventory = try Inventory(repository)
        let retention = try inventory.retention(policy, now: .now)
        outcome.verdicts = retention.verdicts
        outcome.windowBegin = retention.windowBegin
        outcome.collection = try Catalogue(repository).delete(retention.obsolete, level: level, tick: Interruption.check)
        // Of what a deletion left, nothing needs this WAL any more: the backups went first.
        for removal in removals(inventory, retention) {
            let removed = try removal.run(tick: Interruption.check)
            outcome.removedWAL.segments += removed.segments
            outcome.removedWAL.freed = outcome.removedWAL.freed + removed.freed
        }
        try repository.noteMaintenance(at: .now)
        return outcome
    }

    /// What `run` would do; nothing is changed.
    package func plan() throws -> Outcome {
        let lock = try repository.lockForReading(to: "look at what could be removed")
        defer { withExtendedLifetime(lock) {} }
        let inventory = try Inventory(repository)
        let retention = try inventory.retention(policy, now: .now)
        var outcome = Outcome()
        outcome.dueBackup = Self.dueBackup(inventory)
        outcome.verdicts = retention.verdicts
        outcome.windowBegin = retention.windowBegin
        let deleted = inventory.entries.filter { retention.obsolete.contains($0.id) }
        outcome.collection = try GarbageCollection(Catalogue(repository), level: level, deleting: deleted, dryRun: true)
            .run(tick: Interruption.check)
        for removal in removals(inventory, retention) {
            let estimate = try removal.estimate()
            outcome.removedWAL.segments += estimate.segments
            outcome.removedWAL.freed = outcome.removedWAL.freed + estimate.freed
        }
        return outcome
    }

    private func removals(_ inventory: Inventory, _ retention: Retention) -> [WALRemoval] {
        inventory.parts.enumerated().map { index, part in
            WALRemoval(part, removable: retention.removable(part.segments.map(\.segment), of: index))
        }
    }

    // MARK: A backup that is due

    /// Why the WAL that arrives now is of no use without a new backup; nil where some backup leads to its end.
    package static func dueBackup(_ inventory: Inventory) -> String? {
        guard let current = inventory.current else { return "nothing is stored yet" }
        let usable = inventory.entries.filter { $0.status == .done }.compactMap(\.record).filter {
            $0.systemIdentifier == current.archive.system.systemIdentifier
                && current.wal.isWhole(from: $0.beginLSN, to: $0.endLSN, on: $0.timeline)
        }
        guard !usable.isEmpty else { return "there is no complete backup" }
        guard let newest = current.wal.timelines.last, let history = current.wal.histories[newest] else { return nil }
        let leading = usable.filter { history.contains($0.endLSN, on: $0.timeline) }
        guard !leading.isEmpty else { return "no backup leads to timeline \(newest)" }
        let end = current.wal.ranges.last { $0.timeline == newest }?.to ?? .zero
        let reaches = leading.map { current.wal.reach(from: $0.beginLSN, on: $0.timeline, along: history) }
        guard let furthest = reaches.max(by: { $0.1 < $1.1 }), furthest.1 < end else { return nil }
        return "no backup leads past the gap that begins at \(furthest.1) of timeline \(furthest.0)"
    }
}
