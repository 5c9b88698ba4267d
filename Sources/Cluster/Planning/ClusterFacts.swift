package import PostgresModel

/// What was found on the hosts of a cluster, at one time.
package struct ClusterFacts: Sendable {
    package enum Host: Sendable {
        case reached(HostFacts)
        case unreachable(Failure)

        package var facts: HostFacts? {
            if case .reached(let facts) = self { facts } else { nil }
        }
    }

    /// By node, of those that pgark sets up.
    package var nodes: [String: Host]
    package var repository: Host
    /// Where the repository's host is, as the nodes see it.
    package var repositoryAddresses: [String: String]
    /// How far each host's clock is ahead of ours, in seconds, and not more exactly than a call takes.
    package var clocksAhead: [String: Double]
    /// The passfile beside the cluster file, where there is one.
    package var ownPassfile: String?
    /// Of nodes that are only protected, by node.
    package var connectionPasswords: [String: String]

    package init(
        nodes: [String: Host], repository: Host, repositoryAddresses: [String: String], clocksAhead: [String: Double] = [:],
        ownPassfile: String? = nil, connectionPasswords: [String: String] = [:]
    ) {
        self.ownPassfile = ownPassfile
        self.connectionPasswords = connectionPasswords
        self.clocksAhead = clocksAhead
        self.nodes = nodes
        self.repository = repository
        self.repositoryAddresses = repositoryAddresses
    }

    /// The passwords that the hosts know.
    package var passwords: [String: String] {
        let nodes = nodes.values.compactMap { $0.facts?.instance?.passfile }
        let known = Secrets.passwords(
            in: [repository.facts?.repository?.passfile].compactMap { $0 } + nodes + [ownPassfile ?? ""])
        let connections = connectionPasswords.map { (Secrets.connection(of: $0.key), Passfile.escaped($0.value)) }
        return known.merging(connections) { $1 }
    }
}
