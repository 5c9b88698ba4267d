import Postgres
import PostgresModel
import Storage

/// Asks the nodes of a cluster, all at once: one that does not answer costs its own time limit and hides no other.
package enum Observer {
    /// One observation a node, in the order of the file.
    package static func observe(_ nodes: [ClusterFile.Node]) throws -> [NodeObservation] {
        let workers = nodes.map { node in WorkerThread("observe \(node.name)") { NodeObserver(node).observe() } }
        return try workers.map { try $0.join() }
    }
}

/// Asks one node, again and again over the same connections for as long as they hold. For one thread.
final class NodeObserver {
    private let node: ClusterFile.Node
    private var connection: Connection?
    private var replication: Connection?

    /// As pg_stat_activity shows us.
    private static let application = "pgark check"
    private static let connectTimeoutSeconds = 10
    /// For a server that has answered already, though not as it should.
    private static let pingTimeoutSeconds = 3

    init(_ node: ClusterFile.Node) { self.node = node }

    func observe() -> NodeObservation {
        do {
            var server = try asking(&connection, .sql) { try ObservationQueries(connection: $0).server() }
            observeReplication(&server)
            return NodeObservation(node: node.name, state: .reached(server))
        } catch let failure as Failure {
            return NodeObservation(node: node.name, state: silence(failure))
        } catch {
            return NodeObservation(node: node.name, state: .unreachable(Failure(.internalError, "\(error)")))
        }
    }

    /// On the connection that there is; where that fails, once more on a new one, for the server may have been restarted meanwhile.
    private func asking<Answer>(
        _ known: inout Connection?, _ mode: Connection.Mode, _ question: (Connection) throws -> Answer
    ) throws -> Answer {
        if let connection = known {
            if let answer = try? question(connection) { return answer }
            known = nil
        }
        let connection = try connect(mode)
        let answer = try question(connection)
        known = connection
        return answer
    }

    private func connect(_ mode: Connection.Mode) throws -> Connection {
        try Connection(
            node.connection, mode: mode, application: Self.application, timeoutSeconds: Self.connectTimeoutSeconds)
    }

    private func silence(_ failure: Failure) -> NodeObservation.State {
        replication = nil
        return Connection.isServer(at: node.connection, timeoutSeconds: Self.pingTimeoutSeconds)
            ? .refusing(failure) : .unreachable(failure)
    }

    /// The replication protocol has the last word on what SQL said less exactly: the timeline of a standby.
    private func observeReplication(_ server: inout ServerObservation) {
        do {
            let (identity, history) = try asking(&replication, .replication) { connection in
                let identity = try connection.identifySystem()
                return (identity, try connection.history(of: identity.timeline))
            }
            server.timeline = identity.timeline
            server.systemIdentifier = identity.systemIdentifier
            server.history = history
        } catch let failure as Failure {
            server.replicationFailure = failure
        } catch {
            server.replicationFailure = Failure(.internalError, "\(error)")
        }
    }
}

extension Connection {
    /// Nil where the server does not have it any more, which it does not need.
    fileprivate func history(of timeline: TimelineID) throws -> TimelineHistory? {
        if timeline == .first { return TimelineHistory(of: .first) }
        do { return try TimelineHistory(parsing: timelineHistory(timeline).content, of: timeline) } catch let failure as Failure
            where failure.code == .serverError
        {
            return nil
        }
    }
}
