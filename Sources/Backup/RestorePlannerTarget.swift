import PostgresModel
import Repository

/// What PostgreSQL is told, so that it lands where was asked.
///
/// It refuses to end a recovery before it met a record at or behind the target ("recovery ended before configured recovery
/// target was reached"). On an idle server there is none: then the last record of the WAL is the target. It leads to the
/// same state, and unlike the end of WAL it stays where it is when more WAL arrives, and it keeps the action.
extension RestorePlanner {
    func resolve(
        _ target: RecoveryTarget, _ record: BackupRecord, _ history: TimelineHistory, _ reach: LSN
    ) throws -> (RecoveryTarget, remark: String?) {
        let stretch = WALStretch(history: history, from: record.endLSN, to: reach, reach: reach)
        switch target.point {
        case .lsn(let lsn): return try resolve(lsn, target, record, stretch)
        case .time(let time): return try resolve(time, target, record, stretch)
        case .endOfWAL, .transaction, .name, .immediate: return (target, nil)
        }
    }

    /// Told a time, PostgreSQL stops before the first transaction that ended later, or with an exclusive target just then
    /// (src/backend/access/transam/xlogrecovery.c, recoveryStopsBefore). By then it has replayed what that transaction did
    /// outside of transactions: the files of a dropped database are gone, though the drop does not count
    /// (src/backend/commands/dbcommands.c, dropdb: the files go before the commit). So it is told the position of the last
    /// transaction that does count, and ends right behind that.
    private func resolve(
        _ time: Timestamp, _ target: RecoveryTarget, _ record: BackupRecord, _ stretch: WALStretch
    ) throws -> (RecoveryTarget, remark: String?) {
        switch try landmarks.ending(after: time, orAt: !target.isInclusive, in: stretch) {
        case .found(_, let before?):
            return (
                toRecord(before.start, target), "the last transaction up to then ended at \(before.time), LSN \(before.start)"
            )
        case .found(_, nil):
            var resolved = target
            resolved.point = .immediate
            return (resolved, "no transaction ended between the backup's end and then")
        case .none(let last):
            guard let proved = provedTime(stretch) else {
                throw beyond(
                    target, record, stretch,
                    "no transaction of the stored WAL ended later, and no receiver noted when it was complete")
            }
            guard time <= proved else {
                throw beyond(
                    target, record, stretch,
                    "no transaction of the stored WAL ended later, and it is known to be complete only up to \(proved)")
            }
            let when = target.isInclusive ? "after" : "at or after"
            return (
                toRecord(last, target),
                "no transaction was committed \(when) \(time); recovery runs to the end of WAL (\(stretch.to)), which is the same state"
            )
        }
    }

    /// PostgreSQL stops at the first record that begins at the target or behind it.
    private func resolve(
        _ lsn: LSN, _ target: RecoveryTarget, _ record: BackupRecord, _ stretch: WALStretch
    ) throws -> (RecoveryTarget, remark: String?) {
        guard lsn <= stretch.reach else { throw beyond(target, record, stretch, "the stored WAL ends before it") }
        guard let last = try landmarks.lastRecord(in: stretch), last < lsn else { return (target, nil) }
        return (
            toRecord(last, target),
            "no record begins at or after \(lsn); recovery runs to the end of WAL (\(stretch.to)), which is the same state"
        )
    }

    /// The target right behind the record that begins at `last`.
    private func toRecord(_ last: LSN?, _ target: RecoveryTarget) -> RecoveryTarget {
        var resolved = target
        resolved.isInclusive = true
        resolved.point = last.map { .lsn($0) } ?? .endOfWAL
        return resolved
    }

    /// The moment up to which everything that was committed is known to be in the WAL that can be reached: the one that the
    /// receiver noted. A backup's end proves no moment: its time was taken after its last position.
    private func provedTime(_ stretch: WALStretch) -> Timestamp? {
        moments.values.filter { $0.durableLSN <= stretch.reach && stretch.history.contains($0.durableLSN, on: $0.timeline) }
            .compactMap(\.time).max()
    }

    private func beyond(_ target: RecoveryTarget, _ record: BackupRecord, _ stretch: WALStretch, _ what: String) -> Failure {
        Failure(
            .targetUnreachable, "could not restore to \(target): \(what)",
            details: ["from backup \(record.id), the WAL of timeline \(stretch.history.timeline) reaches \(stretch.reach)"],
            hint: "Choose a target within the recovery window: pgark list")
    }
}
