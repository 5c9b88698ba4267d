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
            try TarExport(reader: reader, directory: directory, wal: ExportedWAL(reader), reporter: reporter).run()
        }
    }

    private func exportDirectory(_ destination: RestoreDestination) throws -> Outcome {
        try destination.check(reader)
        let wal = try ExportedWAL(reader)
        let outline = try MapOutline(reader, destination)
        let claim = try destination.prepare(outline, record)
        defer { withExtendedLifetime(claim) {} }
        let owner = Owner.current.isRoot ? destination.owner : nil
        let writer = DataDirectoryWriter(
            reader: reader, outline: outline, destination: destination, threads: threads, reuses: false, reporter: reporter)
        let written = try writer.run()
        let configuration = try RestoredConfiguration(reader, destination)
        try write(wal, destination, owner)
        try makeStartable(destination, owner)
        let own = (configuration.files + configuration.unused).map { ($0, destination.directory.appending($0)) }
        try RestoredManifest(reader: reader, own: Dictionary(own) { $1 }).write(
            in: destination.directory, owner: destination.owner)
        for place in destination.places { try File.synchronizeFileSystem(of: place) }
        try writer.writeControlFile(written.control)
        try destination.finish()
        return Outcome(files: written.files, bytes: written.bytes, notes: configuration.changes)
    }

    private func write(_ wal: ExportedWAL, _ destination: RestoreDestination, _ owner: Owner?) throws {
        for segment in wal.files {
            let file = try File(destination.directory.appending("pg_wal").pushing(FilePath(segment.name)), .replace)
            if let owner { try file.setOwner(owner) }
            var offset = 0
            try segment.content {
                try file.write($0, at: offset)
                offset += $0.count
            }
        }
    }

    private func makeStartable(_ destination: RestoreDestination, _ owner: Owner?) throws {
        for name in ExportedRecovery.leftOut { try Directory.remove(destination.directory.appending(name)) }
        guard ExportedRecovery.isNeeded(record) else { return }
        try SmallFile.write("", to: destination.directory.appending(ExportedRecovery.signal), owner: owner)
        let path = destination.directory.appending(ExportedRecovery.settingsName)
        let mode = try Directory.status(path)?.permissions ?? 0o600
        try SmallFile.write(
            ExportedRecovery.settings(record, after: try SmallFile.readText(path) ?? ""), to: path, permissions: mode,
            owner: owner)
    }
}
