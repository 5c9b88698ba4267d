/// Where a WAL receiver stands: what it may write next, and what it may say is safe.
///
/// The rules, without I/O and without a clock:
/// - bytes arrive in order, without a gap and without an overlap, and the first ones at a segment's start
///   (PostgreSQL: src/bin/pg_basebackup/receivelog.c, ProcessXLogDataMsg);
/// - `flushed` moves only when the caller says that everything written is durable (promise P1).
package struct WALReceivePosition: Equatable, Sendable {
    package let timeline: TimelineID
    package let segmentSize: WALSegmentSize
    package private(set) var written: LSN
    package private(set) var flushed: LSN

    /// `start` must be the start of a segment.
    package init(timeline: TimelineID, segmentSize: WALSegmentSize, start: LSN) {
        precondition(segmentSize.offset(of: start) == 0, "a stream begins at the start of a segment")
        self.timeline = timeline
        self.segmentSize = segmentSize
        written = start
        flushed = start
    }

    package var hasUnflushed: Bool { written > flushed }
    package var segment: WALSegment { WALSegment(timeline: timeline, holding: written, size: segmentSize) }
    package var offsetInSegment: Int { segmentSize.offset(of: written) }

    /// Throws where a message does not continue what was written.
    package func check(start: LSN) throws {
        guard start == written else {
            throw Failure(
                .protocolViolation, "could not continue the WAL stream: the server sent \(start) where \(written) was due",
                details: ["timeline \(timeline)"])
        }
    }

    /// How many of `count` bytes belong to the current segment.
    package func share(of count: Int) -> Int { min(count, segmentSize.bytes - offsetInSegment) }

    /// True where the bytes just written complete their segment.
    package mutating func didWrite(_ count: Int) -> Bool {
        precondition(count > 0 && count <= segmentSize.bytes - offsetInSegment, "a write stays within one segment")
        written = written + count
        return offsetInSegment == 0
    }

    package mutating func didFlush() { flushed = written }

    /// Everything before `position` is durable, whatever of it was said to be so before.
    package mutating func didFlush(upTo position: LSN) {
        precondition(position <= written, "only what was written can be durable")
        flushed = max(flushed, position)
    }
}
