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
        /// What was not in place already.
        package let writtenBytes: Int
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
        let claim = try destination.prepare(permissions: try permissions(reader), plan.record)
        defer { withExtendedLifetime(claim) {} }
        let written = try DataDirectoryWriter(
            reader: reader, destination: destination, threads: settings.threads, reuses: destination.reusesContent,
            reporter: reporter
        ).run()
        let configuration = try RestoredConfiguration(reader, destination)
        try RecoverySettings(plan: plan, settings: settings, destination: destination).write()
        try RestoreMark(destination, plan.record).write(owner: Owner.current.isRoot ? destination.owner : nil)
        try RestoredManifest(reader: reader, destination: destination, own: configuration.files + [RestoreMark.name]).write()
        for place in destination.places { try File.synchronizeFileSystem(of: place) }
        try writeControlFile(written.control, reader)
        try destination.finish()
        return Outcome(
            files: written.files, bytes: written.bytes, writtenBytes: written.writtenBytes, configuration: configuration)
    }

    /// A cluster made with group access keeps it (documentation: initdb --allow-group-access).
    private func permissions(_ reader: BackupReader) throws -> UInt32 {
        var permissions: UInt32 = 0o700
        try reader.entries { if $0.path == "PG_VERSION", $0.mode & 0o040 != 0 { permissions = 0o750 } }
        return permissions
    }

    private func writeControlFile(_ entry: MapEntry?, _ reader: BackupReader) throws {
        guard let entry, case .file(let size, _, let extents) = entry.kind else {
            throw Failure(.damaged, "could not restore backup \(plan.record.id): its map has no \(ControlFile.name)")
        }
        let frames = try reader.frames()
        var content: [UInt8] = []
        for extent in extents { content += try frames.blocks(extent) }
        content.removeLast(content.count - size)
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
