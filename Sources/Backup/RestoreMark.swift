import FoundationEssentials
import PostgresModel
import Repository
import Storage
import SystemPackage

/// Says that pgark made a data directory, in the directory itself: the only ones that `--delta` may write to.
///
/// It names the directory's own path, so that a copy of it elsewhere, or a backup of it restored by other means, is not
/// taken for one that pgark made.
struct RestoreMark: Codable, Equatable {
    static let name = "pgark_restore.json"

    var directory: String
    var systemIdentifier: SystemIdentifier
    /// Where its tablespaces are, by oid.
    var tablespaces: [String: String]
    var backup: String

    private enum CodingKeys: String, CodingKey {
        case directory, systemIdentifier = "system_identifier", tablespaces, backup
    }

    init(_ destination: RestoreDestination, _ record: BackupRecord) {
        directory = destination.directory.string
        systemIdentifier = record.systemIdentifier
        tablespaces = destination.tablespaces.mapValues(\.string)
        backup = record.id
    }

    /// Nil where the directory has none, or one that is not its own.
    static func read(in directory: FilePath) throws -> RestoreMark? {
        guard let bytes = try SmallFile.read(directory.appending(name)),
            let mark = try? JSONDecoder().decode(RestoreMark.self, from: Data(bytes)), mark.directory == directory.string
        else { return nil }
        return mark
    }

    func write(owner: Owner?) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try SmallFile.write(
            Array(try encoder.encode(self)) + [0x0A], to: FilePath(directory).appending(Self.name), owner: owner)
    }
}
