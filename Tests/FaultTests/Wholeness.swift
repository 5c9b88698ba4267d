import Hosts
import Lab
import PostgresModel
import SystemPackage
import TestSupport
import Testing

/// What must hold of a repository after whatever was done to the processes that write to it, as expectations.
extension Pgark {
    func expectWhole(held: Set<Lock> = [], _ context: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let flaws = try flaws(held: held)
        #expect(flaws == [], "\(context)", sourceLocation: sourceLocation)
    }

    func expectNoGarbage(_ context: String = "", sourceLocation: SourceLocation = #_sourceLocation) throws {
        let garbage = try garbage()
        #expect(garbage == [], "\(context)", sourceLocation: sourceLocation)
    }

    /// The digest of all that belongs to backups: names, sizes, modes and contents. Locks say who held them last, and WAL
    /// only ever grows.
    func contents() throws -> String {
        let script = """
            cd "$0" && find repository.json */cluster.json */backups */packs -printf '%p %y %m %s %l\\n' | sort
            find repository.json */cluster.json */backups */packs -type f -print0 | sort -z | xargs -0r sha256sum
            """
        return try site.command("/bin/sh", ["-c", script, repository.removingLastComponent().string]).run().output
    }

    var walPositions: (received: LSN?, durable: LSN?) {
        get throws {
            let status = try self("wal", "status")
            return (status.received_lsn.string.flatMap { LSN($0) }, status.durable_lsn.string.flatMap { LSN($0) })
        }
    }
}
