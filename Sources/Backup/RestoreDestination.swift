import Glibc
import PostgresModel
package import Repository
package import Storage
package import SystemPackage

/// Where a restore writes: the data directory and its tablespaces, looked at before anything is touched (promise P5).
package struct RestoreDestination: Sendable {
    package let directory: FilePath
    /// Where each tablespace goes, by its oid.
    package let tablespaces: [String: FilePath]
    package let owner: Owner
    /// A directory that pgark made earlier is brought to the target; else every place must be empty.
    package let reusesContent: Bool

    /// In a directory while its restore is not complete: what is there is ours and can be begun anew.
    static let marker = "pgark_restore_incomplete"
    /// Files in which a restore speaks of its own directory: those of a backup speak of another one.
    static let ownNames: Set<String> = [marker, RestoreMark.name]

    /// `mapping` is what the person said: OLD=NEW, where OLD is the tablespace's location or its oid.
    package init(
        directory: FilePath, mapping: [(old: String, new: FilePath)], record: BackupRecord, reusesContent: Bool = false
    ) throws {
        self.directory = Directory.absolute(directory)
        self.reusesContent = reusesContent
        let outside = record.tablespaces.filter { !$0.location.isEmpty }
        var tablespaces: [String: FilePath] = [:]
        for space in outside {
            tablespaces[space.oid] =
                mapping.first { $0.old == space.oid || $0.old == space.location }
                .map { Directory.absolute($0.new) } ?? FilePath(space.location)
        }
        for (old, _) in mapping where !outside.contains(where: { $0.oid == old || $0.location == old }) {
            let known = outside.map { "\($0.oid) at \($0.location)" }
            throw Failure(
                .usage, "could not map tablespace \"\(old)\": backup \(record.id) does not have it",
                details: [
                    known.isEmpty
                        ? "it has no tablespaces outside its data directory" : "it has: \(known.joined(separator: ", "))"
                ])
        }
        self.tablespaces = tablespaces
        owner = try Self.owner(of: self.directory)
    }

    /// The server will not run as root: what root restores belongs to who owns the directory, else to `postgres`.
    private static func owner(of directory: FilePath) throws -> Owner {
        let own = Owner.current
        guard own.isRoot else { return own }
        if let status = try Directory.status(directory), !status.owner.isRoot { return status.owner }
        return Owner(account: "postgres") ?? own
    }

    /// All places that are written to.
    package var places: [FilePath] { [directory] + tablespaces.values.sorted { $0.string < $1.string } }

    // MARK: Refusals

    /// Throws unless every place may be written to. Nothing is changed.
    package func check(_ reader: BackupReader) throws {
        for place in places { try check(place, reader.record) }
        for (index, place) in places.enumerated() {
            for other in places[(index + 1)...] where other.starts(with: place) || place.starts(with: other) {
                throw Failure(
                    .usage, "could not restore to \(directory): \(place) and \(other) lie within each other",
                    hint: "Give each tablespace a directory of its own: --tablespace OLD=NEW")
            }
        }
        if reusesContent { try requireUndamaged(reader) }
        try checkSpace(reader)
    }

    private func check(_ place: FilePath, _ record: BackupRecord) throws {
        guard let status = try Directory.status(place) else { return }
        guard status.kind == .directory else {
            throw Failure(.directoryNotEmpty, "could not restore to \(place): it is not a directory")
        }
        let names = try names(in: place)
        if names.isEmpty { return }
        if let pid = try runningServer(in: place) {
            throw Failure(
                .serverRunning, "could not restore to \(place): a server runs there (process \(pid))",
                hint: "Restore to another directory, or stop that server first: pg_ctl -D \(place) stop")
        }
        if try isUnfinished(place) || isReusable(place, record) { return }
        if let system = try ControlFile.system(in: place), system != record.systemIdentifier {
            throw Failure(
                .foreignSystem, "could not restore to \(place): it holds another database system",
                details: ["system identifier there \(system), of the backup \(record.systemIdentifier)"],
                hint: "Choose an empty directory. Nothing there was touched.")
        }
        let there = "there: \(names.prefix(5).joined(separator: ", "))\(names.count > 5 ? " and \(names.count - 5) more" : "")"
        if reusesContent {
            throw Failure(
                .directoryNotEmpty, "could not restore to \(place): it is not empty, and it is not one that pgark made",
                details: [
                    there,
                    "pgark leaves \(RestoreMark.name) in a directory that it restores; a copy of the directory is another one",
                ],
                hint: "Choose an empty directory, or move this one away: mv \(place) \(place).old. Nothing there was touched.")
        }
        throw Failure(
            .directoryNotEmpty, "could not restore to \(place): it is not empty", details: [there],
            hint: place == directory
                ? try RestoreMark.read(in: directory) == nil
                    ? "Choose an empty directory, or move this one away: mv \(place) \(place).old"
                    : "pgark made it: bring it to the target with --delta, or move it away: mv \(place) \(place).old"
                : "Choose another place for the tablespace: --tablespace \(place)=NEW")
    }

    /// A directory that pgark made, of this very system, and the tablespaces that it made with it.
    private func isReusable(_ place: FilePath, _ record: BackupRecord) throws -> Bool {
        guard reusesContent, let mark = try RestoreMark.read(in: directory), mark.systemIdentifier == record.systemIdentifier
        else { return false }
        if let system = try ControlFile.system(in: directory), system != record.systemIdentifier { return false }
        if place == directory { return true }
        // The cluster may have left a tablespace since, and the location may be somebody else's now.
        return try tablespaces.contains { oid, location in
            let link = directory.appending("pg_tblspc").appending(oid)
            return try location == place && mark.tablespaces[oid] == RestoreMark.Place(place)
                && Directory.linkTarget(link) == place
        }
    }

    private func runningServer(in place: FilePath) throws -> Int32? {
        guard let first = try SmallFile.readText(place.appending("postmaster.pid"))?.split(whereSeparator: \.isNewline).first,
            let pid = Int32(String(first.filter { !$0.isWhitespace })), pid > 0
        else { return nil }
        return kill(pid, 0) == 0 || errno == EPERM ? pid : nil
    }

    /// What is between two states is nobody's, so a restore that is known to fail half-way is not begun.
    private func requireUndamaged(_ reader: BackupReader) throws {
        guard let problem = try reader.knownDamage().first else { return }
        throw Failure(
            .damaged, "could not restore backup \(reader.record.id) with --delta: it is known to be damaged",
            details: [problem.file + (problem.block.map { " block \($0)" } ?? "") + ": \(problem.message)"],
            hint: "Restore another backup, or this one into a new directory without --delta. Nothing was touched.")
    }

    // MARK: Preparation

    /// True where a restore to this very data directory was cut short: nothing there was ever complete, so it may be begun
    /// anew. A control file says that the data directory is complete, whatever else is there.
    private func isUnfinished(_ place: FilePath) throws -> Bool {
        guard try Directory.exists(directory.appending(Self.marker)),
            try !Directory.exists(directory.appending(ControlFile.name)),
            let text = try SmallFile.readText(place.appending(Self.marker))
        else { return false }
        return text == markerText
    }

    /// What is there, but for a marker that another restore was killed over before it had its name.
    private func names(in place: FilePath) throws -> [String] {
        try (Directory.names(in: place) ?? []).filter { !Self.isAbandonedMarker($0) }
    }

    private static func isAbandonedMarker(_ name: String) -> Bool { name.hasPrefix(marker + ".") && SmallFile.isAbandoned(name) }

    private var markerText: String { "pgark is restoring to \(directory)\n" }

    /// Makes every place a directory that says whose it is, with nothing of ours in it unless that is reused. The locks are to
    /// be held until `finish`: another restore to the same place would take our unfinished files for leftovers.
    func prepare(_ outline: MapOutline, _ record: BackupRecord) throws -> [LockFile] {
        for place in places { try Directory.create(place, permissions: outline.permissions, owner: owner) }
        let locks = try places.map(lock)
        // Another restore may have begun and ended there since we looked.
        for place in places { try check(place, record) }
        try writeMarker(in: directory)
        // Without its control file no server starts from what is between two states.
        try Directory.remove(directory.appending(ControlFile.name))
        if try Directory.exists(directory.appending("global")) { try Directory.synchronize(directory.appending("global")) }
        if !reusesContent { try removeLeftovers(outline) }
        for place in places {
            if place != directory { try writeMarker(in: place) }
            try Directory.setOwner(of: place, owner)
            try Directory.setPermissions(of: place, outline.permissions)
        }
        return locks
    }

    private func lock(_ place: FilePath) throws -> LockFile {
        if let lock = try LockFile.take(directory: place) { return lock }
        throw Failure(
            .locked, "could not restore to \(directory): another restore is writing there",
            details: ["locked directory \(place)"],
            hint: "Wait for it to end, or choose another directory.")
    }

    private func writeMarker(in place: FilePath) throws {
        for name in try Directory.names(in: place) ?? [] where Self.isAbandonedMarker(name) {
            try Directory.remove(place.appending(name))
        }
        try SmallFile.write(markerText, to: place.appending(Self.marker), owner: ownerIfRoot)
    }

    /// Removes what a restore that was cut short left.
    private func removeLeftovers(_ outline: MapOutline) throws {
        for name in try Directory.names(in: directory) ?? [] where name != Self.marker {
            try Directory.removeTree(directory.appending(name))
        }
        for name in outline.versionDirectories { try Directory.removeTree(path(of: name)) }
    }

    var ownerIfRoot: Owner? { Owner.current.isRoot ? owner : nil }

    func finish() throws {
        for place in places {
            try Directory.remove(place.appending(Self.marker))
            try Directory.synchronize(place)
        }
    }

    /// Where a path of the backup lies.
    func path(of name: String) -> FilePath {
        guard let (place, name) = tablespace(of: name) else { return directory.appending(name) }
        return name.isEmpty ? place : place.appending(String(name))
    }

    /// The tablespace's location and the path below it, for what lies in one outside of the data directory.
    func tablespace(of name: String) -> (place: FilePath, name: Substring)? {
        guard name.hasPrefix("pg_tblspc/") else { return nil }
        let parts = name.split(separator: "/", maxSplits: 2)
        guard parts.count > 1, let place = tablespaces[String(parts[1])] else { return nil }
        return (place, parts.count > 2 ? parts[2] : "")
    }
}

extension ControlFile {
    static let name = "global/pg_control"

    /// The system whose data directory this is; nil where it is none.
    static func system(in directory: FilePath) throws -> SystemIdentifier? {
        try SmallFile.read(directory.appending(name)).flatMap { ControlFile(bytes: $0) }?.systemIdentifier
    }
}
