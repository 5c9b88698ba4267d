import Postgres
import PostgresModel
import Repository
import Storage

/// Streams one timeline: messages in, durable bytes and honest reports out.
struct TimelineStream {
    let connection: Connection
    let archive: WALArchive
    let archiver: SegmentArchiver
    let replies: HeldUpReplies
    /// Told what is durable, before the server is.
    private let onFlush: (TimelineID, LSN) -> Void
    var position: WALReceivePosition
    private var file: PartialSegment?
    /// There while segments are archived as they arrive. Then the current one is in no file of ours.
    var direct: DirectArchiver?

    /// The server's word on its end of WAL, and when.
    var serverEnd = LSN.zero
    /// Everything that was committed by then is before `serverEnd`.
    private var proved = ProvedTime()
    private let isFromStandby: Bool
    /// What was noted last.
    private var noted: WALArchive.Moment?
    private let begin: LSN
    /// Below this, what is in the partial file was acknowledged: the server must send the same bytes again.
    let acknowledged: LSN
    private var lastMessage = Deadline.now
    private var mustReply = false
    private var lastReply = Deadline.now
    private var lastMoment: UInt64 = 0
    private var grace: Deadline?

    /// Without traffic the server hears from us this often, and is asked to answer; it gives up after wal_sender_timeout,
    /// 60 s by default.
    private static let replyInterval: UInt64 = 5_000_000_000
    private static let longestSilence: UInt64 = 60_000_000_000
    /// While more keeps coming, bytes are made durable this often at least.
    private static let flushInterval: UInt64 = 1_000_000_000
    /// How often the frontier's time is written down while WAL arrives, and while none does.
    private static let momentInterval: UInt64 = 1_000_000_000

    init(
        connection: Connection, archive: WALArchive, archiver: SegmentArchiver, timeline: TimelineID, start: LSN,
        onFlush: @escaping (TimelineID, LSN) -> Void
    ) throws {
        self.onFlush = onFlush
        isFromStandby = try connection.show("in_hot_standby") == "on"
        noted = try archive.moment(of: timeline)
        acknowledged = noted?.durableLSN ?? start
        begin = start
        self.connection = connection
        self.archive = archive
        self.archiver = archiver
        replies = HeldUpReplies(connection)
        position = WALReceivePosition(timeline: timeline, segmentSize: archive.segmentSize, start: start)
    }

    /// Returns the timeline that follows, or nil where the stream is over.
    mutating func run(
        slot: SlotName, onStreaming: () -> Void, isEnding: () -> Bool
    ) throws -> (timeline: TimelineID, start: LSN)? {
        defer { replies.close() }
        guard try connection.startReplication(slot: slot, at: position.written, timeline: position.timeline) else {
            return try connection.nextTimeline()
        }
        onStreaming()
        defer { direct?.close() }
        // An error leaves as it is: what was not flushed by then was never reported, and is received anew.
        while true {
            switch try drain() {
            case .end:
                try endDirect()
                try flush()
                try file?.end(received: position.offsetInSegment)
                try note(force: true)
                return try finish()
            case .nothingYet, .message:
                try flush()
                try replyIfDue()
                try note(force: false)
            }
            if isEnding(), isCaughtUp || isOverdue() { return try end() }
            if try !connection.waitForInput(milliseconds: 200) { try checkSilence() }
        }
    }

    /// We ask for an answer every few seconds, so a server that says nothing for long is gone, whatever TCP believes.
    private func checkSilence() throws {
        guard Deadline.now - lastMessage > Self.longestSilence else { return }
        throw Failure(
            .serverUnreachable, "the server at \(connection.location) was silent for \(Self.longestSilence / 1_000_000_000) s")
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

    /// Takes messages until the socket is empty, a reply is due, or unflushed bytes may have grown old.
    private mutating func drain() throws -> Connection.CopyMessage {
        let begin = Deadline.now
        while true {
            let outcome = try connection.copyMessage { try take($0) }
            guard outcome == .message else { return outcome }
            if mustReply || (position.hasUnflushed && Deadline.now - begin > Self.flushInterval) { return .message }
        }
    }

    private mutating func take(_ bytes: UnsafeRawBufferPointer) throws {
        lastMessage = Deadline.now
        switch try ReplicationMessage(bytes) {
        case .walData(let start, let end, let clock, _):
            try position.check(start: start)
            hear(end, clock, isKeepalive: false)
            try write(UnsafeRawBufferPointer(rebasing: bytes[ReplicationMessage.headerSize...]))
        case .keepalive(let end, let clock, let replyRequested):
            hear(end, clock, isKeepalive: true)
            mustReply = mustReply || replyRequested
        }
    }

    private mutating func hear(_ end: LSN, _ clock: Timestamp, isKeepalive: Bool) {
        serverEnd = max(serverEnd, end)
        // A standby's clock says nothing of what its primary has committed by then.
        if !isFromStandby { proved.hear(clock, isKeepalive: isKeepalive) }
    }

    private mutating func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(position.share(of: rest.count)))
            if position.offsetInSegment == 0 { try chooseWay() }
            if let direct { try add(piece, to: direct) } else { try writeToPartial(piece) }
            rest = UnsafeRawBufferPointer(rebasing: rest[piece.count...])
        }
    }

    private mutating func writeToPartial(_ piece: UnsafeRawBufferPointer) throws {
        let segment = position.segment
        if file == nil { file = try archive.openPartial(segment) }
        if position.written < promised { try requireSame(piece, file!) }
        try file!.write(piece, at: position.offsetInSegment)
        if position.didWrite(piece.count) { try complete(segment) }
    }

    private var promised: LSN { max(acknowledged, file?.marked ?? .zero) }

    /// A server that sends other bytes for a position that was acknowledged has another history under the same number: a
    /// storage snapshot was put back, or a timeline's number was given twice. Nothing is written over what we promised.
    private func requireSame(_ bytes: UnsafeRawBufferPointer, _ file: PartialSegment) throws {
        let old = try file.bytes(at: position.offsetInSegment, count: min(bytes.count, promised - position.written))
        guard old.withUnsafeBytes({ $0.elementsEqual(bytes.prefix(old.count)) }) else {
            throw Failure(
                .diverged, "could not continue the WAL of this server: at \(position.written) it sent other bytes than before",
                details: ["timeline \(position.timeline); acknowledged up to \(promised)"],
                hint: "Was the server restored or replaced? Give it its own cluster name, then take a backup: pgark backup")
        }
    }

    private mutating func complete(_ segment: WALSegment) throws {
        try flush()
        file = nil
        try replies.during(update) { try archive.complete(segment) }
        // A disk that is slow to archive holds up what is received, but not our answers.
        while try !archiver.add(segment) {
            try replyWhileHeldUp()
            pause(milliseconds: 20)
        }
    }

    /// Makes everything received durable. Only after that may it be reported as flushed.
    private mutating func flush() throws {
        if let direct { return try noticeArchived(direct.durable()) }
        guard position.hasUnflushed else { return }
        let file = file!
        let received = position.written - archive.segmentSize.start(of: position.flushed)
        try replies.during(update) { try file.synchronize(received: received) }
        position.didFlush()
        onFlush(position.timeline, position.flushed)
        try reply()
        try replies.during(update) { try file.makeRoom(received: received) }
    }

    /// While we do not read what the server asks.
    mutating func replyWhileHeldUp() throws {
        if Deadline.now - lastReply > UInt64(HeldUpReplies.interval) * 1_000_000 { try reply() }
    }

    mutating func replyIfDue() throws {
        if Deadline.now - lastReply > Self.replyInterval { return try reply(asking: true) }
        if mustReply { try reply() }
    }

    /// `applied` follows `flushed`: a report of less would make a switchover wait for a replay that never comes.
    /// What waits in memory to be archived counts for nothing yet, not even as written.
    var update: StandbyStatusUpdate {
        StandbyStatusUpdate(
            written: direct == nil ? position.written : position.flushed, flushed: position.flushed, applied: position.flushed,
            clock: .now)
    }

    mutating func reply(asking: Bool = false) throws {
        var update = update
        update.replyRequested = asking
        try connection.sendCopyMessage(update.bytes)
        mustReply = false
        lastReply = Deadline.now
    }

    /// Writes down up to which moment of the server's clock everything is durable here.
    private mutating func note(force: Bool) throws {
        guard force || Deadline.now - lastMoment > Self.momentInterval else { return }
        // Behind the server, a later position proves no later time; the one noted before holds for it as well. A server's clock that
        // was ahead for a while does not count for ever.
        let time = isCaughtUp ? proved.time ?? noted?.time : noted?.time
        guard time != nil || position.flushed > begin else { return }
        let moment = WALArchive.Moment(timeline: position.timeline, durableLSN: position.flushed, time: time)
        guard moment != noted, moment.durableLSN >= noted?.durableLSN ?? .zero else { return }
        try archive.note(moment)
        noted = moment
        lastMoment = Deadline.now
    }

    /// We end: everything durable and reported first.
    private mutating func end() throws -> (timeline: TimelineID, start: LSN)? {
        if let direct { try noticeArchived(direct.finish()) } else { try flush() }
        try reply()
        try file?.end(received: position.offsetInSegment)
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
