package import PostgresModel
package import Repository
import Storage
import SystemPackage

/// What a restore will do: which backup and why, which WAL, which timeline.
package struct RestorePlan: Sendable {
    package let record: BackupRecord
    /// Why this backup, for a person.
    package let reason: String
    package let target: RecoveryTarget
    /// The timeline that recovery will follow to its end.
    package let timeline: TimelineID
    /// Recovery needs WAL from here …
    package var walFrom: LSN { record.beginLSN }
    /// … and has it without a gap up to here.
    package let walTo: LSN
    /// The moment up to which the WAL is known to be complete, where that is known.
    package let walTime: Timestamp?
    /// What the person should know before it begins.
    package let remarks: [String]
}

/// Chooses the backup for a target and proves that the WAL leads there. Pure: everything it knows is in its fields.
package struct RestorePlanner: Sendable {
    /// Complete backups.
    package var records: [BackupRecord]
    /// What WAL is stored.
    package var ranges: [WALArchive.Range]
    package var histories: [TimelineID: TimelineHistory]
    package var moment: WALArchive.Moment?
    package var segmentSize: WALSegmentSize

    package init(
        records: [BackupRecord], ranges: [WALArchive.Range], histories: [TimelineID: TimelineHistory],
        moment: WALArchive.Moment?, segmentSize: WALSegmentSize
    ) {
        self.records = records
        self.ranges = ranges
        self.histories = histories
        self.moment = moment
        self.segmentSize = segmentSize
    }

    package init(_ archive: WALArchive, records: [BackupRecord]) throws {
        var histories: [TimelineID: TimelineHistory] = [.first: TimelineHistory(of: .first)]
        for timeline in try archive.timelinesWithHistory() { histories[timeline] = try archive.history(of: timeline) }
        self.init(
            records: records, ranges: try archive.ranges(), histories: histories, moment: try archive.moment(),
            segmentSize: archive.segmentSize)
    }

    /// `chosen` is the backup that the person named, if any.
    package func plan(_ target: RecoveryTarget, chosen: BackupRecord?) throws -> RestorePlan {
        guard !records.isEmpty else {
            throw Failure(
                .noSuitableBackup, "could not plan the restore: there is no complete backup", hint: "Take one: pgark backup")
        }
        let timeline = try timeline(of: target, chosen: chosen)
        let history = try history(of: timeline)
        let (record, reason) = try choose(target, history, chosen)
        let reach = try reach(of: record, along: history)
        try check(target, record, history, reach)
        return RestorePlan(
            record: record, reason: reason, target: target, timeline: timeline, walTo: reach,
            walTime: moment.flatMap { $0.timeline == timeline && $0.durableLSN <= reach ? $0.time : nil },
            remarks: remarks(target, record))
    }

    // MARK: Timeline

    private func timeline(of target: RecoveryTarget, chosen: BackupRecord?) throws -> TimelineID {
        switch target.timeline {
        case .id(let id): return id
        case .current: return try (chosen ?? newest(records)).timeline
        case .latest:
            let known = records.map(\.timeline) + ranges.map(\.timeline) + Array(histories.keys)
            return known.max() ?? .first
        }
    }

    private func newest(_ records: [BackupRecord]) throws -> BackupRecord {
        records.max { ($0.timeline, $0.endLSN) < ($1.timeline, $1.endLSN) }!
    }

    private func history(of timeline: TimelineID) throws -> TimelineHistory {
        if let history = histories[timeline] { return history }
        throw Failure(
            .targetUnreachable, "could not plan the restore: the history of timeline \(timeline) is not stored",
            details: ["timelines with a history: \(histories.keys.sorted().map(\.description).joined(separator: ", "))"],
            hint: "Name another timeline: --target-timeline N, or current for the backup's own")
    }

    // MARK: Backup

    private func choose(
        _ target: RecoveryTarget, _ history: TimelineHistory, _ chosen: BackupRecord?
    ) throws -> (BackupRecord, String) {
        if let chosen {
            if let obstacle = obstacle(chosen, target, history) {
                throw Failure(
                    .noSuitableBackup, "could not restore backup \(chosen.id) to \(target): \(obstacle)",
                    hint: "Leave the backup out, and the right one is chosen: pgark restore --to DIR …")
            }
            return (chosen, "it was named")
        }
        let suitable = records.filter { obstacle($0, target, history) == nil }
        guard let best = suitable.max(by: { ($0.endLSN, $0.endTime) < ($1.endLSN, $1.endTime) }) else {
            let reasons = records.map { "backup \($0.id): \(obstacle($0, target, history) ?? "")" }
            throw Failure(
                .noSuitableBackup, "could not find a backup for \(target)", details: reasons,
                hint: "The recovery window is in `pgark list`.")
        }
        return (best, reason(target, suitable.count))
    }

    private func reason(_ target: RecoveryTarget, _ count: Int) -> String {
        let among = count == 1 ? "the only one" : "the newest of \(count)"
        return switch target.point {
        case .endOfWAL, .immediate: "\(among) on this timeline"
        case .time, .lsn: "\(among) that ended before the target"
        case .transaction, .name: "\(among) on this timeline; if the target is older than it, name an older backup"
        }
    }

    /// Why a backup cannot lead to the target; nil where it can.
    private func obstacle(_ record: BackupRecord, _ target: RecoveryTarget, _ history: TimelineHistory) -> String? {
        if !history.contains(record.endLSN, on: record.timeline) {
            return "timeline \(history.timeline) does not pass through its end (\(record.endLSN) of timeline \(record.timeline))"
        }
        switch target.point {
        case .time(let time):
            if record.endTime > time { return "it ended at \(record.endTime), after the target" }
        case .lsn(let lsn):
            if record.endLSN > lsn { return "it ended at \(record.endLSN), after the target" }
        case .endOfWAL, .transaction, .name, .immediate: break
        }
        return nil
    }

    // MARK: WAL

    /// How far recovery gets from this backup along the history. Each timeline but the last is needed only up to the
    /// segment in which it was left: the next one begins with a copy of that segment.
    private func reach(of record: BackupRecord, along history: TimelineHistory) throws -> LSN {
        var timeline = record.timeline
        var position = segmentSize.start(of: record.beginLSN)
        while let end = history.end(of: timeline), let end, let next = history.successor(of: timeline) {
            let left = segmentSize.start(of: end)
            if position < left {
                let stored = stored(from: position, on: timeline)
                guard let stored, stored >= left else {
                    return try gap(record, stored ?? position, timeline, required: record.endLSN)
                }
            }
            position = max(position, left)
            timeline = next
        }
        guard let stored = stored(from: position, on: timeline) else {
            return try gap(record, position, timeline, required: record.endLSN)
        }
        return try gap(record, stored, timeline, required: record.endLSN)
    }

    private func stored(from position: LSN, on timeline: TimelineID) -> LSN? {
        ranges.last { $0.timeline == timeline && $0.from <= position && position <= $0.to }?.to
    }

    private func gap(_ record: BackupRecord, _ reach: LSN, _ timeline: TimelineID, required: LSN) throws -> LSN {
        guard reach < required else { return reach }
        throw Failure(
            .targetUnreachable, "could not restore backup \(record.id): the WAL that it needs to be consistent is missing",
            details: [
                "needed from \(record.beginLSN) to \(required); stored without a gap up to \(reach) of timeline \(timeline)"
            ],
            hint: "See what is stored: pgark wal status. Another backup may be whole: pgark list")
    }

    private func check(_ target: RecoveryTarget, _ record: BackupRecord, _ history: TimelineHistory, _ reach: LSN) throws {
        func beyond(_ what: String) -> Failure {
            Failure(
                .targetUnreachable, "could not restore to \(target): \(what)",
                details: [
                    "from backup \(record.id), the WAL of timeline \(history.timeline) reaches \(reach)"
                        + (moment.map { ", complete up to \($0.time)" } ?? "")
                ],
                hint: "Choose a target within the recovery window: pgark list")
        }
        switch target.point {
        case .lsn(let lsn): if lsn > reach { throw beyond("the stored WAL ends before it") }
        case .time(let time):
            guard let moment, moment.timeline == history.timeline else { break }
            if reach < moment.durableLSN {
                // A gap cuts the chain before the noted moment: only what a backup's own end proves can be relied on.
                let proved = records.filter { $0.endLSN <= reach && history.contains($0.endLSN, on: $0.timeline) }.map(\.endTime)
                    .max()
                if time > (proved ?? record.endTime) { throw beyond("WAL is missing after \(reach)") }
            } else if reach == moment.durableLSN, time > moment.time {
                throw beyond("the stored WAL is complete only up to \(moment.time)")
            }
        case .endOfWAL, .transaction, .name, .immediate: break
        }
    }

    private func remarks(_ target: RecoveryTarget, _ record: BackupRecord) -> [String] {
        var remarks: [String] = []
        if !record.badPages.isEmpty {
            remarks.append(
                "this backup has \(record.badPages.count) bad pages; the server had them when it was taken: pgark show \(record.id)"
            )
        }
        if target.point == .endOfWAL, let last = ranges.last(where: { $0.timeline == record.timeline }), last.from > record.endLSN
        {
            remarks.append("there is a gap in the WAL after this backup: pgark wal status")
        }
        return remarks
    }
}
