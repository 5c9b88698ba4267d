package import PostgresModel
import Storage

/// Everything that is stored for a cluster, listed once: its backups and the WAL of each of its systems.
package struct Inventory: Sendable {
    package struct Part: Sendable {
        package let archive: WALArchive
        package let segments: [(segment: WALSegment, place: WALArchive.Place)]
        package let wal: StoredWAL
        package let notedGaps: [WALArchive.Gap]

        package init(_ archive: WALArchive) throws {
            self.archive = archive
            notedGaps = try archive.notedGaps()
            segments = try archive.segments()
            wal = try StoredWAL(archive, segments)
        }

        /// When the newest stored segment of each timeline was written here, or of a later moment by its server's clock: this host's
        /// may have been behind.
        func lastActivity() throws -> [TimelineID: Timestamp] {
            var newest: [TimelineID: (segment: WALSegment, place: WALArchive.Place)] = [:]
            for found in segments { newest[found.segment.timeline] = found }
            let written = try newest.compactMapValues { try archive.modified($0.segment, $0.place) }
            return written.merging(wal.moments.compactMapValues(\.time).filter { newest[$0.key] != nil }, uniquingKeysWith: max)
        }
    }

    /// Oldest system first. Empty where nothing was stored yet.
    package let parts: [Part]
    /// Newest first.
    package let entries: [Catalogue.Entry]

    package init(_ repository: Repository) throws {
        let systems = try repository.systems()
        entries = try systems.isEmpty ? [] : Catalogue(repository).entries()
        parts = try systems.map { try Part(WALArchive(repository, system: $0)) }
    }

    package var current: Part? { parts.last }

    private func records(of part: Part) -> [BackupRecord] {
        entries.compactMap(\.record).filter { $0.systemIdentifier == part.archive.system.systemIdentifier }
    }

    package func window(of part: Part) -> RecoveryWindow {
        RecoveryWindow(part.wal, records(of: part), notedGaps: part.notedGaps)
    }

    /// What a policy makes of it at `now`.
    package func retention(_ policy: RetentionPolicy, now: Timestamp) throws -> Retention {
        let indices = Dictionary(
            parts.enumerated().map { ($0.element.archive.system.systemIdentifier, $0.offset) }, uniquingKeysWith: max)
        let backups = try entries.compactMap { entry -> Retention.Backup? in
            guard let record = entry.record else { return nil }
            guard let system = indices[record.systemIdentifier] else {
                throw Failure(
                    .damaged, "could not tell what to keep: backup \(entry.id) is of system \(record.systemIdentifier)",
                    details: ["the cluster's record does not name that system"], hint: "pgark show \(entry.id)")
            }
            return Retention.Backup(
                id: entry.id, system: system, timeline: record.timeline, beginLSN: record.beginLSN, endLSN: record.endLSN,
                endTime: record.endTime, isPinned: entry.isKept, isDamaged: entry.status == .damaged)
        }
        let systems = try parts.map { try Retention.System(wal: $0.wal, lastActivity: $0.lastActivity()) }
        return Retention(policy: policy, backups: backups, systems: systems, now: now)
    }
}

extension WALArchive {
    fileprivate func modified(_ segment: WALSegment, _ place: Place) throws -> Timestamp? {
        let path =
            switch place {
            case .archived: archivedPath(segment)
            case .complete: completePath(segment)
            case .partial: partialPath(segment)
            }
        return try Directory.status(path)?.modified
    }
}
