/// What pgark found on a host. Whatever decides reads this and nothing else.
package struct HostFacts: Codable, Sendable, Equatable {
    package var hostName: String
    package var isRoot: Bool
    /// Seconds since 1970 by the host's clock.
    package var clock: Double
    package var hasSystemd: Bool
    package var hasCron: Bool
    package var hasApt: Bool
    /// libpq, with which servers are asked.
    package var hasLibPQ = true
    package var instance: InstanceFacts?
    package var repository: RepositoryHostFacts?
}

/// A server's place on a host.
package struct InstanceFacts: Codable, Sendable, Equatable {
    package var layout: InstanceLayout?
    /// Nil where this major is not installed.
    package var version: Int?
    /// Majors that are installed.
    package var installedMajors: [Int]
    package var hasServerAccount: Bool
    package var data: DataDirectory
    /// Of the directory, on whatever host: two nodes with the same are one. Nil where there is none.
    package var identity: String?
    /// On the file system of the data directory, with what an unfinished one takes that would go.
    package var freeBytes: Int
    package var portIsTaken: Bool
    /// Files of ours and those that we write into, by what they are; nil for what is not there.
    package var include: String?
    package var includesOurs: Bool
    package var accessRules: String?
    package var autoSettings: [String: String]
    package var passfile: String?
    package var hasStandbySignal: Bool
    package var hasTablespaces: Bool
    /// Where pg_wal leads to; nil where it is a directory.
    package var walLink: String?
    /// Of the data directory itself: it cannot be renamed.
    package var isMountPoint = false
    /// When our file of settings or pg_hba.conf was changed last, in seconds since 1970; nil where neither is there.
    package var filesChanged: Double?
    package var isRunning: Bool
    package var server: ServerFacts?
    /// Why a running server could not be asked.
    package var serverFailure: String?
    /// Nil where it was not asked for.
    package var tls: TLSFacts?
    /// What the programs say of each setting: its context (postmaster, sighup, …).
    package var contexts: [String: String]
}

/// Where everything of an instance is.
package struct InstanceLayout: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable {
        /// postgresql-common: /etc/postgresql, pg_ctlcluster.
        case debian
        /// pg_ctl.
        case plain
    }
    package var kind: Kind
    package var programs: String
    package var data: String
    package var configuration: String
    package var port: Int
    package var log: String
    package var sockets: String
    package var passfile: String
    /// Debian's "15" and "main".
    package var debianName: String?

    package var mainFile: String { configuration + "/postgresql.conf" }
    package var accessFile: String { configuration + "/pg_hba.conf" }
    package var include: String { kind == .debian ? configuration + "/conf.d/90-pgark.conf" : configuration + "/pgark.conf" }
}

package enum DataDirectory: Codable, Sendable, Equatable {
    case absent
    case empty
    /// Begun by us and not finished.
    case unfinished
    /// Holds something that is no data directory.
    case foreign(some: [String])
    case present(ControlFacts)
}

package struct ControlFacts: Codable, Sendable, Equatable {
    package var systemIdentifier: UInt64
    package var major: Int
    /// pg_control's words: shut down, in production, …
    package var state: String
    package var timeline: UInt32
    package var hasChecksums: Bool
    /// wal_log_hints.
    package var logsHints: Bool
    /// The five settings that a standby must have at least as high, as the WAL last said.
    package var required: [String: Int]
}

/// What a running server says to its superuser over its socket.
package struct ServerFacts: Codable, Sendable, Equatable {
    package var version: Int
    package var isInRecovery: Bool
    package var systemIdentifier: UInt64
    package var timeline: UInt32
    package var settings: [String: Setting]
    package var roles: [String: Role]
    package var slots: [String: Slot]
    package var senders: [Sender]
    package var receiver: Receiver?
    /// A primary without databases beside template0, template1 and postgres, objects in the latter, roles and slots: nobody has
    /// used it.
    package var isPristine: Bool
    package var databaseBytes: Int
    /// When it read its files last, in seconds since 1970.
    package var filesRead: Double
    /// What is wrong in its files: it would not start with them.
    package var fileErrors: [String] = []

    package struct Setting: Codable, Sendable, Equatable {
        package var value: String
        /// As `SHOW` prints it, with its unit.
        package var text: String
        package var source: String
        package var file: String?
        package var isPending: Bool
        package var context: String
    }

    package struct Role: Codable, Sendable, Equatable {
        package var mayLogIn: Bool
        package var mayReplicate: Bool
        package var isSuperuser: Bool
        /// What is kept instead of its password.
        package var verifier: String?
        /// Roles it belongs to, and what it may execute and read.
        package var grants: [String]
    }

    package struct Slot: Codable, Sendable, Equatable {
        package var isPhysical: Bool
        package var isActive: Bool
        package var isReserved: Bool
        package var walStatus: String?

        /// The server has let go of what it held back.
        package var isLost: Bool { walStatus == "lost" && !isActive }
    }

    package struct Sender: Codable, Sendable, Equatable {
        package var application: String
        package var state: String
        package var slot: String?
        /// Over TLS.
        package var isEncrypted = false
    }

    package struct Receiver: Codable, Sendable, Equatable {
        package var status: String
        package var slot: String?
        package var host: String?
        package var port: Int?
    }
}

package struct RepositoryHostFacts: Codable, Sendable, Equatable {
    package var hasAccount: Bool
    package var directoryOwner: String?
    package var clusterFile: String?
    package var passfile: String?
    /// The program at its lasting place; nil where there is none.
    package var programDigest: String?
    package var ownDigest: String
    package var receiverIsRunning: Bool
    /// When the receiver began, in seconds since 1970; nil where none runs, or that cannot be known.
    package var receiverStarted: Double?
    /// When what it reads at its begin was changed last.
    package var receiverInputsChanged: Double?
    /// What lies at the paths of `ServiceNames`.
    package var serviceFiles: [String: String]
    /// What systemd knows, by name.
    package var units: [String: Unit]
    /// Whose backups and WAL are there now; nil where nothing was stored yet.
    package var system: UInt64?
    /// What a standby could be made of; nil where no backup leads to the end of the stored WAL.
    package var seed: Seed?
    package var authority = AuthorityFacts()

    package struct Unit: Codable, Sendable, Equatable {
        package var isActive: Bool
        package var isEnabled: Bool
        /// Its file changed after systemd read it.
        package var needsReload: Bool
    }

    package struct Seed: Codable, Sendable, Equatable {
        package var backup: String
        package var systemIdentifier: UInt64
        package var timeline: UInt32
        package var major: Int
        package var bytes: Int
    }
}
