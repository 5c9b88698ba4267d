import Postgres
import PostgresModel
import Storage

/// Asks the nodes of a cluster, all at once: one that does not answer costs its own time limit and hides no other.
package enum Observer {
    /// As pg_stat_activity shows us.
    private static let application = "pgark check"
    private static let connectTimeoutSeconds = 10

    /// One observation a node, in the order of the file.
    package static func observe(_ nodes: [ClusterFile.Node]) throws -> [NodeObservation] {
        let workers = nodes.map { node in WorkerThread("observe \(node.name)") { observe(node) } }
        return try workers.map { try $0.join() }
    }

    private static func observe(_ node: ClusterFile.Node) -> NodeObservation {
        do {
            let connection = try Connection(
                node.connection, application: application, timeoutSeconds: connectTimeoutSeconds)
            var server = try ObservationQueries(connection: connection).server()
            observeReplication(node, &server)
            return NodeObservation(node: node.name, state: .reached(server))
        } catch let failure as Failure {
            return NodeObservation(node: node.name, state: .unreachable(failure))
        } catch {
            return NodeObservation(node: node.name, state: .unreachable(Failure(.internalError, "\(error)")))
        }
    }

    /// The replication protocol has the last word on what SQL said less exactly: the timeline of a standby.
    private static func observeReplication(_ node: ClusterFile.Node, _ server: inout ServerObservation) {
        do {
            let identity = try Connection(
                node.connection, mode: .replication, application: application, timeoutSeconds: connectTimeoutSeconds
            ).identifySystem()
            server.timeline = identity.timeline
            server.systemIdentifier = identity.systemIdentifier
        } catch let failure as Failure {
            server.replicationFailure = failure
        } catch {
            server.replicationFailure = Failure(.internalError, "\(error)")
        }
    }
}
