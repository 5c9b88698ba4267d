/// When zeros are written behind the received bytes of a segment, so that what comes next overwrites blocks that the file system
/// has given the file and written already: then a sync writes that data and needs no entry in the file system's journal.
///
/// That halves the wait of a commit whose synchronous standby we are, and pays only where syncs follow each other closely with
/// few bytes between them. In a torrent every byte would be written twice for nothing.
package struct RoomAhead: Sendable, Equatable {
    /// Of larger batches the sync itself takes longer than the journal.
    package static let largestBatch = 128 << 10
    /// New room is made when less than this is left.
    package static let least = 64 << 10
    /// So much at a time: a few milliseconds of writing for a thousand syncs or so.
    package static let step = 1 << 20

    private let segmentBytes: Int
    /// The file's size.
    package private(set) var end: Int
    /// What there is of the segment, which may be more than was received this time.
    private var content: Int
    private var isGivenUp = false

    package init(segmentBytes: Int, size: Int) {
        self.segmentBytes = segmentBytes
        end = size
        content = size
    }

    /// The zeros to write now that `received` bytes from the segment's start are durable, the last `batch` of them by one sync.
    package mutating func needed(received: Int, batch: Int) -> Range<Int>? {
        content = max(content, received)
        end = max(end, content)
        guard !isGivenUp, batch <= Self.largestBatch, end - received < Self.least, end < segmentBytes else { return nil }
        return end..<min(end + Self.step, segmentBytes)
    }

    package mutating func didWrite(_ zeros: Range<Int>) { end = zeros.upperBound }

    /// There is no space for zeros, or the stream is over: where the file must end.
    package mutating func giveUp(received: Int) -> Int {
        isGivenUp = true
        content = max(content, received)
        end = content
        return content
    }
}
