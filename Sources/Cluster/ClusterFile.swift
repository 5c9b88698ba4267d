package import Postgres
package import PostgresModel
package import Repository
package import Storage
package import SystemPackage

/// What one pgark.yaml says, checked and with its defaults filled in.
package struct ClusterFile: Sendable {
    /// Where it was read from, absolute.
    package var path: FilePath
    package var name: String
    /// In the order of the file; at least one.
    package var nodes: [Node]
    package var repository: RepositorySettings
    package var backup = BackupSettings()
    package var replication = ReplicationSettings()

    package struct Node: Sendable {
        package var name: String
        /// A libpq connection string for SQL; replication connections use it too.
        package var connection: String
    }

    package struct RepositorySettings: Sendable {
        package var path: FilePath
        package var compression = CompressionLevel.standard
        /// The physical replication slot of the WAL receiver.
        package var slot: SlotName
    }

    package struct BackupSettings: Sendable {
        /// `check` warns where the newest backup is older.
        package var maximumAgeSeconds: Double?
        /// `check` fails where there are fewer complete backups.
        package var minimumRedundancy = 1
        /// What `maintain` keeps; without a window and a redundancy, everything.
        package var retention = RetentionPolicy()
    }

    package struct ReplicationSettings: Sendable {
        /// How much WAL a slot may hold back on a server before `check` fails.
        package var slotBudget: ByteCount?
    }
}
