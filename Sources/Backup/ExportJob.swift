import PostgresModel
package import Repository
import Storage
package import SystemPackage

/// Gives a backup out as what PostgreSQL's own programs make and understand: a data directory that can be started, or the
/// archives of `pg_basebackup --format=tar`. Nothing of pgark is needed to use it: the WAL that makes it consistent is in it.
package struct ExportJob {
    package enum Format: Sendable {
        case plain(RestoreDestination)
        /// Into this directory.
        case tar(FilePath)
    }

    package struct Outcome: Sendable {
        package var files = 0
        package var bytes = 0
        /// Paths of what was made, besides the data directory's own content.
        package var notes: [String] = []
    }

    private let reader: BackupReader
    private let format: Format
    private let threads: Int
    private let reporter: Reporter
    private let catalogue: Catalogue
    private var record: BackupRecord { reader.record }

    package init(catalogue: Catalogue, record: BackupRecord, format: Format, threads: Int, reporter: Reporter) {
        self.catalogue = catalogue
        reader = BackupReader(catalogue: catalogue, record: record)
        self.format = format
        self.threads = threads
        self.reporter = reporter
    }

    package func run() throws -> Outcome {
        let lock = try catalogue.repository.lockForReading(to: "export")
        defer { withExtendedLifetime(lock) {} }
        return switch format {
        case .plain(let destination): try exportDirectory(destination)
        case .tar(let directory):
            try TarExport(reader: reader, directory: directory, segments: segments(), reporter: reporter).run()
        }
    }

    private func exportDirectory(_ destination: RestoreDestination) throws -> Outcome {
        try destination.check(reader)
        let outline = try MapOutline(reader, destination)
        let claim = try destination.prepare(outline, record)
        defer { withExtendedLifetime(claim) {} }
        let owner = Owner.current.isRoot ? destination.owner : nil
        let writer = DataDirectoryWriter(
            reader: reader, outline: outline, destination: destination, threads: threads, reuses: false, reporter: reporter)
        let written = try writer.run()
        let configuration = try RestoredConfiguration(reader, destination)
        for (name, content) in try segments() {
            let file = try File(destination.directory.appending("pg_wal").appending(name), .replace)
            if let owner { try file.setOwner(owner) }
            var offset = 0
            try content {
                try file.write($0, at: offset)
                offset += $0.count
            }
        }
        try makeStartable(destination, owner)
        let own = (configuration.files + configuration.unused).map { ($0, destination.directory.appending($0)) }
        try RestoredManifest(reader: reader, own: Dictionary(own) { $1 }).write(
            in: destination.directory, owner: destination.owner)
        for place in destination.places { try File.synchronizeFileSystem(of: place) }
        try writer.writeControlFile(written.control)
        try destination.finish()
        return Outcome(files: written.files, bytes: written.bytes, notes: configuration.changes)
    }

    /// A primary's backup is started as it is. A standby's has the standby's signal file, and without archive recovery a
    /// server would not know where it is consistent (src/backend/access/transam/xlogrecovery.c, InitWalRecovery).
    private func makeStartable(_ destination: RestoreDestination, _ owner: Owner?) throws {
        for name in ["standby.signal", "recovery.signal"] { try Directory.remove(destination.directory.appending(name)) }
        guard record.fromStandby else { return }
        try SmallFile.write("", to: destination.directory.appending("recovery.signal"), owner: owner)
        let path = destination.directory.appending("postgresql.auto.conf")
        let settings = """
            # written by pgark export of backup \(record.id): all WAL that is needed is in pg_wal
            restore_command = 'false'
            recovery_target = 'immediate'
            recovery_target_action = 'promote'

            """
        let old = RecoverySettings.withoutDecided(try SmallFile.readText(path) ?? "")
        try SmallFile.write(old + settings, to: path, permissions: 0o600, owner: owner)
    }

    /// The WAL from the backup's begin to its end, as pg_wal has it: name and content, each segment in its full length.
    private func segments() throws -> [(name: String, content: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void)] {
        let (archive, size) = (reader.walArchive, record.walSegmentSize)
        var segments: [(String, ((UnsafeRawBufferPointer) throws -> Void) throws -> Void)] = []
        if let history = try SmallFile.read(archive.historyPath(record.timeline)) {
            segments.append((record.timeline.historyFileName, { body in try history.withUnsafeBytes(body) }))
        }
        let last = WALSegment(timeline: record.timeline, endingAt: record.endLSN, size: size)
        var segment = WALSegment(timeline: record.timeline, holding: record.beginLSN, size: size)
        while segment.number <= last.number {
            let current = segment
            guard try archive.place(of: current) != nil else {
                throw Failure(
                    .segmentMissing,
                    "could not export backup \(record.id): WAL segment \(current.name(size: size)) is not stored",
                    hint: "See what is stored: pgark wal status")
            }
            segments.append(
                (
                    current.name(size: size),
                    { body in
                        var count = 0
                        try archive.read(current) {
                            try body($0)
                            count += $0.count
                        }
                        let zeros = [UInt8](repeating: 0, count: 64 * 1024)
                        while count < size.bytes {
                            let piece = min(zeros.count, size.bytes - count)
                            try zeros.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[..<piece])) }
                            count += piece
                        }
                    }
                ))
            segment = segment.next
        }
        return segments
    }
}
