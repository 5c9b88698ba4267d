package import PostgresModel

/// Which segments a recovery will want next: so many behind the one that it asked for last, on the same timeline.
package struct PrefetchWindow: Equatable, Sendable {
    private static let mostSegments = 8
    private static let mostBytes = 256 << 20

    private let capacity: UInt64
    private var last: WALSegment
    /// Made ready and not asked for yet.
    package private(set) var ready: Set<WALSegment> = []
    /// Nothing behind it can be had now.
    private var end: WALSegment?

    /// Nil where already one segment is more than may lie ready.
    package init?(after segment: WALSegment, size: WALSegmentSize) {
        let count = min(Self.mostSegments, Self.mostBytes / size.bytes)
        guard count > 0 else { return nil }
        capacity = UInt64(count)
        last = segment
    }

    /// The next one to make ready; nil where there is none before somebody asks for more.
    package var next: WALSegment? {
        var segment = last.next
        while ready.contains(segment) { segment = segment.next }
        return segment.number - last.number <= capacity && segment != end ? segment : nil
    }

    /// True where nothing lies ready and nothing more can be made so.
    package var isExhausted: Bool { ready.isEmpty && next == nil }

    package mutating func didPrepare(_ segment: WALSegment) { ready.insert(segment) }
    package mutating func cannotPrepare(_ segment: WALSegment) { end = segment }

    /// The recovery asked for this one, wherever it got it from. Returns what nobody will ask for any more.
    package mutating func didRequest(_ segment: WALSegment) -> Set<WALSegment> {
        last = segment
        end = nil
        let stale = ready.filter {
            $0.timeline != segment.timeline || $0.number <= segment.number || $0.number > segment.number + capacity
        }
        ready.subtract(stale)
        return stale
    }
}
