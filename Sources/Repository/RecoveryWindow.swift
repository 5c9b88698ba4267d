package import PostgresModel

/// From where to where any moment can be restored, on each timeline of one system, and what is missing in between. Pure.
package struct RecoveryWindow: Sendable, Equatable {
    /// Moments that can all be restored, along the history of one timeline.
    package struct Stretch: Sendable, Equatable {
        /// The end of the backup from which the first of them is restored.
        package let fromTime: Timestamp
        package let fromLSN: LSN
        /// Nil where it is not known when the last of them was.
        package let toTime: Timestamp?
        package let toLSN: LSN
    }

    package struct Timeline: Sendable, Equatable {
        package let timeline: TimelineID
        /// Oldest first; between two is a gap.
        package let stretches: [Stretch]
    }

    /// The newest timeline last. Those that another one merely goes on from are not among them.
    package let timelines: [Timeline]
    package let gaps: [StoredWAL.Gap]

    /// `backups` are those of the same system that are complete.
    package init(_ wal: StoredWAL, _ backups: [BackupRecord], notedGaps: [WALArchive.Gap] = []) {
        let ways = wal.timelines.filter { timeline in timeline == wal.timelines.last || !Self.isPassedThrough(timeline, wal) }
        timelines = ways.compactMap { timeline in
            guard let history = wal.histories[timeline] else { return nil }
            let stretches = Self.stretches(wal, backups, along: history, notedGaps)
            return stretches.isEmpty ? nil : Timeline(timeline: timeline, stretches: stretches)
        }
        let oldest = backups.map(\.beginLSN).min()
        gaps = wal.gaps.filter { gap in oldest.map { gap.toLSN > $0 } ?? true }
    }

    /// A promotion leaves a timeline at its end: what is stored of it is all part of the one that follows.
    private static func isPassedThrough(_ timeline: TimelineID, _ wal: StoredWAL) -> Bool {
        guard let end = wal.ranges.last(where: { $0.timeline == timeline })?.to else { return true }
        return wal.timelines.contains { other in
            guard other > timeline, let history = wal.histories[other], let left = history.end(of: timeline) else { return false }
            return left.map { end <= $0 } ?? false
        }
    }

    private static func stretches(
        _ wal: StoredWAL, _ backups: [BackupRecord], along history: TimelineHistory, _ notedGaps: [WALArchive.Gap]
    ) -> [Stretch] {
        var stretches: [(first: BackupRecord, timeline: TimelineID, to: LSN)] = []
        let leading = backups.filter { history.contains($0.endLSN, on: $0.timeline) }
        for backup in leading.sorted(by: { $0.endLSN < $1.endLSN }) {
            let (timeline, reach) = wal.reach(from: backup.beginLSN, on: backup.timeline, along: history)
            guard reach >= backup.endLSN else { continue }  // its WAL is not whole
            if let last = stretches.last, last.to >= backup.endLSN {
                if reach > last.to { stretches[stretches.count - 1] = (last.first, timeline, reach) }
            } else {
                stretches.append((backup, timeline, reach))
            }
        }
        return stretches.map { first, timeline, to in
            Stretch(
                fromTime: first.endTime, fromLSN: first.endLSN, toTime: time(of: to, on: timeline, wal, notedGaps), toLSN: to)
        }
    }

    /// When the WAL of a timeline was complete up to there, as far as somebody noted it.
    private static func time(_ position: LSN, _ moment: WALArchive.Moment) -> Timestamp? {
        moment.durableLSN <= position ? moment.time : nil
    }

    private static func time(
        of position: LSN, on timeline: TimelineID, _ wal: StoredWAL, _ notedGaps: [WALArchive.Gap]
    ) -> Timestamp? {
        if let noted = wal.moments[timeline].flatMap({ time(position, $0) }) { return noted }
        return notedGaps.first { $0.timeline == timeline && $0.fromLSN == position }?.fromTime
    }

    /// The stretch that goes on now.
    package var current: Stretch? { timelines.last?.stretches.last }
}
