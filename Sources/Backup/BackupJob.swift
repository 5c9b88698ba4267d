import Glibc
package import Postgres
import PostgresModel
package import Repository
package import Storage
import SystemPackage

/// Takes one backup of a running server, primary or standby, over the replication protocol.
///
/// When it returns the backup is complete (promise P2): its stop position came from the server's last result set, and
/// the WAL up to there is durable in the repository. Interrupted or failed, it leaves the repository as it was.
package struct BackupJob {
    package struct Settings: Sendable {
        package var node: String
        package var connection: String
        package var name: String?
        /// Read and store everything, whatever earlier backups have.
        package var isFull: Bool
        package var level: CompressionLevel
        /// Threads that compress.
        package var threads: Int
        /// The slot of the cluster's WAL receiver.
        package var slot: SlotName

        package init(
            node: String, connection: String, name: String?, isFull: Bool = false, level: CompressionLevel, threads: Int,
            slot: SlotName
        ) {
            self.node = node
            self.connection = connection
            self.name = name
            self.isFull = isFull
            self.level = level
            self.threads = threads
            self.slot = slot
        }
    }

    private let repository: Repository
    private let settings: Settings
    private let reporter: Reporter

    package init(repository: Repository, settings: Settings, reporter: Reporter) {
        self.repository = repository
        self.settings = settings
        self.reporter = reporter
    }

    private static let application = "pgark backup"
    private static let mostAttempts = 3

    /// A server ends its backup where a directory goes between the moment in which it finds it and that in which it opens it;
    /// a file may go (src/backend/backup/basebackup.c, sendDir).
    private static let undefinedFile = "58P01"

    package func run() throws -> BackupRecord {
        var connection = try Connection(settings.connection, mode: .replication, application: Self.application)
        let server = try facts(of: connection)
        let system = try repository.prepare(for: server.system)
        let lock = try repository.lockForWriting(to: "take a backup")
        defer { withExtendedLifetime(lock) {} }
        let catalogue = Catalogue(repository)
        try collectLeftovers(catalogue)
        let wal = try WALCoverage(repository: repository, system: system, settings: settings, reporter: reporter)
        defer { wal.end() }
        var approach = try BackupApproach.choose(full: settings.isFull, catalogue, connection, server.identity)
        for _ in 1..<Self.mostAttempts {
            do {
                return try take(approach, connection, server, catalogue, wal)
            } catch {
                approach = try other(than: approach, after: error)
                connection = try Connection(settings.connection, mode: .replication, application: Self.application)
            }
        }
        return try take(approach, connection, server, catalogue, wal)
    }

    /// How to take it after all; throws what went wrong where that would go wrong again.
    private func other(than approach: BackupApproach, after obstacle: any Error) throws -> BackupApproach {
        switch obstacle {
        case let damage as ReferenceDamage:
            return readingEverything("backup \(approach.reference?.id ?? "") is damaged: \(damage.failure.message)")
        case is RelationsTruncatedMeanwhile:
            return readingEverything("a table was cut shorter while the backup began")
        case let failure as Failure where failure.code == .serverError && failure.hasSQLState(Self.undefinedFile):
            reporter.note("a database or a tablespace was dropped meanwhile (\(failure.message)); beginning again")
            return approach
        default: throw obstacle
        }
        func readingEverything(_ reason: String) -> BackupApproach {
            reporter.note("\(reason); reading everything")
            return approach.readingEverything(reason)
        }
    }

    /// One backup, from the server's checkpoint to the record.
    private func take(
        _ approach: BackupApproach, _ connection: Connection, _ server: ServerFacts, _ catalogue: Catalogue, _ wal: WALCoverage
    ) throws -> BackupRecord {
        let id = try BackupWriter.newIdentifier(in: catalogue, at: .now)
        let directory = catalogue.directory(of: id)
        do {
            try Directory.create(directory, permissions: 0o750)
            var source = try BackupSource(
                approach, connection, catalogue, label: "pgark \(id)", scratch: directory.appending("reference.tmp"), reporter)
            return try store(id, &source, server, catalogue, wal)
        } catch {
            connection.abort()
            // What was written is not part of any backup; what cannot be removed now, the next writer removes.
            _ = try? catalogue.collectLeftovers()
            throw error
        }
    }

    private func store(
        _ id: String, _ source: inout BackupSource, _ server: ServerFacts, _ catalogue: Catalogue, _ wal: WALCoverage
    ) throws -> BackupRecord {
        let begin = Timestamp.now
        let beginTime = try serverClock()
        let directory = catalogue.directory(of: id)
        let started = try source.begin(Connection(settings.connection, application: Self.application))
        let writer = try BackupWriter(
            catalogue: catalogue, id: id,
            settings: BackupWriter.Settings(
                level: settings.level, threads: settings.threads, backupBegin: started.lsn, checksPages: server.dataChecksums),
            reference: source.reference)
        do {
            let received = try ReceivedFiles(scratch: directory.appending("received.tmp"))
            let content = try source.stream.receive(into: writer, received, manifest: catalogue.manifestPath(id))
            let summary = try writer.finish()
            let endTime = try serverClock()
            guard content.end.timeline == started.timeline else {
                throw Failure(
                    .unsupported,
                    "could not complete the backup: the standby followed a switch to timeline "
                        + "\(content.end.timeline) while it was taken", hint: "Take it again: pgark backup")
            }
            try ManifestComparison(received: received, manifest: catalogue.manifestPath(id)).run()
            let configuration = try ConfigurationFiles(settings.connection, application: Self.application)
                .save(to: directory.appending("config"))
            let confirmed = try confirm(summary.badPages, since: started.lsn)
            let badPages = confirmed + summary.carriedBadPages
            try wal.wait(from: started.lsn, to: content.end.lsn, on: content.end.timeline)
            let manifest = try BackupWriter.describe(catalogue.manifestPath(id))
            let stored = summary.storedBytes + manifest.bytes + configuration.files.reduce(0) { $0 + $1.content.bytes }
            let record = BackupRecord(
                id: id, name: settings.name, cluster: repository.cluster, node: settings.node,
                method: source.reference == nil ? .full : .incremental, reference: source.reference?.record.id,
                readReason: source.reason, beginTime: beginTime, endTime: endTime, beginLSN: started.lsn,
                endLSN: content.end.lsn, timeline: content.end.timeline, systemIdentifier: server.system.systemIdentifier,
                serverVersion: server.version.description, fromStandby: server.isStandby,
                dataChecksums: server.dataChecksums, walSegmentSize: server.system.walSegmentSize,
                dataBytes: summary.dataBytes, readBytes: content.readBytes, storedBytes: stored,
                walBytes: content.end.lsn - started.lsn, durationSeconds: Timestamp.now - begin, files: summary.files,
                compression: "zstd:\(settings.level.rawValue)", map: summary.map,
                manifest: manifest, packs: summary.packs,
                tablespaces: started.tablespaces, configuration: configuration.files,
                configurationMissing: configuration.missing,
                badPages: badPages.sorted { ($0.path, $0.block) < ($1.path, $1.block) },
                tornPages: summary.badPages.filter { !confirmed.contains($0) })
            try Directory.synchronize(directory)
            try Interruption.check()
            try writer.commit(record)
            return record
        } catch {
            writer.cancel()
            throw error
        }
    }

    // MARK: Before

    private struct ServerFacts {
        let system: Repository.System
        let identity: Connection.SystemIdentity
        let version: ServerVersion
        let isStandby: Bool
        let dataChecksums: Bool
    }

    private func facts(of connection: Connection) throws -> ServerFacts {
        let version = connection.serverVersion
        guard ServerVersion.supportedMajors.contains(version.major) else {
            throw Failure(
                .unsupported, "could not back up the server at \(connection.location): PostgreSQL \(version) is not supported",
                details: ["supported are 15 to 18"])
        }
        let identity = try connection.identifySystem()
        guard try connection.show("block_size") == String(RelationFile.pageSize) else {
            throw Failure(.unsupported, "could not back up the server at \(connection.location): its block size is not 8192")
        }
        return ServerFacts(
            system: Repository.System(
                systemIdentifier: identity.systemIdentifier, serverMajor: version.major,
                walSegmentSize: try connection.walSegmentSize()),
            identity: identity, version: version, isStandby: try connection.show("in_hot_standby") == "on",
            dataChecksums: try connection.show("data_checksums") == "on")
    }

    /// An older backup that is damaged must not stop a new one.
    private func collectLeftovers(_ catalogue: Catalogue) throws {
        try repository.removeLeftovers()
        do {
            let freed = try catalogue.collectLeftovers()
            if freed.rawValue > 0 { reporter.note("removed \(freed) that an interrupted backup or deletion had left") }
        } catch let failure as Failure where failure.code == .damaged {
            reporter.note("did not look for what interrupted writers may have left: \(failure.message)")
        }
    }

    /// Times of a backup are compared with recovery targets, so they are the server's, not ours.
    private func serverClock() throws -> Timestamp {
        let sql = try Connection(settings.connection, application: Self.application)
        let text = try sql.query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").first?[0]
        guard let microseconds = text.flatMap({ Int64($0) }) else {
            throw Failure(.protocolViolation, "could not read the clock of the server at \(sql.location)")
        }
        return Timestamp(microseconds: microseconds)
    }

    // MARK: After

    /// A page may look bad because it was read while the server wrote it. What is still bad when it is read again is
    /// bad; where the role may not read it again, it counts as bad.
    private func confirm(_ suspects: [BackupRecord.BadPage], since begin: LSN) throws -> [BackupRecord.BadPage] {
        guard !suspects.isEmpty else { return [] }
        let sql = try Connection(settings.connection, application: Self.application)
        return suspects.filter { suspect in
            let firstBlock = Int(RelationFile.firstBlock(ofPath: suspect.path) ?? 0)
            let offset = (suspect.block - firstBlock) * RelationFile.pageSize
            guard
                let text = try? sql.query(
                    "SELECT encode(pg_read_binary_file($1, $2, $3, true), 'hex')",
                    [suspect.path, String(offset), String(RelationFile.pageSize)]
                ).first?[0],
                let page = bytes(hex: text), page.count == RelationFile.pageSize
            else { return true }
            return page.withUnsafeBytes { RelationFile.check($0, block: UInt32(suspect.block), backupBegin: begin) } == .bad
        }
    }

    private func bytes(hex: String) -> [UInt8]? {
        let digits = Array(hex.utf8)
        func value(_ digit: UInt8) -> UInt8 { digit < 0x3A ? digit - 0x30 : digit - 0x57 }
        guard digits.count % 2 == 0 else { return nil }
        return stride(from: 0, to: digits.count, by: 2).map { value(digits[$0]) << 4 | value(digits[$0 + 1]) }
    }
}
