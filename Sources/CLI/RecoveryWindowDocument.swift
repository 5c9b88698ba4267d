import PostgresModel
import Repository

/// From where to where any moment can be restored, as `list`, `status` and `wal status` print it.
struct RecoveryWindowDocument: Encodable {
    /// Of the current system's newest timeline: its first moment …
    let fromTime: Timestamp
    /// … and its last, though there may be gaps in between.
    @Nullable var toTime: Timestamp?
    let fromLSN: LSN
    let toLSN: LSN
    let gaps: [GapDocument]
    let timelines: [Timeline]

    struct Timeline: Encodable {
        let systemIdentifier: SystemIdentifier
        let timeline: TimelineID
        let stretches: [Stretch]
    }

    struct Stretch: Encodable {
        let fromTime: Timestamp
        @Nullable var toTime: Timestamp?
        let fromLSN: LSN
        let toLSN: LSN
    }

    /// Nil where there is nothing to restore from.
    init?(_ inventory: Inventory) {
        let windows = inventory.parts.map { ($0, inventory.window(of: $0)) }
        timelines = windows.flatMap { part, window in
            window.timelines.map { timeline in
                Timeline(
                    systemIdentifier: part.archive.system.systemIdentifier, timeline: timeline.timeline,
                    stretches: timeline.stretches.map {
                        Stretch(fromTime: $0.fromTime, toTime: $0.toTime, fromLSN: $0.fromLSN, toLSN: $0.toLSN)
                    })
            }
        }
        guard let newest = timelines.last, let first = newest.stretches.first, let last = newest.stretches.last else {
            return nil
        }
        (fromTime, fromLSN, toTime, toLSN) = (first.fromTime, first.fromLSN, last.toTime, last.toLSN)
        gaps = windows.last.map { part, window in window.gaps.map { GapDocument($0, part.notedGaps) } } ?? []
    }

    // MARK: For a person

    var lines: [String] { restorable + gaps.map(\.text) }

    var restorable: [String] {
        let isUpgraded = Set(timelines.map(\.systemIdentifier)).count > 1
        return timelines.reversed().flatMap { timeline in
            let system = isUpgraded ? " of system \(timeline.systemIdentifier)" : ""
            let place = timelines.count > 1 ? "along timeline \(timeline.timeline)\(system), " : ""
            return timeline.stretches.map { stretch in
                let end = stretch.toTime.map(\.shortText) ?? "LSN \(stretch.toLSN)"
                return place + "any moment can be restored from \(stretch.fromTime.shortText) to \(end)"
            }
        }
    }
}

/// WAL that is missing, with what was noted about it.
struct GapDocument: Encodable {
    let timeline: TimelineID
    let fromLSN: LSN
    let toLSN: LSN
    /// Before it, WAL is known to be complete up to this moment.
    @Nullable var fromTime: Timestamp?
    @Nullable var noticedTime: Timestamp?
    @Nullable var reason: String?

    init(_ gap: StoredWAL.Gap, _ noted: [WALArchive.Gap]) {
        (timeline, fromLSN, toLSN) = (gap.timeline, gap.fromLSN, gap.toLSN)
        let note = noted.last { $0.timeline == gap.timeline && $0.fromLSN <= gap.fromLSN && $0.toLSN >= gap.toLSN }
        (fromTime, noticedTime, reason) = (note?.fromTime, note?.noticedTime, note?.reason)
    }

    var text: String {
        let known = [fromTime.map { "after \($0.shortText)" }, reason].compactMap(\.self).joined(separator: ": ")
        return "gap in the WAL of timeline \(timeline): from \(fromLSN) to \(toLSN)" + (known.isEmpty ? "" : ", \(known)")
    }
}
