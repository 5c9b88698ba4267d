package import PostgresModel
package import Storage
package import SystemPackage

/// One cluster's part of a repository: where its files lie, whose they are, and who may change them.
///
/// The layout is specified in docs/repository-format.md. Nothing is visible in the catalogue before its
/// `backup.json` is, and that is written last: whatever lacks one is garbage.
package struct Repository: Sendable {
    package static let formatVersion = 1

    /// The repository's own directory and, below it, this cluster's.
    package let root: FilePath
    package let cluster: String
    package var directory: FilePath { root.appending(cluster) }

    package init(root: FilePath, cluster: String) {
        self.root = root
        self.cluster = cluster
    }

    package var packs: FilePath { directory.appending("packs") }
    package var backups: FilePath { directory.appending("backups") }
    package var locks: FilePath { directory.appending("locks") }
    private var clusterFile: FilePath { directory.appending("cluster.json") }
    private var repositoryFile: FilePath { root.appending("repository.json") }

    static let filePermissions: UInt32 = 0o640
    static let directoryPermissions: UInt32 = 0o750

    // MARK: Whose data this is

    package struct System: Codable, Sendable, Equatable {
        package var systemIdentifier: SystemIdentifier
        package var serverMajor: Int
        package var walSegmentSize: WALSegmentSize
        /// Where its `wal` and `incoming` are, below the cluster's directory. Nil for a cluster's first system: in that itself.
        /// Only the repository knows it: whoever has asked a server who it is goes on with what `prepare` returns.
        package fileprivate(set) var folder: String?

        package init(systemIdentifier: SystemIdentifier, serverMajor: Int, walSegmentSize: WALSegmentSize) {
            self.systemIdentifier = systemIdentifier
            self.serverMajor = serverMajor
            self.walSegmentSize = walSegmentSize
        }

        private enum CodingKeys: String, CodingKey {
            case systemIdentifier = "system_identifier", serverMajor = "server_major", walSegmentSize = "wal_segment_bytes"
            case folder
        }
    }

    /// Where a system's WAL is kept. Two systems of one cluster may have segments of the same names: pg_upgrade begins anew
    /// on timeline 1.
    package func place(of system: System) -> FilePath { system.folder.map { directory.pushing(FilePath($0)) } ?? directory }
    package func wal(of system: System) -> FilePath { place(of: system).appending("wal") }
    package func incoming(of system: System) -> FilePath { place(of: system).appending("incoming") }

    private struct ClusterRecord: Codable {
        var format: Int
        var name: String
        /// Oldest first; the last one is current.
        var systems: [System]
    }

    private struct RepositoryRecord: Codable {
        var format: Int
        var id: String
    }

    /// The systems whose backups and WAL are kept here, oldest first: more than one where the cluster was upgraded.
    package func systems() throws -> [System] {
        try checkRepositoryFile()
        guard let record: ClusterRecord = try Self.reaching(root, { try Record.read(clusterFile) }) else { return [] }
        try Self.check(format: record.format, of: clusterFile)
        return record.systems
    }

    /// The system that is current; nil where nothing was stored yet.
    package func system() throws -> System? { try systems().last }

    /// One of the systems, also where the cluster has been upgraded since.
    package func system(_ identifier: SystemIdentifier) throws -> System {
        if let known = try systems().last(where: { $0.systemIdentifier == identifier }) { return known }
        throw Failure(
            .foreignSystem, "could not find system \(identifier) in the repository \(directory)",
            details: ["there: \(try systems().map(\.systemIdentifier.description).joined(separator: ", "))"],
            hint: "See whose backups are there: pgark list")
    }

    /// As `system`, where nothing stored is an error.
    package func requireSystem() throws -> System {
        if let system = try system() { return system }
        throw Failure(
            .clusterMissing, "could not find cluster \"\(cluster)\" in the repository \(root): nothing was stored for it yet",
            hint: "Take a first backup: pgark backup")
    }

    /// Makes the repository ready for `system`, creating what is missing, and returns how it is known here. Refuses another
    /// system's data.
    @discardableResult
    package func prepare(for system: System) throws -> System {
        guard let known = try self.system() else { return try begin(system) }
        try requireSame(known, system)
        try Self.reaching(root) { try createDirectories(known) }
        return known
    }

    private func begin(_ system: System) throws -> System {
        try Self.reaching(root) {
            try Directory.create(root, permissions: Self.directoryPermissions)
            if try !Directory.exists(repositoryFile) {
                try Record.write(RepositoryRecord(format: Self.formatVersion, id: Self.newIdentifier()), to: repositoryFile)
            }
            try createDirectories(system)
            try Record.write(
                ClusterRecord(format: Self.formatVersion, name: cluster, systems: [system]), to: clusterFile)
        }
        return system
    }

    private func requireSame(_ known: System, _ system: System) throws {
        guard known.systemIdentifier == system.systemIdentifier else {
            let isEarlier = try systems().contains { $0.systemIdentifier == system.systemIdentifier }
            throw Failure(
                .foreignSystem,
                "could not use the repository \(directory): it holds another system's data",
                details: ["system identifier there \(known.systemIdentifier), of the server \(system.systemIdentifier)"]
                    + (isEarlier ? ["the server's is that of the cluster before its upgrade"] : []),
                hint: isEarlier
                    ? "Is this the server of before the upgrade? Correct its node in the cluster file."
                    : "Give this server its own cluster name or its own repository path in the cluster file. "
                        + "Where it is this cluster after pg_upgrade: pgark upgrade")
        }
        guard known.walSegmentSize == system.walSegmentSize else {
            throw Failure(
                .unsupported, "could not use the repository \(directory): the server's WAL segment size changed",
                details: ["\(known.walSegmentSize.bytes) bytes there, \(system.walSegmentSize.bytes) of the server"],
                hint: "Give the server a new cluster name in the cluster file, and take a backup: pgark backup")
        }
    }

    /// From now on `system` is current: pg_upgrade gave the cluster a new identifier. What is stored of the earlier ones stays.
    /// Durable when it returns. The caller holds the locks for writing and for receiving.
    package func succeed(by system: System) throws {
        var systems = try systems()
        guard !systems.contains(where: { $0.systemIdentifier == system.systemIdentifier }) else {
            throw Failure(
                .foreignSystem, "could not make system \(system.systemIdentifier) the current one: it is known here already",
                details: ["current is \(systems.last?.systemIdentifier.description ?? "none")"])
        }
        var system = system
        system.folder = systems.isEmpty ? nil : "systems/\(system.systemIdentifier)"
        systems.append(system)
        try Self.reaching(root) {
            try createDirectories(system)
            try Record.write(ClusterRecord(format: Self.formatVersion, name: cluster, systems: systems), to: clusterFile)
        }
    }

    private func createDirectories(_ system: System) throws {
        for path in [wal(of: system), incoming(of: system), packs, backups, locks] {
            try Directory.create(path, permissions: Self.directoryPermissions)
        }
    }

    /// Removes what killed processes left half written of the records here. The caller holds the write lock.
    package func removeLeftovers() throws {
        for place in [root, directory] {
            for name in try Directory.names(in: place) ?? [] where SmallFile.isAbandoned(name) {
                try Directory.remove(place.appending(name))
            }
        }
    }

    /// The number that it was given when it was made; empty where nothing was stored yet.
    package func identifier() throws -> String {
        let record: RepositoryRecord? = try Self.reaching(root) { try Record.read(repositoryFile) }
        return record?.id ?? ""
    }

    private func checkRepositoryFile() throws {
        guard let record: RepositoryRecord = try Self.reaching(root, { try Record.read(repositoryFile) }) else { return }
        try Self.check(format: record.format, of: repositoryFile)
    }

    private static func check(format: Int, of path: FilePath) throws {
        guard format == formatVersion else {
            throw Failure(
                .unsupported, "could not use \(path): its format is \(format), this pgark knows \(formatVersion)",
                hint: "Use the pgark that wrote it, or a newer one.")
        }
    }

    /// Says of a failure that it is the repository that cannot be reached.
    package static func reaching<Value>(_ root: FilePath, _ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch let failure as Failure where failure.code == .permissionDenied || failure.code == .inputOutput {
            throw Failure(
                .repositoryUnreachable, "could not reach the repository \(root): \(failure.message)", details: failure.details,
                hint: failure.hint
                    ?? "Check repository.path in the cluster file, and that this user may write there: ls -ld \(root)")
        }
    }

    private static func newIdentifier() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<2).map { _ in
            let digits = String(generator.next(), radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }

    // MARK: Locks

    /// Held by whatever adds or removes backups: one at a time.
    package func lockForWriting(to verb: String) throws -> LockFile {
        try lock(writeLock, "pgark \(verb)", to: verb)
    }

    package var writeLock: FilePath { locks.appending("write.lock") }

    /// Held shared by whatever reads a backup's content for a while; exclusively by what removes content.
    package func lockForReading(to verb: String) throws -> LockFile {
        try lock(readLock, exclusive: false, "pgark \(verb)", to: verb)
    }

    package func lockAgainstReaders(to verb: String) throws -> LockFile {
        if let lock = try Self.reaching(root, { try LockFile.take(readLock, purpose: "pgark \(verb)") }) { return lock }
        // Several may read at once, so the lock does not say who.
        throw Failure(
            .locked, "could not \(verb): a restore or a verification is reading this cluster's backups",
            details: ["lock file \(readLock)"], hint: "Wait for it to end, then run the command again.")
    }

    /// Held by `wal receive` for as long as it runs.
    package func lockForReceiving() throws -> LockFile {
        try Self.reaching(root) { try Directory.create(locks, permissions: Self.directoryPermissions) }
        return try lock(receiveLock, "pgark wal receive", to: "receive WAL")
    }

    /// Held by what a timer runs, from before it waits for others until it ends; nil where the run before still does.
    package func lockForScheduled(_ command: String) throws -> LockFile? {
        try Self.reaching(root) {
            try Directory.create(locks, permissions: Self.directoryPermissions)
            return try LockFile.take(locks.appending("scheduled-\(command).lock"), purpose: "pgark \(command) --scheduled")
        }
    }

    /// Throws where somebody holds the lock for writing now.
    package func requireIdle(to verb: String) throws {
        try Self.reaching(root) { if try Directory.exists(locks) { _ = try lockForWriting(to: verb) } }
    }

    private func lock(_ path: FilePath, exclusive: Bool = true, _ purpose: String, to verb: String) throws -> LockFile {
        try Self.reaching(root) { try LockFile.require(path, exclusive: exclusive, purpose: purpose, to: verb) }
    }

    private var readLock: FilePath { locks.appending("read.lock") }
    /// Held by whoever streams WAL into `incoming`.
    package var receiveLock: FilePath { locks.appending("receive.lock") }
}
