package import PostgresModel
package import Repository
import Storage

/// How a timeline came to be, as far as what is stored proves it.
package struct TimelineBegin: Sendable, Equatable {
    package var timeline: TimelineID
    package var parent: TimelineID
    /// Where it left its parent.
    package var at: LSN
    /// When its server began to take writes.
    package var time: Timestamp?
    /// The last transaction of the parent, also one that this timeline does not have.
    package var lastOfParent: Timestamp?
    /// Where the parent's last record is that this timeline does not have; nil where it has all.
    package var leftBehindTo: LSN?
    /// The server's own words for why its recovery ended.
    package var reason: String?

    package init(
        timeline: TimelineID, parent: TimelineID, at: LSN, time: Timestamp? = nil, lastOfParent: Timestamp? = nil,
        leftBehindTo: LSN? = nil, reason: String? = nil
    ) {
        self.timeline = timeline
        self.parent = parent
        self.at = at
        self.time = time
        self.lastOfParent = lastOfParent
        self.leftBehindTo = leftBehindTo
        self.reason = reason
    }
}

extension WALArchiveLandmarks {
    /// A timeline's last transaction is looked for in so many segments: where it is older, a server had been idle for long.
    private static let mostSegments = 16

    /// Those of every timeline whose history is stored, oldest first.
    package func timelineBegins(_ wal: StoredWAL) throws -> [TimelineBegin] {
        try wal.histories.values.sorted { $0.timeline < $1.timeline }.compactMap { history in
            guard let parent = history.ancestors.last else { return nil }
            var begin = TimelineBegin(timeline: history.timeline, parent: parent.timeline, at: parent.end)
            begin.reason = try archive.historyText(of: history.timeline).flatMap { TimelineHistory.reason(in: $0) }
            begin.time = try whenWritesBegan(history, wal)
            if let parentHistory = wal.histories[parent.timeline] {
                begin.lastOfParent = try lastTransaction(of: parentHistory, wal)
                begin.leftBehindTo = try lastRecord(of: parentHistory, from: parent.end, wal)
            }
            return begin
        }
    }

    /// The end of recovery is among a timeline's first records, before any transaction.
    private func whenWritesBegan(_ history: TimelineHistory, _ wal: StoredWAL) throws -> Timestamp? {
        var time: Timestamp?
        try known {
            guard let range = wal.ranges.first(where: { $0.timeline == history.timeline && $0.to > history.begin }) else {
                return
            }
            _ = try scan(stretch(history, from: history.begin, of: range)) { landmark in
                if landmark.kind == .timeline(history.timeline) { time = landmark.time }
                return time == nil && landmark.transaction == nil
            }
        }
        return time
    }

    /// That is stored; nil where a server was idle for long at first.
    package func firstTransaction(_ wal: StoredWAL) throws -> Timestamp? {
        var time: Timestamp?
        try known {
            guard let range = wal.ranges.first, let history = wal.histories[range.timeline] else { return }
            let end = min(range.to, range.from + Self.mostSegments * size.bytes)
            _ = try scan(WALStretch(history: history, from: range.from, to: end, reach: range.to)) { landmark in
                if landmark.transaction != nil { time = landmark.time }
                return time == nil
            }
        }
        return time
    }

    private func lastTransaction(of history: TimelineHistory, _ wal: StoredWAL) throws -> Timestamp? {
        var time: Timestamp?
        try known {
            guard let range = wal.ranges.last(where: { $0.timeline == history.timeline }) else { return }
            for part in backwards(stretch(history, from: .zero, of: range)).prefix(Self.mostSegments) where time == nil {
                _ = try scan(part) { landmark in
                    if landmark.transaction != nil { time = landmark.time }
                    return true
                }
            }
        }
        return time
    }

    private func lastRecord(of history: TimelineHistory, from: LSN, _ wal: StoredWAL) throws -> LSN? {
        var last: LSN?
        try known {
            guard let range = wal.ranges.last(where: { $0.timeline == history.timeline }), range.to > from else { return }
            last = try lastRecord(in: stretch(history, from: from, of: range))
        }
        return last.flatMap { $0 >= from ? $0 : nil }
    }

    private func stretch(_ history: TimelineHistory, from: LSN, of range: WALArchive.Range) -> WALStretch {
        WALStretch(history: history, from: max(from, range.from), to: range.to, reach: range.to)
    }

    /// What retention took away, or what is not read to its end, proves nothing.
    private func known(_ body: () throws -> Void) throws {
        do { try body() } catch let failure as Failure where [.segmentMissing, .unsupported, .damaged].contains(failure.code) {}
    }
}

extension WALArchive {
    /// As its server wrote it.
    package func historyText(of timeline: TimelineID) throws -> String? { try SmallFile.readText(historyPath(timeline)) }
}
