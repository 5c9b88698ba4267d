import PostgresModel
import Repository
import SystemPackage

/// What a restore must know of a backup's map before it changes anything.
struct MapOutline {
    /// A cluster made with group access keeps it (documentation: initdb --allow-group-access).
    private(set) var permissions: UInt32 = 0o700
    /// The directories of the backed up cluster in its tablespaces: their names in the map.
    ///
    /// Each is the only thing at its tablespace's location that is this cluster's. A cluster of another major may have its own
    /// beside it, and does after pg_upgrade (PostgreSQL: TABLESPACE_VERSION_DIRECTORY in src/include/common/relpath.h).
    private(set) var versionDirectories: Set<String> = []
    /// How many bytes the files have in each place.
    private(set) var bytes: [FilePath: Int] = [:]

    private static let versionPrefix = "PG_"

    init(_ reader: BackupReader, _ destination: RestoreDestination) throws {
        try reader.entries { entry in
            let space = destination.tablespace(of: entry.path)
            if let name = space?.name.prefix(while: { $0 != "/" }), name.hasPrefix(Self.versionPrefix) {
                versionDirectories.insert(String(entry.path[..<name.endIndex]))
            }
            guard case .file(let size, _, _) = entry.kind else { return }
            bytes[space?.place ?? destination.directory, default: 0] += size
            if entry.path == "PG_VERSION", entry.mode & 0o040 != 0 { permissions = 0o750 }
        }
    }
}
