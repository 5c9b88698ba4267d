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
            try facts.fill(from: Repository(root: settings.path, cluster: cluster))
        } catch let failure as Failure {
            facts.failure = failure
        } catch {
            facts.failure = Failure(.internalError, "could not read the repository \(settings.path): \(error)")
        }
        return facts
    }

    private mutating func fill(from repository: Repository) throws {
        guard try Directory.exists(path) else { return }
        exists = true
        (free, total, _) = try Directory.space(at: path)
        let system = try repository.system()
        isWritable = Self.allows(writing: repository, system)
        guard let system else { return }
        systemIdentifier = system.systemIdentifier
        let archive = WALArchive(repository, system: system)
        // The archive is listed once, however many backups there are.
        let segments = try archive.segments()
        let ranges = archive.ranges(of: segments)
        try readWAL(archive, ranges)
        walBytes = ByteCount(try archive.storedBytes(of: segments).values.reduce(0, +))
        try readBackups(Catalogue(repository), ranges)
    }

    private static func allows(writing repository: Repository, _ system: Repository.System?) -> Bool {
        let places = system.map { [repository.wal(of: $0), repository.incoming(of: $0)] } ?? []
        return ([repository.root, repository.directory, repository.packs, repository.backups] + places)
            .allSatisfy { $0.withPlatformString { access($0, W_OK) == 0 || errno == ENOENT } }
    }

    private mutating func readWAL(_ archive: WALArchive, _ ranges: [WALArchive.Range]) throws {
        segmentCount = ranges.reduce(0) { $0 + $1.segments }
        gaps = try Self.gaps(ranges, archive)
        receiver.isRunning = try archive.isReceiving()
        receiver.receivedLSN = ranges.last?.to
        receiver.timeline = ranges.last?.timeline
        if let moment = try archive.moment() { receiver.caughtUp = (moment.time, moment.durableLSN) }
    }

    private mutating func readBackups(_ catalogue: Catalogue, _ ranges: [WALArchive.Range]) throws {
        backups = try catalogue.entries().map { entry in
            Backup(
                id: entry.id, status: Backup.Status(rawValue: entry.status.rawValue) ?? .failed,
                content: entry.record.map { record in
                    Backup.Content(
                        beginLSN: record.beginLSN, endLSN: record.endLSN, timeline: record.timeline, endTime: record.endTime,
                        dataBytes: ByteCount(record.dataBytes), badPages: record.badPages.count,
                        configurationMissing: record.configurationMissing,
                        walReach: Self.reach(of: ranges, from: record.beginLSN, on: record.timeline))
                })
        }
    }

    private static func reach(of ranges: [WALArchive.Range], from start: LSN, on timeline: TimelineID) -> LSN? {
        ranges.last { $0.timeline == timeline && $0.from <= start && start <= $0.to }?.to
    }

    /// Between the ranges of a timeline, and where one timeline leaves another.
    private static func gaps(_ ranges: [WALArchive.Range], _ archive: WALArchive) throws -> [Gap] {
        var gaps = zip(ranges, ranges.dropFirst()).compactMap { last, next in
            last.timeline == next.timeline ? Gap(timeline: last.timeline, from: last.to, to: next.from) : nil
        }
        for timeline in Set(ranges.map(\.timeline)).sorted() {
            // A switchpoint lies within a segment, whose first part the new timeline's file repeats.
            guard let begin = try archive.history(of: timeline)?.ancestors.last,
                let parent = ranges.last(where: { $0.timeline == begin.timeline && $0.from < begin.end }),
                let child = ranges.first(where: { $0.timeline == timeline })
            else { continue }
            let needed = archive.segmentSize.start(of: begin.end)
            if parent.to < needed { gaps.append(Gap(timeline: begin.timeline, from: parent.to, to: needed)) }
            if child.from > needed { gaps.append(Gap(timeline: timeline, from: max(begin.end, needed), to: child.from)) }
        }
        return gaps
    }
}
