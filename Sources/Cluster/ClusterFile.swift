package import Postgres
package import PostgresModel
package import Repository
package import Storage
package import SystemPackage

/// What one pgark.yaml says, checked and with its defaults filled in.
package struct ClusterFile: Sendable {
    /// Where it was read from, absolute.
    package var path: FilePath
    /// All that it says, as it says it.
    package var text = ""
    package var name: String
    /// In the order of the file; at least one.
    package var nodes: [Node]
    package var postgres = PostgresSettings()
    package var repository: RepositorySettings
    package var backup = BackupSettings()
    package var replication = ReplicationSettings()
    package var tls = TLS.off

    /// Writes it where it was read from, whole or as it was.
    package func save() throws {
        let path = Directory.resolved(path)
        let status = try Directory.status(path)
        try SmallFile.write(text, to: path, permissions: status?.permissions ?? 0o644, owner: status?.owner)
    }

    package struct Node: Sendable {
        package var name: String
        /// A libpq connection string for SQL; replication connections use it too.
        package var connection: String
        /// Where pgark sets it up; nil for one that is only protected.
        package var placement: Placement?

        /// The slot through which it follows another.
        package var slot: String { placement?.slot?.description ?? Self.slot(for: name) }

        /// What a slot for a node of this name is called, where nothing else is said.
        package static func slot(for name: String) -> String {
            String(name.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
        }
    }

    /// A server that `plan` and `apply` are about.
    package struct Placement: Sendable, Equatable {
        /// How other hosts reach it.
        package var host: String
        package var port: Int
        /// What ssh takes as destination.
        package var ssh: String
        /// The data directory; nil for the system's usual place.
        package var data: String?
        /// The slot through which it follows another; nil for one of its own name.
        package var slot: SlotName?
        /// The node to follow; nil for the primary.
        package var upstream: String?
        /// How far it stays behind on purpose.
        package var delaySeconds: Double?
        /// Its own files, where they are not where those of the others are.
        package var tls: GivenCertificate?

        package init(
            host: String, port: Int, ssh: String, data: String? = nil, slot: SlotName? = nil, upstream: String? = nil,
            delaySeconds: Double? = nil, tls: GivenCertificate? = nil
        ) {
            self.host = host
            self.port = port
            self.ssh = ssh
            self.data = data
            self.slot = slot
            self.upstream = upstream
            self.delaySeconds = delaySeconds
            self.tls = tls
        }
    }

    package struct PostgresSettings: Sendable {
        package var major: Int?
        /// The directory of the server's programs; nil for the packages' place.
        package var programs: String?
        /// Whether packages may be installed that are missing.
        package var installs = false
        /// In the order of the file.
        package var parameters: [(name: String, value: String)] = []
        /// Lines of pg_hba.conf.
        package var accessRules: [String] = []
    }

    package struct RepositorySettings: Sendable {
        package var path: FilePath
        /// The file names it from its own directory.
        package var isRelative = false
        package var compression = CompressionLevel.standard
        /// The physical replication slot of the WAL receiver.
        package var slot: SlotName
        /// Nil for this machine.
        package var host: String?
        package var ssh: String?
        /// Whose it is on its host; nil for who we are there, or "pgark" where that is root.
        package var account: String?
        package var service = Service.automatic

        /// Who keeps the receiver running, and does what is due.
        package enum Service: String, Sendable, CaseIterable {
            case automatic = "auto"
            case systemd, cron, none
        }
    }

    package struct BackupSettings: Sendable {
        /// `check` warns where the newest backup is older.
        package var maximumAgeSeconds: Double?
        /// `check` fails where there are fewer complete backups.
        package var minimumRedundancy = 1
        /// What `maintain` keeps; without a window and a redundancy, everything.
        package var retention = RetentionPolicy()
        /// When `apply` has backups taken, by the clock of the repository's host; nil for never.
        package var schedule: CronExpression? = Schedules.backup
        /// It stands in the file, and so holds whoever sees to it.
        package var scheduleIsGiven = false
    }

    package struct ReplicationSettings: Sendable {
        /// How much WAL a slot may hold back on a server before `check` fails.
        package var slotBudget: ByteCount?
        /// What becomes of a standby whose slot held back more than that, so that the server let go of its WAL.
        package var atSlotEnd = SlotEnd.reclone

        package enum SlotEnd: String, Sendable, CaseIterable {
            /// `apply` makes it anew.
            case reclone
            /// Somebody decides.
            case wait
        }
    }
}
