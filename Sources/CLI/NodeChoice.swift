import Cluster
import Postgres
import PostgresModel

/// Which node a command talks to.
struct NodeChoice: Sendable {
    private let file: ClusterFile

    init(_ file: ClusterFile) { self.file = file }

    /// The named node; else the only one, else the primary.
    func source(named name: String?) throws -> ClusterFile.Node {
        if let name {
            if let node = file.nodes.first(where: { $0.name == name }) { return node }
            throw Failure(
                .nodeMissing, "could not find node \"\(name)\" in \(file.path)",
                details: ["nodes there: \(file.nodes.map(\.name).joined(separator: ", "))"])
        }
        if file.nodes.count == 1 { return file.nodes[0] }
        let (primary, failures) = try answers()
        if let primary { return primary }
        throw Failure(
            .serverUnreachable, "could not find the primary of cluster \"\(file.name)\": every node that answers is a standby",
            details: failures.map { "\($0.node): \($0.failure.message)" },
            hint: "Name the node to use: --node NODE")
    }

    /// The node that is not in recovery; of several, the one on the newest timeline. Throws where no node answers at all.
    func primary() throws -> ClusterFile.Node? { try answers().primary }

    /// With those that do not answer, one of which may be the primary.
    private func answers() throws -> (primary: ClusterFile.Node?, failures: [(node: String, failure: Failure)]) {
        var failures: [(node: String, failure: Failure)] = []
        var primaries: [(node: ClusterFile.Node, timeline: UInt32)] = []
        for node in file.nodes {
            do {
                let connection = try Connection(node.connection, application: "pgark")
                let timeline = try connection.query(
                    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END")
                if let digits = timeline.first?[0] { primaries.append((node, UInt32(digits, radix: 16) ?? 0)) }
            } catch let failure as Failure {
                failures.append((node.name, failure))
            }
        }
        if failures.count == file.nodes.count { throw failures[0].failure }
        return (primaries.max { $0.timeline < $1.timeline }?.node, failures)
    }
}
