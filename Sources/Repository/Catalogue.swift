import PostgresModel
import Storage
package import SystemPackage

/// The backups of a cluster: found, named, pinned, deleted.
package struct Catalogue: Sendable {
    package let repository: Repository

    package init(_ repository: Repository) { self.repository = repository }

    package enum Status: String, Codable, Sendable { case done, running, failed, damaged }

    package struct Entry: Sendable {
        package let id: String
        package let status: Status
        /// Nil for a backup that runs or that did not come to its end.
        package let record: BackupRecord?
        package let isKept: Bool

        /// Its record is there and says nothing.
        package var isUnreadable: Bool { status == .damaged && record == nil }
    }

    static let recordName = "backup.json"
    static let tombstoneName = "backup.json.deleted"
    private static let keptName = "kept"

    package func directory(of id: String) -> FilePath { repository.backups.appending(id) }

    /// Every backup, newest first: by the WAL position where it ended, then by time; never by name.
    package func entries() throws -> [Entry] {
        let isBusy = try LockFile.isHeld(repository.writeLock)
        let names = try Repository.reaching(repository.root) { try Directory.names(in: repository.backups) } ?? []
        let entries = try names.compactMap { try entry($0, isBusy: isBusy) }
        let unfinished = entries.filter { $0.record == nil }.sorted { $0.id > $1.id }
        let finished = entries.filter { $0.record != nil }.sorted { a, b in
            let (a, b) = (a.record!, b.record!)
            return (a.timeline, a.endLSN, a.endTime) > (b.timeline, b.endLSN, b.endTime)
        }
        return unfinished + finished
    }

    private func entry(_ id: String, isBusy: Bool) throws -> Entry? {
        let directory = directory(of: id)
        // A link too: somebody may have moved a backup to another disk.
        guard let kind = try Directory.status(directory)?.kind, kind == .directory || kind == .symbolicLink else { return nil }
        let found: BackupRecord?
        do {
            found = try Record.read(directory.appending(Self.recordName))
        } catch let failure as Failure where failure.code == .damaged {
            // One unreadable record must not hide the others.
            return Entry(id: id, status: .damaged, record: nil, isKept: false)
        }
        guard let record = found else {
            // A link that leads nowhere is not an unfinished backup: nothing that it needs may be taken for garbage.
            if kind == .symbolicLink, try Directory.names(in: directory) == nil {
                return Entry(id: id, status: .damaged, record: nil, isKept: false)
            }
            return Entry(id: id, status: isBusy ? .running : .failed, record: nil, isKept: false)
        }
        guard record.format == Repository.formatVersion else {
            throw Failure(.unsupported, "could not read backup \(id): its format is \(record.format), this pgark knows 1")
        }
        let isKept = try Directory.exists(directory.appending(Self.keptName))
        let isDamaged = try !record.badPages.isEmpty || Directory.exists(damagePath(id))
        return Entry(id: id, status: isDamaged ? .damaged : .done, record: record, isKept: isKept)
    }

    /// The complete backups, newest first. Throws where a record cannot be read: whoever chooses among all of them, or
    /// removes what none of them needs, must not take it for gone.
    package func records() throws -> [BackupRecord] { try records(without: []) }

    /// As `records`, leaving out those that are to be taken as gone.
    func records(without gone: Set<String>) throws -> [BackupRecord] {
        let entries = try entries().filter { !gone.contains($0.id) }
        if let unreadable = entries.first(where: \.isUnreadable) {
            throw Failure(
                .damaged, "could not tell which backups there are: the record of backup \(unreadable.id) is damaged",
                details: ["\(directory(of: unreadable.id).appending(Self.recordName))"],
                hint: "Name the backup to use; or give that one up: pgark delete \(unreadable.id)")
        }
        return entries.compactMap(\.record)
    }

    /// Finds by id, by name (the newest of that name), or by `latest` and `oldest`.
    package func find(_ reference: String) throws -> Entry {
        let entries = try entries()
        let complete = entries.filter { $0.record != nil }
        let found: Entry? =
            switch reference {
            case "latest": complete.first
            case "oldest": complete.last
            default: entries.first { $0.id == reference } ?? complete.first { $0.record?.name == reference }
            }
        if let found { return found }
        throw Failure(
            .backupMissing, "could not find backup \"\(reference)\" of cluster \"\(repository.cluster)\"",
            details: [complete.isEmpty ? "there is no complete backup" : "there are \(complete.count) complete backups"],
            hint: complete.isEmpty ? "Take one: pgark backup" : "List them: pgark list")
    }

    package func findComplete(_ reference: String) throws -> (entry: Entry, record: BackupRecord) {
        let entry = try find(reference)
        guard let record = entry.record else {
            throw Failure(
                entry.isUnreadable ? .damaged : .backupMissing,
                "could not use backup \"\(entry.id)\": it is \(entry.status.rawValue)",
                hint: "List them: pgark list")
        }
        return (entry, record)
    }

    // MARK: Changes

    /// Makes a backup visible: the last step, durable when it returns.
    func commit(_ record: BackupRecord) throws {
        try Record.write(record, to: directory(of: record.id).appending(Self.recordName))
    }

    package func keep(_ id: String, reason: String) throws {
        try SmallFile.write(
            reason + "\n", to: directory(of: id).appending(Self.keptName), permissions: Repository.filePermissions)
    }

    package func release(_ id: String) throws {
        try Directory.remove(directory(of: id).appending(Self.keptName))
        try Directory.synchronize(directory(of: id))
    }

    static let packSuffix = ".pack"

    func packPath(_ name: String) -> FilePath { repository.packs.appending(name + Self.packSuffix) }
    func packListPath(_ id: String) -> FilePath { directory(of: id).appending("packs") }
    func mapPath(_ id: String) -> FilePath { directory(of: id).appending("map.zst") }
    package func manifestPath(_ id: String) -> FilePath { directory(of: id).appending("manifest.zst") }
    package func configurationPath(_ id: String, _ name: String) -> FilePath {
        directory(of: id).appending("config").appending(name)
    }
}
