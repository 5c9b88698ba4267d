import Postgres
import PostgresModel
import Storage

/// The questions to a server, each with its answer's reading. All of them are allowed to a role that has no more than
/// REPLICATION; the server then leaves out of its answers what such a role may not see. Columns that only newer versions have
/// read as nil elsewhere.
struct ObservationQueries {
    let connection: Connection
    /// All questions together; connecting has its own limit, and a check as a whole should end within 30 s.
    let deadline = Deadline(seconds: 10)

    private func rows(_ sql: String, _ parameters: [String?] = []) throws -> Rows {
        try connection.query(sql, parameters, timeoutSeconds: Double(deadline.millisecondsLeft) / 1000)
    }

    private func row(_ sql: String, _ parameters: [String?] = []) throws -> Rows.Row {
        guard let row = try rows(sql, parameters).first else {
            throw Failure(.protocolViolation, "could not observe the server at \(connection.location): an empty answer")
        }
        return row
    }

    func server() throws -> ServerObservation {
        let clock = try clock()
        let state = try row(
            """
            SELECT pg_is_in_recovery() AS in_recovery, extract(epoch FROM now() - pg_postmaster_start_time()) AS uptime,
                   (SELECT system_identifier FROM pg_control_system()) AS system_identifier,
                   CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() END AS current_lsn,
                   CASE WHEN pg_is_in_recovery() THEN NULL
                        ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS primary_timeline,
                   (SELECT timeline_id FROM pg_control_checkpoint()) AS checkpoint_timeline,
                   pg_last_wal_receive_lsn() AS received_lsn, pg_last_wal_replay_lsn() AS replayed_lsn,
                   extract(epoch FROM now() - pg_last_xact_replay_timestamp()) AS replayed_age,
                   CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS replay_paused
            """)
        let isInRecovery = state["in_recovery"] == "t"
        let receiver = try walReceiver()
        // A standby's own checkpoint is the last to learn of a new timeline, so what it receives comes first.
        let timeline = state.timeline("primary_timeline") ?? receiver?.timeline ?? state.timeline("checkpoint_timeline")
        let positions = ServerObservation.Positions(
            current: state.lsn("current_lsn"), received: isInRecovery ? state.lsn("received_lsn") : nil,
            replayed: isInRecovery ? state.lsn("replayed_lsn") : nil,
            replayedAgeSeconds: isInRecovery ? state.number("replayed_age") : nil,
            isReplayPaused: state["replay_paused"] == "t")
        let role = try role()
        let settings = try settings()
        return ServerObservation(
            version: connection.serverVersion, isInRecovery: isInRecovery, uptimeSeconds: state.number("uptime"),
            systemIdentifier: state["system_identifier"].flatMap { SystemIdentifier($0) }, timeline: timeline,
            positions: positions, clock: clock, walSenders: try walSenders(), walReceiver: receiver,
            slots: try slots(end: positions.end), walBytesPerSecond: try walRate(positions.end, settings, role),
            settings: settings,
            role: role, archiver: try archiver(),
            settingFiles: role.listsFileSettings ? try settingFiles() : nil)
    }

    private func clock() throws -> ServerObservation.Clock {
        let before = Timestamp.now
        let theirs = try row("SELECT extract(epoch FROM clock_timestamp()) AS now").number("now")
        let roundTrip = Timestamp.now - before
        return .init(aheadSeconds: (theirs ?? before.seconds) - before.seconds - roundTrip / 2, uncertaintySeconds: roundTrip / 2)
    }

    private func walSenders() throws -> [ServerObservation.WALSender] {
        try rows(
            """
            SELECT pid, application_name, state, sync_state, sent_lsn, flush_lsn, replay_lsn,
                   extract(epoch FROM flush_lag) AS flush_lag, extract(epoch FROM replay_lag) AS replay_lag
            FROM pg_stat_replication ORDER BY pid
            """
        ).map {
            .init(
                processIdentifier: $0.integer("pid") ?? 0, application: $0["application_name"], state: $0["state"],
                sync: $0["sync_state"], sentLSN: $0.lsn("sent_lsn"), flushedLSN: $0.lsn("flush_lsn"),
                replayedLSN: $0.lsn("replay_lsn"), flushLagSeconds: $0.number("flush_lag"),
                replayLagSeconds: $0.number("replay_lag"))
        }
    }

    private func walReceiver() throws -> ServerObservation.WALReceiver? {
        try rows("SELECT status, slot_name, sender_host, sender_port, received_tli FROM pg_stat_wal_receiver").first.map {
            .init(
                status: $0["status"], slot: $0["slot_name"].flatMap { $0.isEmpty ? nil : $0 }, senderHost: $0["sender_host"],
                senderPort: $0["sender_port"], timeline: $0.timeline("received_tli"))
        }
    }

    /// From the newest segment that was finished ten minutes ago or more, else the oldest there is, to the end of WAL.
    private func walRate(_ end: LSN?, _ settings: ServerSettings, _ role: ServerObservation.Role) throws -> Double? {
        guard role.listsWAL, let end, let size = settings.number("wal_segment_size").flatMap({ WALSegmentSize(bytes: $0) })
        else { return nil }
        let current = WALSegment(timeline: .first, holding: end, size: size)
        // Names behind the current one are of files that wait to be written anew.
        let found = try rows(
            """
            SELECT name, extract(epoch FROM clock_timestamp() - modification) AS age FROM pg_ls_waldir()
            WHERE name ~ '^[0-9A-F]{24}$' AND substr(name, 9) < $1
            ORDER BY abs(extract(epoch FROM clock_timestamp() - modification) - 600) LIMIT 1
            """, [String(current.name(size: size).dropFirst(8))]
        ).first
        guard let found, let age = found.number("age"), age >= 1,
            let segment = found["name"].flatMap({ WALSegment(name: $0, size: size) })
        else { return nil }
        return Double(end - segment.end(size: size)) / age
    }

    private func slots(end: LSN?) throws -> [ServerObservation.Slot] {
        try rows(
            """
            SELECT s.slot_name, s.slot_type, s.active, s.temporary, s.active_pid, s.restart_lsn, s.wal_status, s.safe_wal_size,
                   a.application_name, extract(epoch FROM (to_jsonb(s) ->> 'inactive_since')::timestamptz) AS inactive_since,
                   to_jsonb(s) ->> 'invalidation_reason' AS invalidation
            FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
            ORDER BY s.slot_name
            """
        ).map { row in
            let restart = row.lsn("restart_lsn")
            let retained = restart.flatMap { restart in end.map { ByteCount(max(0, $0 - restart)) } }
            return .init(
                name: row["slot_name"] ?? "", kind: row["slot_type"] ?? "", isActive: row["active"] == "t",
                isTemporary: row["temporary"] == "t", activeProcess: row.integer("active_pid"),
                activeApplication: row["application_name"], restartLSN: restart, walStatus: row["wal_status"],
                invalidation: row["invalidation"],
                retained: retained,
                safeWALSize: row.integer("safe_wal_size").map { ByteCount($0) },
                inactiveSince: row.number("inactive_since").map { Timestamp(microseconds: Int64($0 * 1_000_000)) })
        }
    }

    private func settings() throws -> ServerSettings {
        let names = "{\(ServerSettings.names.joined(separator: ","))}"
        var settings = ServerSettings()
        for row in try rows("SELECT name, setting FROM pg_settings WHERE name = ANY ($1)", [names]) {
            if let name = row["name"] { settings.values[name] = row["setting"] }
        }
        return settings
    }

    private func role() throws -> ServerObservation.Role {
        let row = try row(
            """
            SELECT rolname, rolsuper, rolreplication,
                   pg_has_role('pg_monitor', 'USAGE') AS monitor,
                   pg_has_role('pg_read_all_settings', 'USAGE') AS settings,
                   pg_has_role('pg_read_server_files', 'USAGE') AS server_files,
                   has_function_privilege('pg_read_file(text)', 'EXECUTE') AS read_file,
                   has_function_privilege('pg_ls_waldir()', 'EXECUTE') AS list_wal,
                   has_function_privilege('pg_show_all_file_settings()', 'EXECUTE')
                       AND has_table_privilege('pg_file_settings', 'SELECT') AS file_settings
            FROM pg_roles WHERE rolname = current_user
            """)
        return .init(
            name: row["rolname"] ?? "", isSuperuser: row["rolsuper"] == "t", mayReplicate: row["rolreplication"] == "t",
            isMonitor: row["monitor"] == "t", readsAllSettings: row["settings"] == "t",
            readsServerFiles: row["server_files"] == "t", executesReadFile: row["read_file"] == "t",
            listsFileSettings: row["file_settings"] == "t", listsWAL: row["list_wal"] == "t")
    }

    private func settingFiles() throws -> [String] {
        try rows("SELECT DISTINCT sourcefile FROM pg_file_settings WHERE sourcefile IS NOT NULL ORDER BY 1").compactMap { $0[0] }
    }

    private func archiver() throws -> ServerObservation.Archiver? {
        try rows(
            """
            SELECT last_failed_wal, last_failed_time > coalesce(last_archived_time, '-infinity') AS is_failing
            FROM pg_stat_archiver
            """
        ).first.map { .init(lastFailedWAL: $0["last_failed_wal"], isFailing: $0["is_failing"] == "t") }
    }
}

extension Rows.Row {
    fileprivate func lsn(_ column: String) -> LSN? { self[column].flatMap { LSN($0) } }
    fileprivate func integer(_ column: String) -> Int? { self[column].flatMap { Int($0) } }
    fileprivate func number(_ column: String) -> Double? { self[column].flatMap { Double($0) } }
    fileprivate func timeline(_ column: String) -> TimelineID? { self[column].flatMap { TimelineID($0) } }
}
