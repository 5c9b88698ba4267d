import Backup
import PostgresModel
import Repository

/// What the repository proves: its systems, how their timelines began, and what was missed.
extension ClusterHistory {
    static func stored(in repository: Repository) throws -> [HistoryEvent] {
        let inventory = try Inventory(repository)
        return try inventory.parts.enumerated().flatMap { number, part in
            let records = inventory.entries.compactMap(\.record).filter {
                $0.systemIdentifier == part.archive.system.systemIdentifier
            }
            let landmarks = WALArchiveLandmarks(part.archive), begins = try landmarks.timelineBegins(part.wal)
            return [system(part, isFirst: number == 0, try landmarks.firstTransaction(part.wal))]
                + begins.map { timeline($0, node: primary(on: $0.timeline, records)) } + part.notedGaps.map(gap)
        }
    }

    private static func system(_ part: Inventory.Part, isFirst: Bool, _ time: Timestamp?) -> HistoryEvent {
        let system = part.archive.system
        let what = "PostgreSQL \(system.serverMajor), system \(system.systemIdentifier)"
        var event = HistoryEvent(
            kind: "system", time: time, detail: isFirst ? "\(what): what is stored begins here" : "upgraded to \(what)")
        event.timeline = part.wal.ranges.first?.timeline
        event.atLSN = part.wal.ranges.first?.from
        return event
    }

    /// A timeline has one primary, and a backup of that names it.
    private static func primary(on timeline: TimelineID, _ records: [BackupRecord]) -> String? {
        records.first { $0.timeline == timeline && !$0.fromStandby }?.node
    }

    static func timeline(_ begin: TimelineBegin, node: String?) -> HistoryEvent {
        var event = HistoryEvent(kind: timelineKind, time: begin.time, detail: words(begin))
        event.node = node
        event.timeline = begin.timeline
        event.atLSN = begin.at
        if let time = begin.time, let last = begin.lastOfParent, time >= last {
            event.outageSeconds = time - last
            event.outageFrom = .wal
        }
        return event
    }

    private static func words(_ begin: TimelineBegin) -> String {
        // As src/backend/access/transam/xlogrecovery.c, getRecoveryStopReason, says it of a promotion.
        let isPromotion = begin.reason == nil || begin.reason == "no recovery target specified"
        var words =
            (isPromotion ? "promoted" : "recovered (\(begin.reason ?? ""))") + ", from timeline \(begin.parent)"
        guard let end = begin.leftBehindTo else { return words }
        words += "; timeline \(begin.parent) went on to \(end), which is no part of this one"
        if let time = begin.time, let last = begin.lastOfParent, last > time {
            words += ", and committed there until \(last.shortText): a fork, or a copy that archives"
        }
        return words
    }

    private static func gap(_ gap: WALArchive.Gap) -> HistoryEvent {
        var event = HistoryEvent(kind: "gap", time: gap.noticedTime, detail: "WAL up to \(gap.toLSN) is missing: \(gap.reason)")
        event.timeline = gap.timeline
        event.atLSN = gap.fromLSN
        return event
    }
}
