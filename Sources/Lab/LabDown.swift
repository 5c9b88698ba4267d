import Hosts
import PostgresModel

/// Ending the lab: only processes that are its own.
extension LabHosts {
    /// Stops everything, in the order in which nobody waits for another.
    package func stop() throws {
        if let receiver = runningReceiver {
            try receiver.end(patienceSeconds: 10)
            did("repository: WAL receiver stopped")
        }
        for server in [restored, node2, node1] where server.isRunning {
            do {
                try server.stop(.fast, timeoutSeconds: 30)
            } catch let failure as Failure where failure.code == .programFailed {
                try server.stop(.immediate)  // it is thrown away now: what fast waits for is of no use
            }
            did("\(server.name): stopped")
        }
    }

    /// Stops everything and removes the directory. Returns false where the empty directory had to stay, because its
    /// parent belongs to somebody else.
    package static func remove(_ home: LabHome, tell: @escaping Narration.Teller) throws -> Bool {
        if let state = try home.state() { try LabHosts(home: home, state: state, tell: tell).stop() }
        return try home.remove()
    }

    /// Stops everything and empties the directory, for a new lab at the same place.
    package func clear() throws {
        try stop()
        try home.removeContents()
    }
}
