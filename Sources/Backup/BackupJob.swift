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
        package var level: CompressionLevel
        /// Threads that compress.
        package var threads: Int
        /// The slot of the cluster's WAL receiver.
        package var slot: SlotName

        package init(node: String, connection: String, name: String?, level: CompressionLevel, threads: Int, slot: SlotName) {
            self.node = node
            self.connection = connection
            self.name = name
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

    package func run() throws -> BackupRecord {
        let begin = Timestamp.now
        let beginTime = try serverClock()
        let connection = try Connection(settings.connection, mode: .replication, application: Self.application)
        let server = try facts(of: connection)
        try repository.prepare(for: server.system)
        let lock = try repository.lockForWriting(to: "take a backup")
        defer { withExtendedLifetime(lock) {} }
        let catalogue = Catalogue(repository)
        try collectLeftovers(catalogue)

        let wal = try WALCoverage(repository: repository, system: server.system, settings: settings, reporter: reporter)
        defer { wal.end() }
        let id = try BackupWriter.newIdentifier(in: catalogue, at: begin)
        let directory = catalogue.directory(of: id)
        do {
            let stream = BaseBackupStream(connection: connection, label: "pgark \(id)", reporter: reporter)
            let started = try stream.begin()
            let writer = try BackupWriter(
                catalogue: catalogue, id: id, level: settings.level, threads: settings.threads,
                backupBegin: started.lsn, checksPages: server.dataChecksums)
            do {
                let content = try stream.receive(into: writer, manifest: catalogue.manifestPath(id))
                let summary = try writer.finish()
                let endTime = try serverClock()
                guard content.end.timeline == started.timeline else {
                    throw Failure(
                        .unsupported,
                        "could not complete the backup: the standby followed a switch to timeline "
                            + "\(content.end.timeline) while it was taken", hint: "Take it again: pgark backup")
                }
                try ManifestComparison(BackupReader.map(catalogue, id), manifest: catalogue.manifestPath(id)).run()
                let configuration = try ConfigurationFiles(settings.connection, application: Self.application)
                    .save(to: directory.appending("config"))
                let badPages = try confirm(summary.badPages, since: started.lsn)
                try wal.wait(from: started.lsn, to: content.end.lsn, on: content.end.timeline)
                let record = BackupRecord(
                    id: id, name: settings.name, cluster: repository.cluster, node: settings.node, method: .full,
                    beginTime: beginTime, endTime: endTime, beginLSN: started.lsn, endLSN: content.end.lsn,
                    timeline: content.end.timeline, systemIdentifier: server.system.systemIdentifier,
                    serverVersion: server.version.description, fromStandby: server.isStandby,
                    dataChecksums: server.dataChecksums, walSegmentSize: server.system.walSegmentSize,
                    dataBytes: summary.dataBytes, readBytes: content.readBytes, storedBytes: summary.storedBytes,
                    walBytes: content.end.lsn - started.lsn, durationSeconds: Timestamp.now - begin, files: summary.files,
                    compression: "zstd:\(settings.level.rawValue)", map: summary.map,
                    manifest: try BackupWriter.describe(catalogue.manifestPath(id)), packs: summary.packs,
                    tablespaces: started.tablespaces, configuration: configuration.files,
                    configurationMissing: configuration.missing, badPages: badPages)
                try Directory.synchronize(directory)
                try Interruption.check()
                try writer.commit(record)
                return record
            } catch {
                connection.abort()
                writer.discard()
                throw error
            }
        }
    }

    // MARK: Before

    private struct ServerFacts {
        let system: Repository.System
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
            version: version, isStandby: try connection.show("in_hot_standby") == "on",
            dataChecksums: try connection.show("data_checksums") == "on")
    }

    private func collectLeftovers(_ catalogue: Catalogue) throws {
        try repository.removeLeftovers()
        let freed = try catalogue.collectGarbage()
        if freed.rawValue > 0 { reporter.note("removed \(freed) that an interrupted backup or deletion had left") }
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
        }.sorted { ($0.path, $0.block) < ($1.path, $1.block) }
    }

    private func bytes(hex: String) -> [UInt8]? {
        let digits = Array(hex.utf8)
        func value(_ digit: UInt8) -> UInt8 { digit < 0x3A ? digit - 0x30 : digit - 0x57 }
        guard digits.count % 2 == 0 else { return nil }
        return stride(from: 0, to: digits.count, by: 2).map { value(digits[$0]) << 4 | value(digits[$0 + 1]) }
    }
}
