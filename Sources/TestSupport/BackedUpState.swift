import Postgres

/// A backup, and what its server had when it was taken.
package struct BackedUpState: Sendable {
    /// What `pgark backup` printed.
    package let backup: JSON
    package let id: String
    /// Digests of the databases, by name.
    package let dumps: [String: String]

    package var isIncremental: Bool { backup.method.string == "incremental" }
}

extension Pgark {
    /// Backs up a server that nobody writes to meanwhile, so that it has the same before, during and after.
    @discardableResult
    package func backUp(_ server: TestServer, _ arguments: String...) throws -> BackedUpState {
        let dumps = try server.dumps()
        let backup = try succeed(["backup", "--node", server.name] + arguments)
        guard let id = backup.id.string else { throw TestFailure("a backup without an id: \(backup)") }
        return BackedUpState(backup: backup, id: id, dumps: dumps)
    }
}

extension TestServer {
    /// Digests of what pg_dump prints of every database that one can connect to, by name. What unlogged tables hold is left
    /// out: no recovery brings it back.
    package func dumps() throws -> [String: String] {
        let names = try sql("SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate").compactMap { $0[0] }
        return try Dictionary(
            uniqueKeysWithValues: names.map { ($0, try dumpDigest(database: $0, "--no-unlogged-table-data")) })
    }
}
