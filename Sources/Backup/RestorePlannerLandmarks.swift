import PostgresModel
import Repository

/// The backup for a restore point or a transaction: where that is, is found in the WAL.
extension RestorePlanner {
    /// The newest backup that ended before the place where its recovery would stop.
    ///
    /// PostgreSQL stops at the first record with that name or number that it meets, and it begins to read at the backup's
    /// begin. One that it meets before the backup's end makes it fail, so such a backup cannot lead to a later one of the
    /// same name either.
    func choose(
        _ query: LandmarkQuery, _ target: RecoveryTarget, _ history: TimelineHistory, _ chosen: BackupRecord?
    ) throws -> Choice {
        let candidates = try candidates(target, history, chosen)
        var searched = SearchedWAL()
        var obstacles: [String] = []
        var damaged: Choice?
        for record in candidates {
            let reach: LSN
            do { reach = try self.reach(of: record, along: history) } catch let failure as Failure where candidates.count > 1 {
                obstacles.append("backup \(record.id): \(failure.message)")
                continue
            }
            guard let first = try searched.first(query, from: record.beginLSN, reach: reach, history, landmarks) else { continue }
            if first.start >= record.endLSN {
                if let damaged {
                    // From an older backup recovery may meet another one of that name before.
                    guard !isDamaged(record), first.start == damaged.landmark?.start else { continue }
                    return choice(record, insteadOf: damaged)
                }
                let reason = chosen == nil ? reason(target, candidates.count { $0.endLSN <= first.start }) : "it was named"
                let choice = Choice(record: record, reason: reason, landmark: first)
                guard chosen == nil, isDamaged(record) else { return choice }
                damaged = choice
                continue
            }
            obstacles.append(
                "backup \(record.id): it ended at \(record.endLSN), after \(first.start), where recovery from it would stop")
        }
        if let damaged { return damaged }
        if let found = searched.newestMatch { throw noBackup(target, found, chosen, obstacles) }
        throw notFound(target, searched, history, chosen, obstacles)
    }

    /// The newest first.
    private func candidates(
        _ target: RecoveryTarget, _ history: TimelineHistory, _ chosen: BackupRecord?
    ) throws -> [BackupRecord] {
        let asked = chosen.map { [$0] } ?? records
        let candidates = asked.filter { obstacle($0, target, history) == nil }
        guard candidates.isEmpty else { return newestFirst(candidates) }
        throw Failure(
            .noSuitableBackup, "could not find a backup for \(target)",
            details: asked.map { "backup \($0.id): \(obstacle($0, target, history) ?? "")" },
            hint: "Another timeline may be meant: --target-timeline N; those of the backups are in `pgark list`.")
    }

    // MARK: What is said

    private func noBackup(_ target: RecoveryTarget, _ found: WALLandmark, _ chosen: BackupRecord?, _ obstacles: [String])
        -> Failure
    {
        let place = "\(target) is at \(found.start), \(found.time)"
        if let chosen {
            return Failure(
                .noSuitableBackup, "could not restore backup \(chosen.id) to \(target): it did not end before it",
                details: [place] + obstacles, hint: "Leave the backup out, and the right one is chosen: pgark restore --to DIR …")
        }
        return Failure(
            .noSuitableBackup, "could not find a backup for \(target): none ended before it", details: [place] + obstacles,
            hint: "The recovery window is in `pgark list`.")
    }

    private func notFound(
        _ target: RecoveryTarget, _ searched: SearchedWAL, _ history: TimelineHistory, _ chosen: BackupRecord?,
        _ obstacles: [String]
    ) -> Failure {
        var details: [String] = []
        if let low = searched.low, let high = searched.high {
            details.append("searched the WAL of timeline \(history.timeline) from \(low) to \(high)")
        }
        details += searched.restorePoints.map { "restore point \"\($0.restorePoint ?? "")\" at \($0.start), \($0.time)" }
        let place = chosen.map { "the WAL since backup \($0.id)" } ?? "the stored WAL"
        let reason =
            switch target.point {
            case .transaction: "\(place) has neither its commit nor its abort"
            case .endOfWAL, .time, .lsn, .name, .immediate: "it is not in \(place)"
            }
        return Failure(
            .targetUnreachable, "could not restore to \(target): \(reason)", details: details + obstacles,
            hint: chosen == nil
                ? "On another timeline it may be: --target-timeline N. What is stored: pgark wal status"
                : "Leave the backup out, and older ones are searched too: pgark restore --to DIR …")
    }
}

/// How much of the WAL was searched, the newest part first, so that no part of it is read twice.
private struct SearchedWAL {
    private(set) var low: LSN?
    private(set) var high: LSN?
    /// The first match of each part that has one, oldest first.
    private var matches: [WALLandmark] = []
    /// The newest that were seen, oldest first.
    private(set) var restorePoints: [WALLandmark] = []

    var newestMatch: WALLandmark? { matches.last }

    /// The first match for a recovery that begins at `from` and ends at `reach`.
    mutating func first(
        _ query: LandmarkQuery, from: LSN, reach: LSN, _ history: TimelineHistory, _ landmarks: any WALLandmarks
    ) throws -> WALLandmark? {
        guard let searched = low else { return try search(query, from, reach, reach, history, landmarks) }
        // A backup that began later and ended earlier than one before: its own first match may be another.
        if from > searched {
            return try landmarks.search(query, in: WALStretch(history: history, from: from, to: reach, reach: reach)).match
        }
        if let match = try search(query, from, min(searched, reach), reach, history, landmarks) { return match }
        // What is behind a gap is out of reach.
        return matches.first { $0.end <= reach }
    }

    private mutating func search(
        _ query: LandmarkQuery, _ from: LSN, _ to: LSN, _ reach: LSN, _ history: TimelineHistory, _ landmarks: any WALLandmarks
    ) throws -> WALLandmark? {
        let search = try landmarks.search(query, in: WALStretch(history: history, from: from, to: to, reach: reach))
        low = min(low ?? from, from)
        high = max(high ?? to, to)
        if let match = search.match { matches.insert(match, at: 0) }
        restorePoints = Array((search.restorePoints + restorePoints).suffix(LandmarkSearch.mostRestorePoints))
        return search.match
    }
}
