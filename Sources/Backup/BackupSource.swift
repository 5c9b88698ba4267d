import Postgres
import PostgresModel
import Repository
import Storage
import SystemPackage

/// Where the bytes of one backup come from: the server's stream, and the earlier backup that it is compared with or that it
/// adds to.
struct BackupSource {
    let stream: BaseBackupStream
    private(set) var reference: BackupReference?
    /// Why not everything that could be saved is; nil where it is.
    private(set) var reason: String?
    /// The manifest since which the server is asked for changes.
    private var manifest: FilePath?

    /// Opens the earlier backup as far as it can be used. `scratch` is a path where nothing is.
    init(
        _ approach: BackupApproach, _ connection: Connection, _ catalogue: Catalogue, label: String, scratch: FilePath,
        _ reporter: Reporter
    ) throws {
        stream = BaseBackupStream(connection: connection, label: label, reporter: reporter)
        reason = approach.reason
        guard let record = approach.reference else { return }
        do {
            let reference = try BackupReference(catalogue, record, scratch: scratch)
            self.reference = reference
            guard approach.asksForChanges else { return }
            if reference.isDamaged {
                reason = "backup \(record.id) is damaged"
            } else {
                let reader = BackupReader(catalogue: catalogue, record: record)
                try reader.requireUndamaged(reader.manifestPath, record.manifest)
                manifest = reader.manifestPath
            }
        } catch let failure as Failure where failure.code == .damaged {
            reason = "backup \(record.id) cannot be used: \(failure.message)"
        }
    }

    /// The server's checkpoint. Where it refuses to send changes, everything is asked for. `connection` is one for SQL.
    mutating func begin(_ connection: Connection) throws -> BaseBackupStream.Begin {
        if let manifest, let reference {
            do {
                let truncated = try TruncatedRelations(connection, since: reference.record.beginLSN)
                let begin = try stream.begin(changesSince: UploadedManifest(stored: manifest, truncated: truncated))
                try truncated.requireComplete(connection)
                return begin
            } catch let failure as Failure where failure.code.isRefusal {
                reason = "the server cannot send changes: \(failure.message)"
            }
        }
        return try stream.begin()
    }
}

extension Failure.Code {
    /// The server answered, and the answer was no.
    fileprivate var isRefusal: Bool {
        switch self {
        case .serverUnreachable, .authenticationFailed, .interrupted, .timedOut: false
        default: true
        }
    }
}
