import Postgres
import PostgresModel
import Repository
import Storage
import SystemPackage

/// One BASE_BACKUP command: its result sets, and its COPY stream taken apart into files
/// (PostgreSQL documentation: 55.4, BASE_BACKUP).
final class BaseBackupStream {
    private let connection: Connection
    private let label: String
    private let reporter: Reporter
    private var totalBytes: Int?
    private var hasIncrements = false

    init(connection: Connection, label: String, reporter: Reporter) {
        self.connection = connection
        self.label = label
        self.reporter = reporter
    }

    struct Position { let lsn: LSN, timeline: TimelineID }
    struct Begin { let lsn: LSN, timeline: TimelineID, tablespaces: [BackupRecord.Tablespace] }
    struct Outcome { let end: Position, readBytes: Int }

    /// A checkpoint may take long on a busy server; more than this is not a checkpoint any more.
    private static let longestCheckpoint = 3600.0

    /// Progress is told, and an interrupt noticed, after so many bytes.
    private static let reportStep = 1 << 20

    /// With the manifest of an earlier backup the server is asked for what changed since then only (version 17 and newer).
    /// Throws what the server says where it refuses; the connection can be used for another attempt.
    func begin(changesSince manifest: UploadedManifest? = nil) throws -> Begin {
        hasIncrements = manifest != nil
        if let manifest { try connection.uploadManifest(manifest.forEachPiece) }
        // Page checksums are verified here and not by the server: its command would fail as a whole at the first bad
        // page, ours names every one. WAIT false: the WAL is waited for in the repository, not in the server's archive.
        try connection.send(
            "BASE_BACKUP (LABEL '\(label)', PROGRESS true, CHECKPOINT 'fast', WAIT false, MANIFEST 'yes', VERIFY_CHECKSUMS false"
                + (manifest == nil ? ")" : ", INCREMENTAL)"))
        reporter.note("waiting for the server's checkpoint")
        let deadline = Deadline(seconds: Self.longestCheckpoint)
        let start = try position(try connection.nextResult(deadline))
        guard let spaces = try connection.nextResult(deadline)?.rows else { throw unexpected("no list of tablespaces") }
        totalBytes = spaces.compactMap { $0["size"].flatMap { Int($0) } }.reduce(0, +) * 1024
        let tablespaces = spaces.compactMap { row in
            row["spcoid"].map { BackupRecord.Tablespace(oid: $0, location: Self.outside(row["spclocation"])) }
        }
        guard let copy = try connection.nextResult(deadline), copy.beginsCopy else { throw unexpected("no data follow") }
        return Begin(lsn: start.lsn, timeline: start.timeline, tablespaces: tablespaces)
    }

    /// From version 16 on a tablespace inside the data directory has a location too, below that directory (PostgreSQL:
    /// src/backend/access/transam/xlog.c, do_pg_backup_start). It is no other place, so it is none.
    private static func outside(_ location: String?) -> String {
        location.flatMap { $0.hasPrefix("/") ? $0 : nil } ?? ""
    }

    private func position(_ result: Result?) throws -> Position {
        guard let row = result?.rows.first, let lsn = row[0].flatMap({ LSN($0) }),
            let timeline = row[1].flatMap({ TimelineID($0) })
        else { throw unexpected("no position") }
        return Position(lsn: lsn, timeline: timeline)
    }

    private func unexpected(_ what: String) -> Failure {
        Failure(.protocolViolation, "could not take the base backup: unexpected answer, \(what)")
    }

    /// Takes the whole stream: files go to `writer`, the manifest to a zstd file of its own, durable when this
    /// returns.
    func receive(into writer: BackupWriter, _ received: ReceivedFiles, manifest path: FilePath) throws -> Outcome {
        let manifest = try CompressedFileWriter(path, level: .standard)
        var manifestSize = 0
        var readBytes = 0
        var reportedBytes = 0
        var archive: ArchiveUnpacker?
        var isManifest = false
        var isAtEnd = false
        while !isAtEnd {
            let outcome = try connection.copyMessage { bytes in
                switch try BaseBackupMessage(bytes) {
                case .archive(let name, _):
                    try archive?.end()
                    archive = try ArchiveUnpacker(
                        archive: name, hasIncrements: hasIncrements, writer: writer, received: received)
                case .manifest:
                    try archive?.end()
                    archive = nil
                    isManifest = true
                case .data(let count):
                    let content = UnsafeRawBufferPointer(rebasing: bytes[1...])
                    readBytes += count
                    if isManifest {
                        try manifest.write(content)
                        manifestSize += count
                    } else {
                        guard archive != nil else { throw unexpected("data before an archive") }
                        try archive!.take(content)
                    }
                case .progress: break
                }
            }
            switch outcome {
            case .message: break
            case .nothingYet: _ = try connection.waitForInput(milliseconds: 500)
            case .end: isAtEnd = true
            }
            if outcome != .message || readBytes - reportedBytes >= Self.reportStep {
                try Interruption.check()
                reporter.progress(readBytes, totalBytes)
                reportedBytes = readBytes
            }
        }
        // The stream also ends where the server fails, which is said only now.
        let last = try connection.nextResult(Deadline(seconds: Self.longestCheckpoint))
        guard isManifest, manifestSize > 0 else { throw unexpected("no manifest") }
        try manifest.commit()
        let end = try position(last)
        while try connection.nextResult(Deadline(seconds: 60)) != nil {}
        return Outcome(end: end, readBytes: readBytes)
    }
}
