package import PostgresModel

/// The commands of the replication protocol (PostgreSQL documentation: 55.4), on a connection in replication mode.
extension Connection {
    package struct SystemIdentity: Sendable, Equatable {
        package let systemIdentifier: SystemIdentifier
        package let timeline: TimelineID
        /// The server's flushed WAL position.
        package let flushed: LSN
    }

    package func identifySystem() throws -> SystemIdentity {
        let rows = try query("IDENTIFY_SYSTEM")
        guard let row = rows.first, let system = row["systemid"].flatMap({ SystemIdentifier($0) }),
            let timeline = row["timeline"].flatMap({ TimelineID($0) }), let flushed = row["xlogpos"].flatMap({ LSN($0) })
        else { throw Failure(.protocolViolation, "could not identify the server at \(location): unexpected answer") }
        return SystemIdentity(systemIdentifier: system, timeline: timeline, flushed: flushed)
    }

    /// A setting's value; nil where the role may not see it.
    package func show(_ setting: String) throws -> String? {
        do {
            return try query("SHOW \(setting)").first?[0]
        } catch let failure as Failure where failure.code == .permissionDenied {
            return nil
        }
    }

    package func walSegmentSize() throws -> WALSegmentSize {
        guard let text = try show("wal_segment_size"), let size = WALSegmentSize(setting: text) else {
            throw Failure(.protocolViolation, "could not read wal_segment_size of the server at \(location)")
        }
        return size
    }

    /// The history file of a timeline, as the server has it.
    package func timelineHistory(_ timeline: TimelineID) throws -> (name: String, content: String) {
        let rows = try query("TIMELINE_HISTORY \(timeline)")
        guard let row = rows.first, let name = row[0], let content = row[1], name == timeline.historyFileName else {
            throw Failure(.protocolViolation, "could not read the history of timeline \(timeline): unexpected answer")
        }
        return (name, content)
    }

    package struct SlotState: Sendable, Equatable {
        /// Nil where the slot holds no WAL: it never did, or the server took it away.
        package let restartLSN: LSN?
        package let restartTimeline: TimelineID?
    }

    /// Nil where there is no such slot.
    package func readReplicationSlot(_ name: SlotName) throws -> SlotState? {
        let rows = try query("READ_REPLICATION_SLOT \(name.quoted)")
        guard let row = rows.first, row["slot_type"] != nil else { return nil }
        return SlotState(
            restartLSN: row["restart_lsn"].flatMap { LSN($0) }, restartTimeline: row["restart_tli"].flatMap { TimelineID($0) })
    }

    /// Why a slot will never stream again, in the server's word for it (`wal_removed`, `idle_timeout`, …); nil where it may. Only
    /// SQL tells: on a connection in the other mode one learns a slot's position and no more.
    package func invalidation(of slot: SlotName) throws -> String? {
        try query(
            """
            SELECT coalesce(to_jsonb(s) ->> 'invalidation_reason', CASE WHEN wal_status = 'lost' THEN 'wal_removed' END)
            FROM pg_replication_slots s WHERE slot_name = $1
            """, [slot.description]
        ).first?[0]
    }

    /// Throws `slot-in-use` where some process streams from it.
    package func dropReplicationSlot(_ name: SlotName) throws { try query("DROP_REPLICATION_SLOT \(name.quoted)") }

    /// Creates a physical slot that holds WAL from now on. A temporary one goes with this connection.
    /// Returns false where a slot of this name was there already.
    @discardableResult
    package func createReplicationSlot(_ name: SlotName, temporary: Bool = false) throws -> Bool {
        do {
            try query("CREATE_REPLICATION_SLOT \(name.quoted)\(temporary ? " TEMPORARY" : "") PHYSICAL RESERVE_WAL")
            return true
        } catch let failure as Failure where failure.hasSQLState("42710") {
            return false
        }
    }

    /// Asks for WAL from `start` on. True: the server streams, messages come with `copyMessage`. False: `start` is
    /// where the asked timeline ends, and `nextTimeline` has the answer at once.
    package func startReplication(slot: SlotName?, at start: LSN, timeline: TimelineID) throws -> Bool {
        let from = slot.map { "SLOT \($0.quoted) " } ?? ""
        try send("START_REPLICATION \(from)PHYSICAL \(start) TIMELINE \(timeline)")
        guard let result = try nextResult(Deadline(seconds: 60)) else {
            throw Failure(.protocolViolation, "could not start replication: no answer")
        }
        if result.beginsCopy { return true }
        pendingTimelineRow = result.rows
        return false
    }

    /// After the server ended the stream of a timeline and we ended ours: which timeline follows, from where. Nil: the
    /// server said no more than that the stream is over (it is shutting down).
    package func nextTimeline() throws -> (timeline: TimelineID, start: LSN)? {
        var next: (TimelineID, LSN)?
        func read(_ rows: Rows) {
            guard let row = rows.first, let timeline = row[0].flatMap({ TimelineID($0) }), let start = row[1].flatMap({ LSN($0) })
            else { return }
            next = (timeline, start)
        }
        if let rows = pendingTimelineRow { read(rows) }
        pendingTimelineRow = nil
        let deadline = Deadline(seconds: 60)
        while let result = try nextResult(deadline) { read(result.rows) }
        return next
    }
}

extension Connection {
    /// Gives the server the manifest of an earlier backup, for the BASE_BACKUP (INCREMENTAL) that follows on this connection
    /// (version 17 and newer; src/backend/replication/walsender.c, UploadManifest). `content` hands its bytes, in
    /// pieces, to the function that it gets.
    package func uploadManifest(_ content: (([UInt8]) throws -> Void) throws -> Void) throws {
        try send("UPLOAD_MANIFEST")
        let deadline = Deadline(seconds: 300)
        guard try nextResult(deadline)?.beginsCopy == true else {
            throw Failure(.protocolViolation, "could not upload the earlier backup's manifest: unexpected answer")
        }
        try content { try sendCopyMessage($0) }
        try endCopy()
        while try nextResult(deadline) != nil {}
    }
}

/// A replication slot's name: lower-case letters, digits and underscores (PostgreSQL: ReplicationSlotValidateName).
package struct SlotName: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ name: String) throws {
        let allowed = name.utf8.allSatisfy {
            (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "_")
        }
        guard allowed, (1...63).contains(name.utf8.count) else {
            throw Failure(
                .configuration, "could not use the slot name \"\(name)\": only a-z, 0-9 and _ may occur, at most 63 of them")
        }
        description = name
    }

    fileprivate var quoted: String { "\"\(description)\"" }
}
