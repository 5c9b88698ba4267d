import Hosts
import Lab
import Storage
import SystemPackage

/// What must hold of a repository after whatever was done to the processes that write to it.
extension Pgark {
    package enum Lock: String, CaseIterable { case write = "write.lock", read = "read.lock", receive = "receive.lock" }

    /// Empty where nothing but complete backups is shown, but for the leftovers of those that were killed, no lock outlived its
    /// owner, and the WAL is one piece. Otherwise what is not so.
    package func flaws(held: Set<Lock> = [], leftovers: Int = 1) throws -> [String] {
        var flaws: [String] = []
        let statuses = try self("list").backups.array.map { $0.status.string ?? "" }
        if !statuses.allSatisfy({ ["done", "failed"].contains($0) }) || statuses.count(where: { $0 == "failed" }) > leftovers {
            flaws.append("the backups are \(statuses)")
        }
        for lock in Lock.allCases where !held.contains(lock) {
            if try LockFile.isHeld(repository.pushing(FilePath("locks/\(lock.rawValue)"))) {
                flaws.append("\(lock.rawValue) is held")
            }
        }
        let gaps = try self("wal", "status").gaps.array
        if !gaps.isEmpty { flaws.append("gaps in the WAL: \(gaps)") }
        return flaws
    }

    /// Empty where everything that is stored is referred to by a complete backup, and everything that is referred to is
    /// undamaged. Otherwise what is not so.
    package func garbage() throws -> [String] {
        var (garbage, used): ([String], Set<String>) = ([], [])
        for id in try Directory.names(in: repository.appending("backups")) ?? [] {
            let backup = repository.pushing(FilePath("backups/\(id)"))
            guard try Directory.exists(backup.appending("backup.json")) else {
                garbage.append("backups/\(id) has no record")
                continue
            }
            used.formUnion(try packs(of: id).map { $0 + ".pack" })
        }
        let packs = try Set(Directory.names(in: repository.appending("packs")) ?? [])
        garbage += packs.subtracting(used).sorted().map { "packs/\($0) is of no backup" }
        garbage += used.subtracting(packs).sorted().map { "packs/\($0) is missing" }
        garbage += try temporaryFiles()
        let verified = try run("verify", "--deep", "--all", "--json")
        if verified.status != .exited(0) { garbage.append("verify: \(verified.status) \(verified.text)") }
        return garbage
    }

    /// The names of the packs that a backup refers to, its own and others'.
    package func packs(of id: String) throws -> [String] {
        let list = repository.pushing(FilePath("backups/\(id)/packs"))
        guard let names = try SmallFile.readText(list) else { throw TestFailure("there is no \(list)") }
        return names.split(separator: "\n").map(String.init)
    }

    private func temporaryFiles() throws -> [String] {
        let found = try site.command("/usr/bin/find", [repository.removingLastComponent().string, "-name", "*.tmp"]).run().output
        return found.split(separator: "\n").map(String.init)
    }
}
