import PostgresModel

/// Whether one server is set up for what pgark does with it.
struct ServerChecks {
    let node: String
    let server: ServerObservation
    /// Of this cluster, for the day on which this node is the primary.
    var missingSlots: [String] = []

    var results: [CheckResult] {
        [
            connection, version, replicationConnection, walLevel, walSenders, replicationSlots, dataChecksums, summarizeWAL,
            archiving, clock,
        ].compactMap { $0 }
    }

    private var connection: CheckResult {
        .ok(.connection, node, "PostgreSQL \(server.version), \(server.isInRecovery ? "a standby" : "the primary"), answers")
    }

    private var version: CheckResult {
        let known = ServerVersion.supportedMajors
        if known.contains(server.version.major) { return .ok(.version, node, "\(server.version)") }
        return .failed(
            .version, node, "PostgreSQL \(server.version) is not one of \(known.lowerBound) to \(known.upperBound)",
            hint: "Use a pgark made for this version.")
    }

    private var replicationConnection: CheckResult {
        guard let failure = server.replicationFailure else {
            return .ok(.replicationConnection, node, "the replication protocol is open to \(server.role.name)")
        }
        return .failed(
            .replicationConnection, node, failure.message.onOneLine,
            hint: "Add to pg_hba.conf, then reload: host replication \(identifier(server.role.name)) ADDRESS/32 scram-sha-256")
    }

    private var walLevel: CheckResult? {
        guard let level = server.settings["wal_level"] else { return nil }
        if level != "minimal" { return .ok(.walLevel, node, level) }
        return .failed(
            .walLevel, node, "wal_level is minimal: neither standbys nor backups are possible",
            hint: "ALTER SYSTEM SET wal_level = 'replica'; then restart the server")
    }

    private var walSenders: CheckResult? {
        guard let most = server.settings.number("max_wal_senders") else { return nil }
        let used = server.walSenders.count
        let fact = "\(used) of \(most) WAL senders in use"
        let spare = most - used
        if spare >= CheckLimits.sparesForBackup { return .ok(.walSenders, node, fact) }
        let hint = "ALTER SYSTEM SET max_wal_senders = \(max(10, most + 4)); then restart the server"
        guard spare > 0 else { return .failed(.walSenders, node, "\(fact): there is none left for a backup", hint: hint) }
        return .warning(.walSenders, node, "\(fact): a backup may need \(CheckLimits.sparesForBackup)", hint: hint)
    }

    private var replicationSlots: CheckResult? {
        guard let most = server.settings.number("max_replication_slots") else { return nil }
        let fact = "\(server.slots.count) of \(most) replication slots in use"
        if !missingSlots.isEmpty {
            return .warning(
                .replicationSlots, node,
                "\(missingSlots.joined(separator: ", ")) \(missingSlots.count == 1 ? "is" : "are") not there: were this node the "
                    + "primary, no WAL would be held for their readers", hint: "pgark apply")
        }
        if server.slots.count < most { return .ok(.replicationSlots, node, fact) }
        return .warning(
            .replicationSlots, node, "\(fact): no other can be created",
            hint: "ALTER SYSTEM SET max_replication_slots = \(max(10, most + 4)); then restart the server")
    }

    private var dataChecksums: CheckResult? {
        guard let isOn = server.settings.isOn("data_checksums") else { return nil }
        if isOn { return .ok(.dataChecksums, node, "on") }
        return .warning(
            .dataChecksums, node, "off: a page that the disk damaged is copied into backups unnoticed",
            hint: "With the server stopped: pg_checksums --enable -D \(server.settings["data_directory"] ?? "DATADIR")")
    }

    private var summarizeWAL: CheckResult? {
        guard let isOn = server.settings.isOn("summarize_wal") else { return nil }  // before 17 there is no such thing
        if isOn { return .ok(.summarizeWAL, node, "on") }
        return .warning(
            .summarizeWAL, node, "off: the server cannot tell which blocks changed, so each backup reads everything",
            hint: "ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf();")
    }

    private var archiving: CheckResult? {
        guard let mode = server.settings["archive_mode"], mode != "off", let archiver = server.archiver else { return nil }
        if !archiver.isFailing { return .ok(.archiving, node, "archive_mode is \(mode), its last segment was archived") }
        let segment = archiver.lastFailedWAL ?? "a segment"
        return .warning(
            .archiving, node, "archive_command failed for \(segment): WAL piles up on the server's disk",
            hint: "Repair archive_command. Where nobody needs it any more, pgark does not: "
                + "ALTER SYSTEM SET archive_command = '/bin/true'; SELECT pg_reload_conf();")
    }

    private var clock: CheckResult {
        let ahead = server.clock.aheadSeconds
        let fact = "\(decimal(ahead.magnitude, places: 2)) s \(ahead < 0 ? "behind" : "ahead of") this host's"
        if ahead.magnitude - server.clock.uncertaintySeconds <= CheckLimits.clockSeconds { return .ok(.clock, node, fact) }
        return .warning(
            .clock, node, "the server's clock is \(fact): a restore to a time goes by the server's",
            hint: "Synchronize both clocks: timedatectl set-ntp true")
    }
}
