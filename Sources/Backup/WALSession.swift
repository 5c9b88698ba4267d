import Glibc
import Postgres
import PostgresModel
import Repository
import Storage

/// One connection of the WAL receiver: from the identity check to the end of the stream.
///
/// The rules and where they come from: PostgreSQL's own receiver (src/bin/pg_basebackup/receivelog.c) and the
/// documentation of the streaming replication protocol (55.4).
struct WALSession {
    let repository: Repository
    let settings: WALReceiver.Settings
    /// Where this session connects to.
    let conninfo: String
    /// False where this receiver has streamed already: what does not fit then may be an old primary that answers in place of the
    /// new one for a while.
    let isFirst: Bool
    let reporter: Reporter

    /// Returns when `isEnding` says so or when the server ends the stream (it does at a shutdown).
    func run(
        onStreaming: () -> Void, onFlush: @escaping (TimelineID, LSN) -> Void, isEnding: () -> Bool
    ) throws {
        let connection = try Connection(conninfo, mode: .replication, application: settings.application)
        let identity = try connection.identifySystem()
        let archive = try prepareArchive(connection, identity)
        let slot = try prepareSlot(connection)
        let archiver = try SegmentArchiver(archive, level: settings.level)
        defer { archiver.close() }

        try storeHistory(of: identity.timeline, connection, archive)
        var next: (timeline: TimelineID, start: LSN)? = try startPoint(connection, identity, archive, slot)
        while let (timeline, start) = next, !isEnding() {
            try storeHistory(of: timeline, connection, archive)
            let aligned = archive.segmentSize.start(of: start)
            reporter.note("WAL stream: from \(connection.location), timeline \(timeline), at \(aligned), slot \(slot)")
            var stream = try TimelineStream(
                connection: connection, archive: archive, archiver: archiver, timeline: timeline, start: aligned,
                onFlush: onFlush)
            do {
                next = try stream.run(slot: slot, onStreaming: onStreaming, isEnding: isEnding)
            } catch let failure as Failure where failure.isOfInvalidatedSlot {
                try dropInvalidated(slot, failure)
                throw failure
            }
            if let next {
                reporter.note("WAL stream: timeline \(timeline) ends at \(next.start), timeline \(next.timeline) follows")
            }
        }
        try archiver.finish()
        if !isEnding() { throw Failure(.serverUnreachable, "the server at \(connection.location) ended the stream") }
    }

    /// Durable before the timeline's first segment; and where it is stored already, compared: two promotions may have
    /// taken the same number.
    private func storeHistory(of timeline: TimelineID, _ connection: Connection, _ archive: WALArchive) throws {
        guard timeline > .first else { return }
        try archive.store(history: connection.timelineHistory(timeline).content, of: timeline)
    }

    private func prepareArchive(_ connection: Connection, _ identity: Connection.SystemIdentity) throws -> WALArchive {
        let size = try connection.walSegmentSize()
        let system = Repository.System(
            systemIdentifier: identity.systemIdentifier, serverMajor: connection.serverVersion.major, walSegmentSize: size)
        let archive = WALArchive(repository, system: try repository.prepare(for: system))
        try archive.removeLeftovers()
        return archive
    }

    private func prepareSlot(_ connection: Connection) throws -> SlotName {
        switch settings.slot {
        case .permanent(let name):
            let state = try connection.readReplicationSlot(name)
            if let state, let fault = fault(of: name, state) {
                reporter.note("WAL stream: the replication slot \(name) at \(connection.location) \(fault); it is made anew")
                try connection.dropReplicationSlot(name)
            }
            if try connection.createReplicationSlot(name) {
                reporter.note("WAL stream: created the replication slot \(name) at \(connection.location)")
            }
            return name
        case .existingOrTemporary(let name):
            if let state = try connection.readReplicationSlot(name), fault(of: name, state) == nil { return name }
            let temporary = try SlotName("\(String(name.description.prefix(48)))_backup_\(getpid())")
            try connection.createReplicationSlot(temporary, temporary: true)
            return temporary
        }
    }

    /// What is wrong with a slot through which nothing can be streamed, or which would hold nothing while we begin; nil for a good
    /// one.
    private func fault(of slot: SlotName, _ state: Connection.SlotState) -> String? {
        // Where SQL is closed to us the position must do, and `isOfInvalidatedSlot` has the last word.
        let answer = Swift.Result {
            try Connection(conninfo, application: settings.application).invalidation(of: slot)
        }
        if case .success(let reason?) = answer {
            return reason == "wal_removed" ? "lost its WAL" : "was invalidated (\(reason))"
        }
        guard state.restartLSN == nil else { return nil }
        if case .failure = answer { return "holds no WAL" }
        // As `apply` leaves it on a standby, for the day on which that is the primary.
        return "has never held any WAL"
    }

    /// A slot that idle_replication_slot_timeout took holds nothing and never streams again, though it still has a position
    /// (src/backend/replication/slot.c, InvalidatePossiblyObsoleteSlot). The next session makes it anew.
    private func dropInvalidated(_ slot: SlotName, _ failure: Failure) throws {
        reporter.note("WAL stream: the replication slot \(slot) was invalidated (\(failure.message)); it is made anew")
        try Connection(conninfo, mode: .replication, application: settings.application).dropReplicationSlot(slot)
    }

    // MARK: Where to begin

    /// The frontier, or where nothing is stored yet, what the slot holds. Begins that the server no longer has are gaps:
    /// said aloud, visible in `wal status`, and no reason to stop receiving what there still is.
    private func startPoint(
        _ connection: Connection, _ identity: Connection.SystemIdentity, _ archive: WALArchive, _ slot: SlotName
    ) throws -> (TimelineID, LSN) {
        let state = try connection.readReplicationSlot(slot)
        let held = state?.restartLSN ?? identity.flushed
        // Shortly after a promotion the slot may still hold WAL of the timeline before.
        let oldest = (state?.restartTimeline ?? identity.timeline, held)
        guard let frontier = try archive.frontier() else { return oldest }
        guard let start = try following(frontier, connection, identity, archive) else {
            try note(
                gapFrom: frontier, to: held, "the server left timeline \(frontier.timeline) more than once meanwhile", archive)
            return oldest
        }
        let aligned = archive.segmentSize.start(of: start.position)
        if aligned < archive.segmentSize.start(of: held), try !isAvailable(aligned, on: start.timeline, slot) {
            try note(gapFrom: start, to: held, "the server no longer had this WAL when it was asked for it", archive)
            return oldest
        }
        return (start.timeline, try withSomethingToCompare(start, archive, slot))
    }

    /// Where what is stored ends with a segment, nothing of it would be compared with what the server sends, and a server whose
    /// storage was put back could go on another way unseen. So that segment is received again, where the server has it.
    private func withSomethingToCompare(
        _ start: (timeline: TimelineID, position: LSN), _ archive: WALArchive, _ slot: SlotName
    ) throws -> LSN {
        let size = archive.segmentSize
        guard size.offset(of: start.position) == 0, start.position > .zero else { return start.position }
        let last = WALSegment(timeline: start.timeline, endingAt: start.position, size: size)
        let begin = last.start(size: size)
        guard try archive.place(of: last) != nil, try isAvailable(begin, on: start.timeline, slot) else { return start.position }
        return begin
    }

    /// Said aloud and remembered. What is lost is lost; `maintain` answers it with a new backup.
    private func note(
        gapFrom start: (timeline: TimelineID, position: LSN), to held: LSN, _ reason: String, _ archive: WALArchive
    ) throws {
        let end = archive.segmentSize.start(of: held)
        let moment = try archive.moments()[start.timeline]
        try archive.note(
            WALArchive.Gap(
                timeline: start.timeline, fromLSN: start.position, toLSN: end, fromTime: moment?.time, noticedTime: .now,
                reason: reason))
        reporter.note(
            "WAL stream: GAP: the WAL from \(start.position) to \(end) is missing: \(reason). "
                + "Restores across it are impossible. Take a new backup: pgark backup")
    }

    /// The frontier as a position in the server's own history; nil where the server has left it behind by more than
    /// one timeline's end.
    private func following(
        _ frontier: (timeline: TimelineID, position: LSN), _ connection: Connection, _ identity: Connection.SystemIdentity,
        _ archive: WALArchive
    ) throws -> (timeline: TimelineID, position: LSN)? {
        if frontier.timeline == identity.timeline {
            let isStandby = try connection.show("in_hot_standby") == "on"
            guard isStandby || frontier.position <= identity.flushed else {
                throw diverged(frontier, "the server is at \(identity.flushed) of timeline \(identity.timeline)")
            }
            if isStandby, archive.segmentSize.start(of: frontier.position) > identity.flushed {
                throw Failure(
                    .serverUnreachable,
                    "the standby at \(connection.location) is at \(identity.flushed), behind the repository (\(frontier.position))"
                )
            }
            return frontier
        }
        guard identity.timeline > frontier.timeline else {
            // What was streamed once is what servers were promised: one on an older timeline was left behind by it. But what only
            // an archive_command brought may come from a copy that was restored elsewhere, and is no reason to forsake this one.
            guard try archive.moments().keys.allSatisfy({ $0 <= identity.timeline }),
                let own = try archive.frontier(of: identity.timeline)
            else {
                let failure = diverged(frontier, "the server is on timeline \(identity.timeline)")
                throw isFirst ? failure : Failure(.serverUnreachable, failure.message, details: failure.details)
            }
            reporter.note(
                "WAL stream: some server archives timeline \(frontier.timeline), but \(connection.location) is on timeline "
                    + "\(identity.timeline) and that goes on. Does a restored copy archive into this repository?")
            return try following(own, connection, identity, archive)
        }
        let content = try connection.timelineHistory(identity.timeline).content
        let history = try TimelineHistory(parsing: content, of: identity.timeline)
        guard let end = history.end(of: frontier.timeline), let end else {
            // A restore went back to before the newest timeline began. What the server has in common with us is older.
            guard let common = try archive.frontier(of: identity.timeline), history.end(of: common.timeline) != nil else {
                throw diverged(frontier, "timeline \(frontier.timeline) is no part of the server's history")
            }
            reporter.note(
                "WAL stream: timeline \(frontier.timeline) is no part of the server's history; what is stored of it is kept but "
                    + "belongs to no server now")
            return try following(common, connection, identity, archive)
        }
        if archive.segmentSize.start(of: frontier.position) <= end { return frontier }
        reporter.note(
            "WAL stream: timeline \(frontier.timeline) was left at \(end); what is stored beyond, up to "
                + "\(frontier.position), is kept but belongs to no server now")
        return history.successor(of: frontier.timeline).map { ($0, end) }
    }

    private func diverged(_ frontier: (timeline: TimelineID, position: LSN), _ fact: String) -> Failure {
        Failure(
            .diverged, "could not continue the WAL of this server: the repository has more than the server ever wrote",
            details: ["the repository is at \(frontier.position) of timeline \(frontier.timeline); \(fact)"],
            hint: "Was the server restored or replaced? Give it its own cluster name, then take a backup: pgark backup")
    }

    /// Asks on a second connection, since a refusal ends the command it answers.
    private func isAvailable(_ start: LSN, on timeline: TimelineID, _ slot: SlotName) throws -> Bool {
        let probe = try Connection(conninfo, mode: .replication, application: settings.application)
        do {
            guard try probe.startReplication(slot: nil, at: start, timeline: timeline) else { return true }
            let deadline = Deadline(seconds: 30)
            while true {
                switch try probe.copyMessage({ _ in }) {
                case .message:
                    probe.abort()
                    return true
                case .nothingYet:
                    _ = try probe.waitForInput(milliseconds: 200)
                    try deadline.check("could not ask \(probe.location) for the WAL at \(start): no answer")
                case .end:
                    _ = try probe.nextTimeline()
                    return true
                }
            }
        } catch let failure as Failure where failure.code == .walGap {
            return false
        }
    }
}

extension Failure {
    /// ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, whatever the language of the words beside it: of the slots that
    /// READ_REPLICATION_SLOT has shown to be physical ones, START_REPLICATION says it of invalidated ones alone
    /// (src/backend/replication/slot.c, ReplicationSlotAcquire; walsender.c, StartReplication).
    fileprivate var isOfInvalidatedSlot: Bool { hasSQLState("55000") }
}
