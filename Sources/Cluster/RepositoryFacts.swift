package import PostgresModel
package import Repository
package import SystemPackage

/// What the repository says about itself, as plain values: checks and status decide from these alone.
package struct RepositoryFacts: Sendable {
    package var path: FilePath
    /// Why nothing more is known, where nothing more is.
    package var failure: Failure?
    package var exists = false
    package var isWritable = false
    package var free: ByteCount?
    package var total: ByteCount?
    /// Of the data that is stored; nil where none is.
    package var systemIdentifier: SystemIdentifier?
    package var receiver = Receiver()
    package var segmentCount = 0
    package var walBytes = ByteCount(0)
    package var gaps: [StoredWAL.Gap] = []
    /// Newest first, with those that run or failed.
    package var backups: [Backup] = []
    /// Since when systemd or cron has been told by us to do what is due; nil where none has.
    package var scheduledSince: Timestamp?
    /// When `maintain` came to its end last.
    package var maintained: Timestamp?

    /// `apply` keeps the receiver running.
    package var isSetUp = false

    /// What starts the receiver, or starts it anew.
    var receiverRemedy: String { isSetUp ? "pgark apply" : "pgark wal receive" }

    package struct Receiver: Sendable {
        package var isRunning = false
        /// The end of the WAL that is stored.
        package var receivedLSN: LSN?
        package var timeline: TimelineID?
        /// What the receiver noted as durable last.
        package var durableLSN: LSN?
    }

    package struct Backup: Sendable {
        package enum Status: String, Sendable { case done, running, failed, damaged }

        package var id: String
        package var status: Status
        /// Nil for a backup that runs or failed.
        package var content: Content?

        package struct Content: Sendable {
            package var beginLSN: LSN
            package var endLSN: LSN
            package var timeline: TimelineID
            package var beginTime: Timestamp
            package var endTime: Timestamp
            package var dataBytes: ByteCount
            package var badPages: Int
            package var configurationMissing: [String]
            /// The WAL is stored that makes it consistent.
            package var isRestorable: Bool
        }
    }

    /// Those that can be restored from, newest first.
    package var completeBackups: [(id: String, content: Backup.Content)] {
        backups.compactMap { backup in backup.content.map { (backup.id, $0) } }
    }
}
