import Postgres
import PostgresModel
import Repository
import Storage

/// Streams one timeline: messages in, durable bytes and honest reports out.
struct TimelineStream {
    private let connection: Connection
    private let archive: WALArchive
    private let archiver: SegmentArchiver
    private var position: WALReceivePosition
    private var file: File?

    /// The server's word on its end of WAL, and when.
    private var serverEnd = LSN.zero
    private var serverClock: Timestamp?
    private var mustReply = false
    private var lastReply = Deadline.now
    private var lastFlush = Deadline.now
    private var lastMoment: UInt64 = 0
    private var grace: Deadline?

    /// Without traffic the server hears from us this often; it gives up after wal_sender_timeout, 60 s by default.
    private static let replyInterval: UInt64 = 10_000_000_000
    /// While more keeps coming, bytes are made durable this often at least.
    private static let flushInterval: UInt64 = 1_000_000_000
    /// How often the frontier's time is written down while WAL arrives, and while none does.
    private static let momentInterval: UInt64 = 1_000_000_000

    init(connection: Connection, archive: WALArchive, archiver: SegmentArchiver, timeline: TimelineID, start: LSN) {
        self.connection = connection
        self.archive = archive
        self.archiver = archiver
        position = WALReceivePosition(timeline: timeline, segmentSize: archive.segmentSize, start: start)
    }

    /// Returns the timeline that follows, or nil where the stream is over.
    mutating func run(
        slot: SlotName, onStreaming: () -> Void, isEnding: () -> Bool
    ) throws -> (timeline: TimelineID, start: LSN)? {
        guard try connection.startReplication(slot: slot, at: position.written, timeline: position.timeline) else {
            return try connection.nextTimeline()
        }
        onStreaming()
        do {
            while true {
                switch try drain() {
                case .end:
                    try flush()
                    try note(force: true)
                    return try finish()
                case .nothingYet, .message:
                    try flush()
                    try replyIfDue()
                    try note(force: false)
                }
                if isEnding(), isCaughtUp || isOverdue() { return try end() }
                _ = try connection.waitForInput(milliseconds: 200)
            }
        } catch {
            // What was received is worth keeping whatever happened; the error that brought us here is the one to report.
            try? flush()
            throw error
        }
    }

    /// True where everything is durable that the server had when it last spoke.
    private var isCaughtUp: Bool { !position.hasUnflushed && position.flushed >= serverEnd }

    /// Asked to end, the stream still takes what the server has, for so long at most.
    private static let graceSeconds = 2.0

    private mutating func isOverdue() -> Bool {
        let end = grace ?? Deadline(seconds: Self.graceSeconds)
        grace = end
        return end.isOver
    }

    /// Takes messages until the socket is empty, a reply is due, or unflushed bytes grow old.
    private mutating func drain() throws -> Connection.CopyMessage {
        while true {
            let outcome = try connection.copyMessage { try take($0) }
            guard outcome == .message else { return outcome }
            if mustReply || (position.hasUnflushed && Deadline.now - lastFlush > Self.flushInterval) { return .message }
        }
    }

    private mutating func take(_ bytes: UnsafeRawBufferPointer) throws {
        switch try ReplicationMessage(bytes) {
        case .walData(let start, let end, let clock, _):
            try position.check(start: start)
            try write(UnsafeRawBufferPointer(rebasing: bytes[ReplicationMessage.headerSize...]))
            (serverEnd, serverClock) = (end, clock)
        case .keepalive(let end, let clock, let replyRequested):
            (serverEnd, serverClock) = (end, clock)
            mustReply = mustReply || replyRequested
        }
    }

    private mutating func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = position.share(of: rest.count)
            if file == nil { file = try archive.openPartial(position.segment) }
            try file!.write(UnsafeRawBufferPointer(rebasing: rest[..<count]), at: position.offsetInSegment)
            let segment = position.segment
            if position.didWrite(count) { try complete(segment) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    private mutating func complete(_ segment: WALSegment) throws {
        try flush()
        file = nil
        try archive.complete(segment)
        try archiver.add(segment)
    }

    /// Makes everything received durable. Only after that may it be reported as flushed.
    private mutating func flush() throws {
        guard position.hasUnflushed else { return }
        try file!.synchronize()
        position.didFlush()
        lastFlush = Deadline.now
        try reply()
    }

    private mutating func replyIfDue() throws {
        if mustReply || Deadline.now - lastReply > Self.replyInterval { try reply() }
    }

    private mutating func reply() throws {
        // `applied` follows `flushed`: a report of less would make a switchover wait for a replay that never comes.
        let update = StandbyStatusUpdate(
            written: position.written, flushed: position.flushed, applied: position.flushed, clock: .now)
        try connection.sendCopyMessage(update.bytes)
        mustReply = false
        lastReply = Deadline.now
    }

    /// Writes down up to which moment of the server's clock everything is durable here.
    private mutating func note(force: Bool) throws {
        guard let clock = serverClock, isCaughtUp else { return }
        guard force || Deadline.now - lastMoment > Self.momentInterval else { return }
        try archive.note(WALArchive.Moment(timeline: position.timeline, durableLSN: position.flushed, time: clock))
        lastMoment = Deadline.now
        serverClock = nil
    }

    /// We end: everything durable and reported first.
    private mutating func end() throws -> (timeline: TimelineID, start: LSN)? {
        try flush()
        try reply()
        try note(force: true)
        try connection.endCopy()
        return nil
    }

    /// The server ended: it says what follows after our own end.
    private func finish() throws -> (timeline: TimelineID, start: LSN)? {
        guard let result = try connection.nextResult(Deadline(seconds: 60)) else { return nil }
        if result.beginsCopy { try connection.endCopy() }
        return try connection.nextTimeline()
    }
}
