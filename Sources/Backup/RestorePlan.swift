package import PostgresModel
package import Repository
import Storage
import SystemPackage

/// What a restore will do: which backup and why, which WAL, which timeline.
package struct RestorePlan: Sendable {
    package let record: BackupRecord
    /// Why this backup, for a person.
    package let reason: String
    /// What was asked for.
    package let target: RecoveryTarget
    /// Where the name or the transaction that was asked for is in the WAL.
    package let landmark: WALLandmark?
    /// What PostgreSQL is told: the target itself, or where that would make it fail, another that leads to the same state.
    package let recoveryTarget: RecoveryTarget
    /// The timeline that recovery will follow to its end.
    package let timeline: TimelineID
    /// Recovery needs WAL from here …
    package var walFrom: LSN { record.beginLSN }
    /// … and has it without a gap up to here.
    package let walTo: LSN
    /// The moment up to which the WAL is known to be complete, where that is known.
    package let walTime: Timestamp?
    /// What the person should know before it begins.
    package fileprivate(set) var remarks: [String]
}

/// Chooses the backup for a target and proves that the WAL leads there. Pure: everything it knows is in its fields, and
/// what it asks of the WAL it asks `landmarks`.
package struct RestorePlanner {
    /// Complete backups.
    package var records: [BackupRecord]
    /// What WAL is stored.
    package var ranges: [WALArchive.Range]
    package var histories: [TimelineID: TimelineHistory]
    /// Of each timeline, the last moment up to which it is known to be complete.
    package var moments: [TimelineID: WALArchive.Moment]
    package var segmentSize: WALSegmentSize
    package var landmarks: any WALLandmarks
    /// Of the backups, those in which verifications found damage: taken only where no other leads to the target.
    package var damaged: Set<String>

    package init(
        records: [BackupRecord], damaged: Set<String> = [], ranges: [WALArchive.Range],
        histories: [TimelineID: TimelineHistory], moments: [TimelineID: WALArchive.Moment], segmentSize: WALSegmentSize,
        landmarks: any WALLandmarks
    ) {
        self.records = records
        self.damaged = damaged
        self.ranges = ranges
        self.histories = histories
        self.moments = moments
        self.segmentSize = segmentSize
        self.landmarks = landmarks
    }

    /// Plans over all systems that a cluster has had. A moment may be one of before an upgrade; other targets are places in the
    /// WAL of the current system, unless a backup of an earlier one is named.
    package static func plan(
        _ target: RecoveryTarget, chosen: BackupRecord?, among records: [BackupRecord], damaged: Set<String>,
        in repository: Repository
    ) throws -> RestorePlan {
        func plan(in system: Repository.System) throws -> RestorePlan {
            let own = records.filter { $0.systemIdentifier == system.systemIdentifier }
            return try RestorePlanner(WALArchive(repository, system: system), records: own, damaged: damaged)
                .plan(target, chosen: chosen)
        }
        if let chosen { return try plan(in: repository.system(chosen.systemIdentifier)) }
        let systems = try repository.systems()
        do { return try plan(in: repository.requireSystem()) } catch let failure as Failure
            where failure.code == .noSuitableBackup && systems.count > 1
        {
            guard case .time = target.point else {
                throw failure.adding(detail: "backups of before the upgrade are chosen by their names, or by a time")
            }
            for system in systems.dropLast().reversed() {
                guard var plan = try? plan(in: system) else { continue }
                plan.remarks.insert(
                    "this is of before the upgrade: system \(system.systemIdentifier), PostgreSQL \(system.serverMajor)", at: 0)
                return plan
            }
            throw failure
        }
    }

    package init(_ archive: WALArchive, records: [BackupRecord], damaged: Set<String>) throws {
        let moments = try archive.moments()  // before the ranges, so that they reach it
        var histories: [TimelineID: TimelineHistory] = [.first: TimelineHistory(of: .first)]
        for timeline in try archive.timelinesWithHistory() { histories[timeline] = try archive.history(of: timeline) }
        self.init(
            records: records, damaged: damaged, ranges: try archive.ranges(), histories: histories, moments: moments,
            segmentSize: archive.segmentSize, landmarks: WALArchiveLandmarks(archive))
    }

    /// `chosen` is the backup that the person named, if any.
    package func plan(_ target: RecoveryTarget, chosen: BackupRecord?) throws -> RestorePlan {
        guard !records.isEmpty else {
            throw Failure(
                .noSuitableBackup, "could not plan the restore: there is no complete backup", hint: "Take one: pgark backup")
        }
        let timeline = try timeline(of: target, chosen: chosen)
        let history = try history(of: timeline)
        let choice = try choose(target, history, chosen)
        let reach = try reach(of: choice.record, along: history)
        if target.point == .endOfWAL { try requireEnd(reach, of: choice.record, along: history) }
        var (recoveryTarget, remark) = try resolve(target, choice.record, history, reach)
        // By its number: a newer one may appear before the server asks for the newest.
        recoveryTarget.timeline = .id(timeline)
        return RestorePlan(
            record: choice.record, reason: choice.reason, target: target, landmark: choice.landmark,
            recoveryTarget: recoveryTarget, timeline: timeline, walTo: reach,
            walTime: moments[timeline].flatMap { $0.durableLSN <= reach ? $0.time : nil },
            remarks: (remark.map { [$0] } ?? []) + choice.remarks + remarks(target, choice.record))
    }

    // MARK: Timeline

    private func timeline(of target: RecoveryTarget, chosen: BackupRecord?) throws -> TimelineID {
        switch target.timeline {
        case .id(let id): return id
        case .current:
            // The backup's own: so the newest backup that leads to the target on the timeline where it was taken.
            if let chosen { return chosen.timeline }
            let suitable = try records.filter { try obstacle($0, target, history(of: $0.timeline)) == nil }
            return newest(suitable.isEmpty ? records : suitable).timeline
        case .latest:
            let known = records.map(\.timeline) + ranges.map(\.timeline) + Array(histories.keys)
            return known.max() ?? .first
        }
    }

    private func newest(_ records: [BackupRecord]) -> BackupRecord {
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

    struct Choice {
        let record: BackupRecord
        let reason: String
        var landmark: WALLandmark? = nil
        var remarks: [String] = []
    }

    private func choose(_ target: RecoveryTarget, _ history: TimelineHistory, _ chosen: BackupRecord?) throws -> Choice {
        if let query = LandmarkQuery(target.point) { return try choose(query, target, history, chosen) }
        if let chosen {
            if let obstacle = obstacle(chosen, target, history) {
                throw Failure(
                    .noSuitableBackup, "could not restore backup \(chosen.id) to \(target): \(obstacle)",
                    hint: "Leave the backup out, and the right one is chosen: pgark restore --to DIR …")
            }
            return Choice(record: chosen, reason: "it was named")
        }
        let suitable = newestFirst(records.filter { obstacle($0, target, history) == nil })
        guard let newest = suitable.first else {
            let reasons = records.map { "backup \($0.id): \(obstacle($0, target, history) ?? "")" }
            throw Failure(
                .noSuitableBackup, "could not find a backup for \(target)", details: reasons,
                hint: "The recovery window is in `pgark list`.")
        }
        let choice = Choice(record: newest, reason: reason(target, suitable.count))
        guard isDamaged(newest) else { return choice }
        // An older one leads to the same place, unless WAL is missing in between. Where that of the newest one itself is, it
        // leads nowhere.
        let reach = (try? reach(of: newest, along: history)) ?? .zero
        let undamaged = suitable.first { record in
            guard !isDamaged(record), let other = try? self.reach(of: record, along: history) else { return false }
            return other >= reach || target.point == .immediate
        }
        return undamaged.map { self.choice($0, insteadOf: choice) } ?? choice
    }

    func isDamaged(_ record: BackupRecord) -> Bool { damaged.contains(record.id) }

    func newestFirst(_ records: [BackupRecord]) -> [BackupRecord] {
        records.sorted { ($0.endLSN, $0.endTime) > ($1.endLSN, $1.endTime) }
    }

    /// An older backup, because the one that would be right is known to be damaged.
    func choice(_ record: BackupRecord, insteadOf damaged: Choice) -> Choice {
        Choice(
            record: record, reason: "the newest one that is not known to be damaged", landmark: damaged.landmark,
            remarks: [
                "backup \(damaged.record.id) would be nearer, but a verification found damage in it: pgark show \(damaged.record.id)"
            ])
    }

    func reason(_ target: RecoveryTarget, _ count: Int) -> String {
        let among = count == 1 ? "the only one" : "the newest of \(count)"
        return switch target.point {
        case .endOfWAL, .immediate: "\(among) on this timeline"
        case .time, .lsn, .transaction, .name: "\(among) that ended before the target"
        }
    }

    /// Why a backup cannot lead to the target; nil where it can.
    func obstacle(_ record: BackupRecord, _ target: RecoveryTarget, _ history: TimelineHistory) -> String? {
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
    func reach(of record: BackupRecord, along history: TimelineHistory) throws -> LSN {
        let wal = StoredWAL(ranges: ranges, histories: histories, segmentSize: segmentSize)
        let (timeline, reach) = wal.reach(from: record.beginLSN, on: record.timeline, along: history)
        guard reach < record.endLSN else { return reach }
        throw Failure(
            .targetUnreachable, "could not restore backup \(record.id): the WAL that it needs to be consistent is missing",
            details: [
                "needed from \(record.beginLSN) to \(record.endLSN); stored without a gap up to \(reach) of timeline \(timeline)"
            ],
            hint: "See what is stored: pgark wal status. Another backup may be whole: pgark list")
    }

    /// A recovery to the end of WAL must come to where it is known that WAL was: what is stored behind a gap, or what a receiver made
    /// durable, along the history.
    private func requireEnd(_ reach: LSN, of record: BackupRecord, along history: TimelineHistory) throws {
        let known = ranges.map { ($0.timeline, $0.to) } + moments.values.map { ($0.timeline, $0.durableLSN) }
        let missing = known.filter { timeline, position in
            switch history.end(of: timeline) {
            case .none: false
            case .some(.none): position > reach
            // The next timeline's first segment repeats the one in which this was left.
            case .some(.some(let end)): segmentSize.start(of: min(position, end)) > reach
            }
        }
        guard let end = missing.map(\.1).max() else { return }
        throw Failure(
            .targetUnreachable, "could not restore backup \(record.id) to the end of WAL: what follows \(reach) is missing",
            details: ["WAL of this history is or was stored up to \(end)"],
            hint: "Restore a backup from after the gap (pgark list), or up to it: --target-lsn \(reach)")
    }

    private func remarks(_ target: RecoveryTarget, _ record: BackupRecord) -> [String] {
        var remarks: [String] = []
        if isDamaged(record) {
            remarks.append("a verification found damage in this backup, so its restore may fail: pgark show \(record.id)")
        }
        if !record.badPages.isEmpty {
            remarks.append(
                "this backup has \(record.badPages.count) bad pages; the server had them when it was taken: pgark show \(record.id)"
            )
        }
        return remarks
    }
}
