import PostgresModel
import Storage
package import SystemPackage

/// The backups of a cluster: found, named, pinned, deleted.
package struct Catalogue: Sendable {
    package let repository: Repository

    package init(_ repository: Repository) { self.repository = repository }

    package enum Status: String, Codable, Sendable { case done, running, failed, damaged }

    /// A class, for a record is large, and long lists of these are sorted and filtered.
    package final class Entry: Sendable {
        package let id: String
        package let status: Status
        /// Nil for a backup that runs or that did not come to its end.
        package let record: BackupRecord?
        package let isKept: Bool

        init(id: String, status: Status, record: BackupRecord?, isKept: Bool) {
            self.id = id
            self.status = status
            self.record = record
            self.isKept = isKept
        }

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
        let entries = try directories().compactMap { try entry($0.id, $0.path, isBusy: isBusy) }
        let unfinished = entries.filter { $0.record == nil }.sorted { $0.id > $1.id }
        let order = try systemOrder()
        let finished = entries.compactMap { entry in entry.record.map { (Position(of: $0).placed(order), entry) } }
            .sorted { $0.0 > $1.0 }
        return unfinished + finished.map(\.1)
    }

    /// The place of each system in the order of upgrades.
    private func systemOrder() throws -> [SystemIdentifier: Int] {
        Dictionary(try repository.systems().enumerated().map { ($0.element.systemIdentifier, $0.offset) }, uniquingKeysWith: max)
    }

    private func directories() throws -> [(id: String, path: FilePath)] {
        try Repository.reaching(repository.root) { try identifiers() ?? [] }.map { ($0, directory(of: $0)) }
    }

    /// The names in the directory of the backups that may be theirs; nil where there is no such directory. Whatever else
    /// lies there, `lost+found` for one, is not ours to look at.
    func identifiers() throws -> [String]? { try Directory.names(in: repository.backups)?.filter(Self.isIdentifier) }

    /// As `BackupWriter.newIdentifier` makes them: 20261122T150405Z.
    static func isIdentifier(_ name: String) -> Bool {
        name.utf8.count == 16
            && name.utf8.enumerated().allSatisfy { place, character in
                switch place {
                case 8: character == UInt8(ascii: "T")
                case 15: character == UInt8(ascii: "Z")
                default: (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(character)
                }
            }
    }

    private func entry(_ id: String, _ directory: FilePath, isBusy: Bool) throws -> Entry? {
        func entry(_ status: Status, _ record: BackupRecord? = nil) throws -> Entry {
            let isKept = try Directory.exists(directory.appending(Self.keptName))
            return Entry(id: id, status: status, record: record, isKept: isKept)
        }
        let found: BackupRecord?
        do {
            found = try read(id, directory)
        } catch let failure as Failure where failure.code == .damaged {
            return try entry(.damaged)  // one unreadable record must not hide the others
        }
        if let record = found {
            return try entry(!record.badPages.isEmpty || isKnownToBeDamaged(id) ? .damaged : .done, record)
        }
        switch try Directory.status(directory)?.kind {
        case .directory: return try entry(isBusy ? .running : .failed)
        case .symbolicLink:
            // Somebody may have moved a backup to another disk. A link that leads nowhere is not an unfinished backup: nothing
            // that it needs may be taken for garbage.
            let leadsToDirectory = try Directory.status(directory.appending("."))?.kind == .directory
            return try entry(!leadsToDirectory ? .damaged : isBusy ? .running : .failed)
        case .file, .other, nil: return nil
        }
    }

    /// Of a backup's record so much as `Content` asks for; nil where there is no record.
    private func read<Content: BackupRecordPart>(_ id: String, _ directory: FilePath) throws -> Content? {
        guard let content: Content = try Record.readSealed(directory.appending(Self.recordName)) else { return nil }
        guard content.format == Repository.formatVersion else {
            throw Failure(.unsupported, "could not read backup \(id): its format is \(content.format), this pgark knows 1")
        }
        return content
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

    /// Finds by id, by name (the newest of that name), or by `latest` and `oldest`. Of the others no more is read than it
    /// takes to choose, and nothing where the id is given.
    ///
    /// Throws for `latest` where a newer backup is there whose record cannot be read: an older one is not what was asked for.
    package func find(_ reference: String) throws -> Entry {
        let entry = try findMaybeUnreadable(reference)
        guard entry.isUnreadable, entry.id != reference else { return entry }
        throw Failure(
            .damaged, "could not tell which backup is the latest: the record of backup \(entry.id) cannot be read",
            details: ["\(directory(of: entry.id).appending(Self.recordName))"],
            hint: "Name a backup by its id: pgark list. What is wrong: pgark verify \(entry.id)")
    }

    /// As `find`; but `latest` is by its id the newest also where its record cannot be read.
    package func findMaybeUnreadable(_ reference: String) throws -> Entry {
        if Self.isIdentifier(reference), let entry = try entry(reference) { return entry }
        let (complete, unreadable) = try positions()
        let found =
            switch reference {
            case "latest": complete.first
            case "oldest": complete.last
            default: complete.first { $0.position.name == reference }
            }
        if reference == "latest", let newest = unreadable.max(by: { $0.id < $1.id }), newest.id > found?.id ?? "" {
            return newest
        }
        if let found, let entry = try entry(found.id) { return entry }
        throw Failure(
            .backupMissing, "could not find backup \"\(reference)\" of cluster \"\(repository.cluster)\"",
            details: [complete.isEmpty ? "there is no complete backup" : "there are \(complete.count) complete backups"],
            hint: complete.isEmpty ? "Take one: pgark backup" : "List them: pgark list")
    }

    private func entry(_ id: String) throws -> Entry? {
        try Repository.reaching(repository.root) {
            try entry(id, directory(of: id), isBusy: LockFile.isHeld(repository.writeLock))
        }
    }

    /// The complete backups whose records can be read, newest first, and those whose records cannot.
    private func positions() throws -> (complete: [(id: String, position: Position)], unreadable: [Entry]) {
        let order = try systemOrder()
        var complete: [(id: String, position: Position)] = []
        var unreadable: [Entry] = []
        for (id, path) in try directories() {
            // What is wrong with a record shows when its entry is made.
            if let position: Position = try? read(id, path) {
                complete.append((id, position.placed(order)))
            } else if let entry = try entry(id, path, isBusy: false), entry.isUnreadable {
                unreadable.append(entry)
            }
        }
        return (complete.sorted { $0.position > $1.position }, unreadable)
    }

    package func findComplete(_ reference: String) throws -> (entry: Entry, record: BackupRecord) {
        let entry = try find(reference)
        guard let record = entry.record else {
            throw Failure(
                entry.isUnreadable ? .damaged : .backupMissing,
                "could not use backup \"\(entry.id)\": "
                    + (entry.isUnreadable ? "its record cannot be read" : "it is \(entry.status.rawValue)"),
                hint: "List them: pgark list")
        }
        return (entry, record)
    }

    // MARK: Changes

    /// Makes a backup visible: the last step, durable when it returns.
    func commit(_ record: BackupRecord) throws {
        try SmallFile.write(
            try record.bytes(), to: directory(of: record.id).appending(Self.recordName), permissions: Repository.filePermissions)
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

/// What can be read of a record, by itself.
private protocol BackupRecordPart: JSONReadable {
    var format: Int { get }
}

extension BackupRecord: BackupRecordPart {}

/// What tells a backup's place among the others. To find one, no more is read of each.
private struct Position: BackupRecordPart, Comparable {
    let format: Int
    let name: String?
    let systemIdentifier: SystemIdentifier
    /// Later systems come after earlier ones, whatever their timelines and positions: pg_upgrade begins both anew.
    private var system = -1
    let timeline: TimelineID
    let endLSN: LSN
    let endTime: Timestamp

    init(of record: BackupRecord) {
        format = record.format
        name = record.name
        systemIdentifier = record.systemIdentifier
        timeline = record.timeline
        endLSN = record.endLSN
        endTime = record.endTime
    }

    func placed(_ order: [SystemIdentifier: Int]) -> Position {
        var position = self
        position.system = order[systemIdentifier] ?? -1
        return position
    }

    static func < (a: Position, b: Position) -> Bool {
        (a.system, a.timeline, a.endLSN, a.endTime) < (b.system, b.timeline, b.endLSN, b.endTime)
    }

    init(_ json: JSONValue) throws {
        let fields = try json.fields(BackupRecord.CodingKeys.self)
        (format, name, timeline) = try (fields[.format], fields[ifAny: .name], fields[.timeline])
        systemIdentifier = try fields[.systemIdentifier]
        (endLSN, endTime) = try (fields[.endLSN], fields[.endTime])
    }
}
