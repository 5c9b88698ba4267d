import Postgres
import PostgresModel
import Repository
import Storage

/// The short way of a stream that is far behind: from the connection into the archive, without a raw file between.
extension TimelineStream {
    /// So many segments ahead the server must be before they are archived as they arrive: nobody waits for these bytes then.
    private static let segmentsBehind = 2
    /// Of larger ones too much would have to be received again where the connection breaks.
    private static let largestDirect = 64 << 20

    /// At the begin of a segment: whether it takes the short way into the archive.
    mutating func chooseWay() throws {
        let size = archive.segmentSize.bytes
        let isFarBehind = serverEnd >= position.written + Self.segmentsBehind * size
        if isFarBehind, size <= Self.largestDirect, position.written >= acknowledged,
            try archive.place(of: position.segment) == nil
        {
            if direct == nil { direct = archiver.direct() }
        } else {
            try endDirect()
        }
    }

    mutating func add(_ piece: UnsafeRawBufferPointer, to direct: DirectArchiver) throws {
        let isLast = position.offsetInSegment + piece.count == archive.segmentSize.bytes
        try direct.add(piece, to: position.segment, isLast: isLast) {
            try noticeArchived(direct.durable())
            try replyWhileHeldUp()
        }
        _ = position.didWrite(piece.count)
    }

    mutating func noticeArchived(_ end: LSN?) throws {
        guard let end, end > position.flushed else { return }
        position.didFlush(upTo: end)
        try reply()
    }

    /// Waits until all of it is archived: what comes after may be durable only after it.
    mutating func endDirect() throws {
        guard let direct else { return }
        let update = update
        self.direct = nil
        try noticeArchived(replies.during(update) { try direct.finish() })
        guard position.hasUnflushed else { return }
        throw Failure(
            .serverUnreachable,
            "the server at \(connection.location) ended the stream within a segment that it had announced whole",
            details: ["at \(position.written); everything before \(position.flushed) is stored"])
    }
}
