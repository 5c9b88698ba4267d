import PostgresModel
import Storage
import SystemPackage

extension Repository {
    /// Tries to begin at the same time wait for each other so long at most; who begins is done in a fraction of it.
    private static let longestWait = 50

    /// As `prepare`, for writers that begin by themselves and without any lock: of two different systems that come to an empty
    /// repository at the same instant one becomes its system, and the other is refused.
    package func prepareAmongOthers(for system: System) throws -> System {
        if try self.system() != nil { return try prepare(for: system) }
        let path = locks.appending("begin.lock")
        try Self.reaching(root) { try Directory.create(locks, permissions: Self.directoryPermissions) }
        for _ in 0..<Self.longestWait {
            if let lock = try Self.reaching(root, { try LockFile.take(path, purpose: "pgark wal put") }) {
                defer { withExtendedLifetime(lock) {} }
                return try prepare(for: system)
            }
        }
        _ = try LockFile.require(path, purpose: "pgark wal put", to: "begin the repository \(directory)")
        return try prepare(for: system)
    }
}
