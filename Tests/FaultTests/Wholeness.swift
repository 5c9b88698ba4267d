import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// What must hold of a repository after whatever was done to the processes that write to it.
extension Pgark {
    enum Lock: String, CaseIterable { case write = "write.lock", read = "read.lock", receive = "receive.lock" }

    /// Nothing but complete backups is shown, but for the leftover of the one that was killed; no lock outlived its owner;
    /// the WAL is one piece.
    func expectWhole(held: Set<Lock> = [], _ context: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let statuses = try self("list").backups.array.map { $0.status.string ?? "" }
        #expect(
            statuses.allSatisfy { ["done", "failed"].contains($0) }, "\(context): \(statuses)", sourceLocation: sourceLocation)
        #expect(statuses.count { $0 == "failed" } <= 1, "\(context): \(statuses)", sourceLocation: sourceLocation)
        for lock in Lock.allCases where !held.contains(lock) {
            let path = repository.pushing(FilePath("locks/\(lock.rawValue)"))
            #expect(try !LockFile.isHeld(path), "\(context): \(path)", sourceLocation: sourceLocation)
        }
        #expect(try self("wal", "status").gaps.array.isEmpty, "\(context): gaps", sourceLocation: sourceLocation)
    }

    /// Everything that is stored is referred to by a complete backup, and everything that is referred to is undamaged.
    func expectNoGarbage(_ context: String = "", sourceLocation: SourceLocation = #_sourceLocation) throws {
        var used: Set<String> = []
        for id in try Directory.names(in: repository.appending("backups")) ?? [] {
            let backup = repository.pushing(FilePath("backups/\(id)"))
            #expect(
                try Directory.exists(backup.appending("backup.json")), "\(context): \(id) has no record",
                sourceLocation: sourceLocation)
            used.formUnion(try packs(of: id).map { $0 + ".pack" })
        }
        #expect(
            try Set(Directory.names(in: repository.appending("packs")) ?? []) == used, "\(context)",
            sourceLocation: sourceLocation)
        let temporary = try temporaryFiles()
        #expect(temporary.isEmpty, "\(context)", sourceLocation: sourceLocation)
        let verified = try run("verify", "--deep", "--all", "--json")
        #expect(verified.status == .exited(0), "\(context) \(verified.text)", sourceLocation: sourceLocation)
    }

    /// The names of the packs that a backup refers to, its own and others'.
    func packs(of id: String) throws -> [String] {
        let list = try #require(try SmallFile.readText(repository.pushing(FilePath("backups/\(id)/packs"))))
        return list.split(separator: "\n").map(String.init)
    }

    private func temporaryFiles() throws -> [String] {
        let found = try site.command("/usr/bin/find", [repository.removingLastComponent().string, "-name", "*.tmp"]).run().output
        return found.split(separator: "\n").map(String.init)
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
