import PostgresModel
package import Repository
import Storage
import SystemPackage

/// Carries out a restore plan: writes the files, puts the configuration back, leaves recovery settings, makes it all
/// durable. The control file comes last, so a directory whose restore was cut short never starts.
package struct RestoreJob {
    package struct Settings: Sendable {
        /// The command that PostgreSQL runs to get WAL, with %f and %p.
        package var restoreCommand: String
        /// Become a standby of this server (a connection string without a password), not a primary.
        package var standby: Standby?
        /// Threads that read and write.
        package var threads: Int

        package init(restoreCommand: String, standby: Standby?, threads: Int) {
            self.restoreCommand = restoreCommand
            self.standby = standby
            self.threads = threads
        }
    }

    package struct Standby: Sendable {
        package var primaryConnection: String
        package var slot: String?

        package init(primaryConnection: String, slot: String?) {
            self.primaryConnection = primaryConnection
            self.slot = slot
        }
    }

    package struct Outcome: Sendable {
        package let files: Int
        package let bytes: Int
        package let configuration: RestoredConfiguration
    }

    private let catalogue: Catalogue
    private let plan: RestorePlan
    private let destination: RestoreDestination
    private let settings: Settings
    private let reporter: Reporter

    package init(
        catalogue: Catalogue, plan: RestorePlan, destination: RestoreDestination, settings: Settings, reporter: Reporter
    ) {
        self.catalogue = catalogue
        self.plan = plan
        self.destination = destination
        self.settings = settings
        self.reporter = reporter
    }

    package func run() throws -> Outcome {
        let lock = try catalogue.repository.lockForReading(to: "restore")
        defer { withExtendedLifetime(lock) {} }
        try destination.check(plan.record)
        let reader = BackupReader(catalogue: catalogue, record: plan.record)
        let claim = try destination.prepare(permissions: try permissions(reader))
        defer { withExtendedLifetime(claim) {} }
        let written = try writeFiles(reader)
        try copyManifest(reader)
        let configuration = try RestoredConfiguration(reader, destination)
        try RecoverySettings(plan: plan, settings: settings, destination: destination).write()
        for place in destination.places { try File.synchronizeFileSystem(of: place) }
        try writeControlFile(written.control, reader)
        try destination.finish()
        return Outcome(files: written.files, bytes: written.bytes, configuration: configuration)
    }

    /// A cluster made with group access keeps it (documentation: initdb --allow-group-access).
    private func permissions(_ reader: BackupReader) throws -> UInt32 {
        var permissions: UInt32 = 0o700
        try reader.entries { if $0.path == "PG_VERSION", $0.mode & 0o040 != 0 { permissions = 0o750 } }
        return permissions
    }

    private struct Written {
        var files = 0
        var bytes = 0
        var control: MapEntry?
    }

    private func writeFiles(_ reader: BackupReader) throws -> Written {
        var written = Written()
        let pool = try FrameWriterPool(reader, owner: destination.owner, threads: settings.threads)
        do {
            try reader.entries { entry in
                try Interruption.check()
                let path = destination.path(of: entry.path)
                switch entry.kind {
                case .directory:
                    try Directory.create(path, permissions: entry.mode, owner: destination.owner)
                    try Directory.setPermissions(of: path, entry.mode)
                case .link(let target): try link(entry.path, to: target, at: path)
                case .file(let size, _, let extents):
                    written.files += 1
                    written.bytes += size
                    if entry.path == ControlFile.name {
                        written.control = entry
                    } else {
                        try pool.write(extents, to: path, mode: entry.mode)
                    }
                }
                reporter.progress(pool.writtenBytes, plan.record.dataBytes)
            }
            try pool.finish { reporter.progress($0, plan.record.dataBytes) }
        } catch {
            pool.cancel()
            throw error
        }
        return written
    }

    /// A tablespace's link leads to where this restore put it.
    private func link(_ name: String, to target: String, at path: FilePath) throws {
        let oid = name.hasPrefix("pg_tblspc/") ? String(name.dropFirst("pg_tblspc/".count)) : nil
        if let oid, let place = destination.tablespaces[oid] {
            try Directory.link(place.string, at: destination.directory.appending(name), owner: destination.owner)
        } else {
            try Directory.link(target, at: path, owner: destination.owner)
        }
    }

    private func copyManifest(_ reader: BackupReader) throws {
        try reader.requireUndamaged(reader.manifestPath, plan.record.manifest)
        let source = try File(reader.manifestPath, .read)
        let target = try File(destination.directory.appending("backup_manifest"), .replace)
        try target.setOwnerIfRoot(destination.owner)
        var offset = 0
        while true {
            let bytes = try source.bytes(at: offset, count: 1 << 20)
            if bytes.isEmpty { return }
            try bytes.withUnsafeBytes { try target.write($0, at: offset) }
            offset += bytes.count
        }
    }

    private func writeControlFile(_ entry: MapEntry?, _ reader: BackupReader) throws {
        guard let entry, case .file(_, _, let extents) = entry.kind else {
            throw Failure(.damaged, "could not restore backup \(plan.record.id): its map has no \(ControlFile.name)")
        }
        let frames = try reader.frames()
        var content: [UInt8] = []
        for extent in extents { try frames.bytes(extent) { content += $0 } }
        try SmallFile.write(
            content, to: destination.path(of: entry.path), permissions: entry.mode,
            owner: Owner.current.isRoot ? destination.owner : nil)
    }
}

extension File {
    /// Only root may give files away, and only root has to.
    func setOwnerIfRoot(_ owner: Owner) throws {
        if Owner.current.isRoot { try setOwner(owner) }
    }
}
