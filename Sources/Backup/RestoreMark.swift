import FoundationEssentials
import PostgresModel
import Repository
import Storage
import SystemPackage

/// Says that pgark made a data directory, in the directory itself: the only ones that `--delta` may write to.
///
/// Every copy of the directory has the mark too, often under the same path of another machine, as pg_basebackup and rsync
/// make it for a standby. So it names what no copy has.
struct RestoreMark: Codable, Equatable {
    static let name = "pgark_restore.json"

    /// A directory, and no copy of it.
    struct Place: Codable, Equatable {
        let path: String
        /// Survives a reboot, which the number of the file system does not.
        let inode: UInt64
        /// The inode of what was removed is given to what is made next. Nil where the file system does not say.
        let born: Timestamp?

        init?(_ path: FilePath) throws {
            guard let status = try Directory.status(path) else { return nil }
            (self.path, inode, born) = (path.string, status.inode, Directory.birth(of: path))
        }
    }

    /// This machine (machine-id(5)); nil where it has no such name.
    private let machine: String?
    private let directory: Place
    let systemIdentifier: SystemIdentifier
    /// Where its tablespaces are, by oid.
    let tablespaces: [String: Place]
    let backup: String

    private enum CodingKeys: String, CodingKey {
        case machine, directory, systemIdentifier = "system_identifier", tablespaces, backup
    }

    /// Marks what is complete but for the control file; durable when it returns.
    static func write(_ destination: RestoreDestination, _ record: BackupRecord) throws {
        guard let directory = try Place(destination.directory) else {
            throw Failure(.inputOutput, "could not finish the restore to \(destination.directory): it is gone")
        }
        let mark = RestoreMark(
            machine: try thisMachine(), directory: directory, systemIdentifier: record.systemIdentifier,
            tablespaces: try destination.tablespaces.compactMapValues { try Place($0) }, backup: record.id)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try SmallFile.write(
            Array(try encoder.encode(mark)) + [0x0A], to: destination.directory.appending(name), owner: destination.ownerIfRoot)
    }

    /// Nil where the directory has none, or one that is not its own.
    static func read(in directory: FilePath) throws -> RestoreMark? {
        guard let bytes = try SmallFile.read(directory.appending(name)),
            let mark = try? JSONDecoder().decode(RestoreMark.self, from: Data(bytes)),
            try mark.machine == thisMachine() && mark.directory == Place(directory)
        else { return nil }
        return mark
    }

    private static func thisMachine() throws -> String? {
        try SmallFile.readText("/etc/machine-id")?.split(whereSeparator: \.isWhitespace).first.map(String.init)
    }
}
