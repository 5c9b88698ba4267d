package import PostgresModel

/// What is asked of pgark on a host, in one call. Paths and names come from the cluster file, secrets travel here and in the
/// answers only.
package enum HostRequest: Codable, Sendable {
    case observe(HostQuestions)
    case perform(HostAction)
    /// How much of a server that is being made is there.
    case unfinishedBytes(InstanceLayout)
    /// Every server that runs there, as `init` wants to know it.
    case survey
    /// What a restore of the repository would take.
    case planRestore(RestoreQuestions)
    /// What the repository there proves, and what was done from there.
    case history(repository: String, cluster: String)
    /// The request for a server's certificate, with a key of its own.
    case requestCertificate(InstanceLayout, node: String)
    case issueCertificate(CertificateRequest)
    case installCertificate(InstanceLayout, IssuedCertificate)
}

/// Which moment of a cluster.
package struct RestoreQuestions: Codable, Sendable, Equatable {
    package var repository: String
    package var cluster: String
    package var target: RecoveryTarget
    /// Nil for the right one.
    package var backup: String?
    /// What is made of it ends its recovery and is a primary then.
    package var promotes: Bool

    package init(repository: String, cluster: String, target: RecoveryTarget, backup: String? = nil, promotes: Bool = false) {
        self.promotes = promotes
        self.repository = repository
        self.cluster = cluster
        self.target = target
        self.backup = backup
    }
}

/// What a restore will do, as the repository's host knows it.
package struct RestoreOutline: Codable, Sendable, Equatable {
    package var backup: String
    package var reason: String
    package var remarks: [String]
    package var target: String
    package var timeline: UInt32
    package var systemIdentifier: UInt64
    package var walTo: String
    /// What comes along beside the files, at least.
    package var walBytes: Int
    package var bytes: Int
    package var files: Int
    /// Of the server that was backed up.
    package var major: Int
    /// Settings that lead PostgreSQL to the target.
    package var settings: [Setting]

    package struct Setting: Codable, Sendable, Equatable {
        package var name: String
        package var value: String
    }
}

/// What is looked for on a host.
package struct HostQuestions: Codable, Sendable, Equatable {
    package var cluster: String
    package var instance: InstanceQuestions?
    package var repository: RepositoryQuestions?
}

/// Where a node's server is, or would be.
package struct InstanceQuestions: Codable, Sendable, Equatable {
    package var node: String
    package var major: Int?
    /// The directory of the server's programs, where it is not to be looked for.
    package var programs: String?
    /// The data directory, where it is not the system's usual one.
    package var data: String?
    package var port: Int
    /// PostgreSQL will come from packages where it is missing.
    package var installs: Bool
    /// Settings that the plan is about.
    package var settings: [String]
    /// Nil where it is none of our business.
    package var tls: TLSQuestions?
}

package struct RepositoryQuestions: Codable, Sendable, Equatable {
    package var path: String
    package var account: String
    package var slot: String
}
