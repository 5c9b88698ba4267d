
/// What is asked of pgark on a host, in one call. Paths and names come from the cluster file, secrets travel here and in the
/// answers only.
package enum HostRequest: Codable, Sendable {
    case observe(HostQuestions)
    case perform(HostAction)
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
    /// Settings that the plan is about.
    package var settings: [String]
}

package struct RepositoryQuestions: Codable, Sendable, Equatable {
    package var path: String
    package var account: String
    package var slot: String
}
