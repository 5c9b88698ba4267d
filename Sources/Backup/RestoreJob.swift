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
        /// Where the server could not get WAL by itself: all of it is put into pg_wal.
        package var bringsWAL: Bool
        /// Become a standby of this server (a connection string without a password), not a primary.
        package var standby: Standby?
        /// Archive as the server does that it is made of; a standby does in any case, from its promotion on.
        package var archives: Bool
        /// Threads that read and write.
        package var threads: Int

        package init(
            restoreCommand: String, bringsWAL: Bool = false, standby: Standby?, archives: Bool = false, threads: Int
        ) {
            self.restoreCommand = restoreCommand
            self.bringsWAL = bringsWAL
            self.standby = standby
            self.archives = archives
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
        let reader = BackupReader(catalogue: catalogue, record: plan.record)
        try destination.check(reader)
        let outline = try MapOutline(reader, destination)
        let claim = try destination.prepare(outline, plan.record)
        defer { withExtendedLifetime(claim) {} }
        let writer = DataDirectoryWriter(
            reader: reader, outline: outline, destination: destination, threads: settings.threads,
            reuses: destination.reusesContent, reporter: reporter)
        let written = try writer.run()
        let configuration = try RestoredConfiguration(reader, destination)
        if settings.bringsWAL { try bringWAL(reader) }
        try RecoverySettings(plan: plan, settings: settings, destination: destination).write()
        try RestoreMark.write(destination, plan.record)
        let own = (configuration.files + configuration.unused + [RestoreMark.name]).map {
            ($0, destination.directory.appending($0))
        }
        try RestoredManifest(reader: reader, own: Dictionary(own) { $1 }).write(
            in: destination.directory, owner: destination.owner)
        for place in destination.places { try File.synchronizeFileSystem(of: place) }
        try writer.writeControlFile(written.control)
        try destination.finish()
        return Outcome(
            files: written.files, bytes: written.bytes, writtenBytes: written.writtenBytes, configuration: configuration)
    }

    private func bringWAL(_ reader: BackupReader) throws {
        guard let history = try reader.walArchive().history(of: plan.timeline) else {
            throw Failure(.targetUnreachable, "could not restore: the history of timeline \(plan.timeline) is not stored")
        }
        let place = destination.directory.appending("pg_wal"), owner = destination.ownerIfRoot
        try Directory.create(place.appending("archive_status"), owner: owner)
        for source in try ExportedWAL(reader, to: plan.walTo, along: history, promotes: settings.standby == nil).files {
            try Interruption.check()
            let file = try File(place.appending(source.name), .replace)
            var offset = 0
            try source.content {
                try file.write($0, at: offset)
                offset += $0.count
            }
            if let owner { try file.setOwner(owner) }
        }
    }
}

extension File {
    /// Only root may give files away, and only root has to.
    func setOwnerIfRoot(_ owner: Owner) throws {
        if Owner.current.isRoot { try setOwner(owner) }
    }
}
