import Glibc
import PostgresModel
import Repository
import Storage
import SystemPackage

extension RepositoryFacts {
    /// Reads them. A repository that cannot be read is a fact too.
    package static func read(_ settings: ClusterFile.RepositorySettings, cluster: String) -> RepositoryFacts {
        var facts = RepositoryFacts(path: settings.path)
        do {
            facts.scheduledSince = try scheduledSince(cluster)
            facts.isSetUp = try Directory.exists(RepositoryHost.configuration(cluster))
            try facts.fill(from: Repository(root: settings.path, cluster: cluster))
        } catch let failure as Failure {
            facts.failure = failure
        } catch {
            facts.failure = Failure(.internalError, "could not read the repository \(settings.path): \(error)")
        }
        return facts
    }

    private static func scheduledSince(_ cluster: String) throws -> Timestamp? {
        let names = ServiceNames(cluster)
        return try [names.cron, ServiceNames.path(ofUnit: names.timer("maintain"))]
            .compactMap { try Directory.status($0)?.modified }.max()
    }

    private mutating func fill(from repository: Repository) throws {
        guard try Directory.exists(path) else { return }
        exists = true
        (free, total, _) = try Directory.space(at: path)
        let system = try repository.system()
        isWritable = Self.allows(writing: repository, system)
        guard let system else { return }
        systemIdentifier = system.systemIdentifier
        let inventory = try Inventory(repository)
        try readWAL(inventory)
        try readBackups(inventory)
        maintained = try repository.lastMaintenance()
    }

    private static func allows(writing repository: Repository, _ system: Repository.System?) -> Bool {
        let places = system.map { [repository.wal(of: $0), repository.incoming(of: $0)] } ?? []
        return ([repository.root, repository.directory, repository.packs, repository.backups] + places)
            .allSatisfy { $0.withPlatformString { access($0, W_OK) == 0 || errno == ENOENT } }
    }

    /// Of the current system, and what all of them take.
    private mutating func readWAL(_ inventory: Inventory) throws {
        walBytes = ByteCount(
            try inventory.parts.reduce(0) { try $0 + $1.archive.storedBytes(of: $1.segments).values.reduce(0, +) })
        guard let part = inventory.current else { return }
        segmentCount = part.segments.count
        gaps = part.wal.gaps
        receiver.isRunning = try part.archive.isReceiving()
        receiver.receivedLSN = part.wal.ranges.last?.to
        receiver.timeline = part.wal.ranges.last?.timeline
        receiver.durableLSN = try part.archive.moment()?.durableLSN
    }

    private mutating func readBackups(_ inventory: Inventory) throws {
        let wal = Dictionary(
            inventory.parts.map { ($0.archive.system.systemIdentifier, $0.wal) }, uniquingKeysWith: { _, last in last })
        backups = inventory.entries.map { entry in
            Backup(
                id: entry.id, status: Backup.Status(rawValue: entry.status.rawValue) ?? .failed,
                content: entry.record.map { record in
                    Backup.Content(
                        beginLSN: record.beginLSN, endLSN: record.endLSN, timeline: record.timeline,
                        beginTime: record.beginTime, endTime: record.endTime, dataBytes: ByteCount(record.dataBytes),
                        badPages: record.badPages.count,
                        configurationMissing: record.configurationMissing,
                        isRestorable: wal[record.systemIdentifier]?.isWhole(
                            from: record.beginLSN, to: record.endLSN, on: record.timeline) ?? false)
                })
        }
    }
}
