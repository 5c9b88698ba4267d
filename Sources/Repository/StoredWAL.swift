package import PostgresModel

/// The WAL of one system as values: what of it is stored, how its timelines descend from each other, and up to when it is
/// known to be complete. How far a recovery gets, and what it needs on the way, follows from these alone.
package struct StoredWAL: Sendable {
    /// By timeline and position. Between two of one timeline is a gap.
    package var ranges: [WALArchive.Range]
    /// Of the timelines whose history is stored, and of the first, which needs none.
    package var histories: [TimelineID: TimelineHistory]
    /// Of each timeline, the last moment at which everything that the server had was durable here.
    package var moments: [TimelineID: WALArchive.Moment]
    package var segmentSize: WALSegmentSize

    package init(
        ranges: [WALArchive.Range], histories: [TimelineID: TimelineHistory], moments: [TimelineID: WALArchive.Moment] = [:],
        segmentSize: WALSegmentSize
    ) {
        self.ranges = ranges
        self.histories = histories
        self.moments = moments
        self.segmentSize = segmentSize
        self.histories[.first] = TimelineHistory(of: .first)
    }

    /// Of `segments`, where they were listed already.
    package init(_ archive: WALArchive, _ segments: [(segment: WALSegment, place: WALArchive.Place)]? = nil) throws {
        let moments = try archive.moments()  // before the ranges, so that these reach them
        var histories: [TimelineID: TimelineHistory] = [:]
        for timeline in try archive.timelinesWithHistory() { histories[timeline] = try archive.history(of: timeline) }
        self.init(
            ranges: archive.ranges(of: try segments ?? archive.segments()), histories: histories, moments: moments,
            segmentSize: archive.segmentSize)
    }

    /// Every timeline of which anything is stored, in order.
    package var timelines: [TimelineID] { Set(ranges.map(\.timeline)).sorted() }

    // MARK: The way of a recovery

    /// The WAL of one timeline that a recovery passes through.
    package struct Step: Sendable, Equatable {
        package let timeline: TimelineID
        /// The start of a segment.
        package let from: LSN
        /// Where the history leaves the timeline; nil on its last one.
        package let to: LSN?
    }

    /// What a recovery needs that begins at `start` and follows `history`. Each timeline but the last is needed only up to the
    /// segment in which it was left: the next one begins with a copy of that segment
    /// (PostgreSQL: src/backend/access/transam/xlog.c, XLogInitNewTimeline).
    package func steps(from start: LSN, on timeline: TimelineID, along history: TimelineHistory) -> [Step] {
        var steps: [Step] = []
        var timeline = timeline
        var position = segmentSize.start(of: start)
        while let end = history.end(of: timeline), let end, let next = history.successor(of: timeline) {
            steps.append(Step(timeline: timeline, from: position, to: end))
            position = max(position, segmentSize.start(of: end))
            timeline = next
        }
        return steps + [Step(timeline: timeline, from: position, to: nil)]
    }

    /// How far such a recovery gets without a gap, and on which timeline. Where not even its first byte is stored, that is
    /// the start of its segment.
    package func reach(from start: LSN, on timeline: TimelineID, along history: TimelineHistory) -> (TimelineID, LSN) {
        for step in steps(from: start, on: timeline, along: history) {
            let stored = stored(from: step.from, on: step.timeline) ?? step.from
            guard let end = step.to, step.from >= segmentSize.start(of: end) || stored >= segmentSize.start(of: end) else {
                return (step.timeline, stored)
            }
        }
        preconditionFailure("the last step of a recovery has no end")
    }

    private func stored(from position: LSN, on timeline: TimelineID) -> LSN? {
        ranges.last { $0.timeline == timeline && $0.from <= position && position <= $0.to }?.to
    }

    /// True where the WAL is stored that makes a backup consistent.
    package func isWhole(from begin: LSN, to end: LSN, on timeline: TimelineID) -> Bool {
        stored(from: segmentSize.start(of: begin), on: timeline).map { $0 >= end } ?? false
    }

    // MARK: Gaps

    /// WAL of one timeline that lies between what is stored and is not.
    package struct Gap: Sendable, Equatable, Encodable {
        package let timeline: TimelineID
        package let fromLSN: LSN
        package let toLSN: LSN

        package init(timeline: TimelineID, fromLSN: LSN, toLSN: LSN) {
            self.timeline = timeline
            self.fromLSN = fromLSN
            self.toLSN = toLSN
        }
    }

    /// Between the ranges of a timeline, and where one timeline leaves another.
    package var gaps: [Gap] {
        var gaps = zip(ranges, ranges.dropFirst()).compactMap { last, next in
            last.timeline == next.timeline ? Gap(timeline: last.timeline, fromLSN: last.to, toLSN: next.from) : nil
        }
        for timeline in timelines {
            guard let ancestors = histories[timeline]?.ancestors,
                let child = ranges.first(where: { $0.timeline == timeline }),
                let last = ancestors.lastIndex(where: { ancestor in ranges.contains { $0.timeline == ancestor.timeline } })
            else { continue }
            // A switchpoint lies within a segment, whose first part the new timeline's file repeats.
            var position = ancestors[last].end
            if let parent = ranges.last(where: { $0.timeline == ancestors[last].timeline && $0.from < position }),
                parent.to < segmentSize.start(of: position)
            {
                gaps.append(Gap(timeline: parent.timeline, fromLSN: parent.to, toLSN: segmentSize.start(of: position)))
            }
            // Timelines in between of which nothing is stored.
            for between in ancestors[(last + 1)...] {
                let end = segmentSize.start(of: between.end)
                if end > position { gaps.append(Gap(timeline: between.timeline, fromLSN: position, toLSN: end)) }
                position = between.end
            }
            let needed = segmentSize.start(of: position)
            if child.from > needed { gaps.append(Gap(timeline: timeline, fromLSN: max(position, needed), toLSN: child.from)) }
        }
        return gaps
    }
}
