import Postgres
package import PostgresModel

/// What one node said about itself when it was asked. A node that did not answer is an observation too.
package struct NodeObservation: Sendable {
    package var node: String
    package var state: State

    package enum State: Sendable {
        case reached(ServerObservation)
        case unreachable(Failure)
        /// A server is there, and does not let us ask.
        case refusing(Failure)
    }

    package var server: ServerObservation? {
        if case .reached(let server) = state { server } else { nil }
    }

    package var failure: Failure? {
        switch state {
        case .reached: nil
        case .unreachable(let failure), .refusing(let failure): failure
        }
    }
}

/// A running server. What our role may not see is nil, and never a reason to see nothing.
package struct ServerObservation: Sendable {
    package var version: ServerVersion
    package var isInRecovery: Bool
    /// Since it was started.
    package var uptimeSeconds: Double?
    package var systemIdentifier: SystemIdentifier?
    package var timeline: TimelineID?
    package var positions: Positions
    package var clock: Clock
    package var walSenders: [WALSender] = []
    /// Nil where no WAL receiver runs: on a primary, and on a standby that has lost its upstream.
    package var walReceiver: WALReceiver?
    package var slots: [Slot] = []
    /// WAL that the server has written per second of late; nil where our role may not see it, or where too little was written.
    package var walBytesPerSecond: Double?
    package var settings = ServerSettings()
    package var role: Role
    package var archiver: Archiver?
    /// Every file that the server read settings from; nil where our role may not list them.
    package var settingFiles: [String]?
    /// Whether the role may use the replication protocol, which is another line of pg_hba.conf.
    package var replicationFailure: Failure?
    /// How its timeline came to be; nil where that could not be asked.
    package var history: TimelineHistory?

    package struct Positions: Sendable {
        /// On a primary: the end of what it wrote.
        package var current: LSN?
        /// On a standby: the end of what it has received and made durable, and of what it has replayed.
        package var received: LSN?
        package var replayed: LSN?
        /// On a standby: the age of the last replayed commit, by the standby's clock.
        package var replayedAgeSeconds: Double?
        /// On a standby: somebody has told it to replay nothing for now.
        package var isReplayPaused = false

        /// The end of the WAL that this server has.
        package var end: LSN? { current ?? [received, replayed].compactMap { $0 }.max() }
    }

    /// The server's clock against ours, read in the middle of a round trip.
    package struct Clock: Sendable {
        /// Positive where the server's clock is ahead.
        package var aheadSeconds: Double
        /// How wrong `aheadSeconds` may be: half of the round trip.
        package var uncertaintySeconds: Double
    }

    /// One row of pg_stat_replication.
    package struct WALSender: Sendable {
        package var processIdentifier: Int
        package var application: String?
        package var state: String?
        package var sync: String?
        package var sentLSN: LSN?
        package var flushedLSN: LSN?
        package var replayedLSN: LSN?
        package var flushLagSeconds: Double?
        package var replayLagSeconds: Double?
    }

    /// pg_stat_wal_receiver.
    package struct WALReceiver: Sendable {
        package var status: String?
        /// Nil where the standby streams without a slot, or where our role may not see it.
        package var slot: String?
        package var senderHost: String?
        package var senderPort: String?
        package var timeline: TimelineID?
    }

    /// One row of pg_replication_slots.
    package struct Slot: Sendable {
        package var name: String
        package var kind: String
        package var isActive: Bool
        package var isTemporary = false
        package var activeProcess: Int?
        /// Of the process that streams through the slot, where our role may see it.
        package var activeApplication: String?
        package var restartLSN: LSN?
        /// reserved, extended, unreserved or lost.
        package var walStatus: String?
        /// Why the server took its WAL away, where it did and says so (version 17 and newer).
        package var invalidation: String?
        package var retained: ByteCount?
        /// What may still be written before the slot loses WAL; nil where there is no limit.
        package var safeWALSize: ByteCount?
        /// Since when nobody streams through it, where the server says that (version 17 and newer).
        package var inactiveSince: Timestamp?

        /// It holds WAL back on its server, or is meant to.
        package var isHolding: Bool { restartLSN != nil }
        /// It will never stream again.
        package var isLost: Bool { walStatus == "lost" || invalidation != nil }
        /// It has never held anything: it waits for the day on which somebody streams through it.
        package var isSpare: Bool { kind == "physical" && !isActive && !isHolding && !isLost }
    }

    /// What our own role may do.
    package struct Role: Sendable {
        package var name: String
        package var isSuperuser = false
        package var mayReplicate = false
        package var isMonitor = false
        package var readsAllSettings = false
        /// Any path of the server's file system, and the function that reads it.
        package var readsServerFiles = false
        package var executesReadFile = false
        package var listsFileSettings = false
        package var listsWAL = false
    }

    /// pg_stat_archiver.
    package struct Archiver: Sendable {
        package var lastFailedWAL: String?
        /// True where the last attempt failed, so that WAL piles up on the server.
        package var isFailing: Bool
    }
}

/// The settings that checks look at, as pg_settings has them (in its base units).
package struct ServerSettings: Sendable {
    package var values: [String: String] = [:]

    static let names = [
        "wal_level", "max_wal_senders", "max_replication_slots", "data_checksums", "summarize_wal", "archive_mode",
        "max_slot_wal_keep_size", "hot_standby_feedback", "full_page_writes", "synchronous_standby_names",
        "primary_slot_name", "recovery_min_apply_delay", "wal_segment_size", "config_file", "hba_file", "ident_file",
        "data_directory",
    ]

    subscript(name: String) -> String? { values[name] }
    func isOn(_ name: String) -> Bool? { values[name].map { $0 == "on" } }
    func number(_ name: String) -> Int? { values[name].flatMap { Int($0) } }

    /// The limit of what all slots may hold back; nil where it is not known, .none within where there is none.
    var slotLimit: ByteCount?? {
        guard let megabytes = number("max_slot_wal_keep_size") else { return nil }
        return .some(megabytes < 0 ? nil : ByteCount(megabytes << 20))
    }
}

extension ServerObservation {
    /// How far a standby stays behind on purpose; pg_settings has milliseconds.
    var delaySeconds: Double { Double(settings.number("recovery_min_apply_delay") ?? 0) / 1000 }

    /// Configuration files that no base backup holds, because they lie outside the data directory. Nil where our role
    /// may not see where they are.
    var configurationOutside: [String]? {
        guard let data = settings["data_directory"] else { return nil }
        let main = ["config_file", "hba_file", "ident_file"].compactMap { settings[$0] }
        let included = (settingFiles ?? []).filter { !main.contains($0) }
        return main.isEmpty ? nil : (main + included).filter { !$0.hasPrefix(data + "/") }
    }
}
