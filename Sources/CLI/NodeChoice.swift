import Cluster
import Postgres
import PostgresModel

/// Which node a command talks to.
struct NodeChoice: Sendable {
    private let file: ClusterFile

    init(_ file: ClusterFile) { self.file = file }

    /// The named node; else the primary, else the first that answers.
    func source(named name: String?) throws -> ClusterFile.Node {
        if let name {
            if let node = file.nodes.first(where: { $0.name == name }) { return node }
            throw Failure(
                .nodeMissing, "could not find node \"\(name)\" in \(file.path)",
                details: ["nodes there: \(file.nodes.map(\.name).joined(separator: ", "))"])
        }
        if file.nodes.count == 1 { return file.nodes[0] }
        return try primary() ?? file.nodes[0]
    }

    /// The node that is not in recovery. Throws where no node answers at all.
    func primary() throws -> ClusterFile.Node? {
        var failures: [Failure] = []
        for node in file.nodes {
            do {
                let connection = try Connection(node.connection, application: "pgark")
                if try connection.query("SELECT pg_is_in_recovery()").first?[0] == "f" { return node }
            } catch let failure as Failure {
                failures.append(failure)
            }
        }
        if failures.count == file.nodes.count { throw failures[0] }
        return nil
    }
}
