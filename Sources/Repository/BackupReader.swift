import PostgresModel
import Storage
package import SystemPackage

/// Reads the content of one complete backup.
package struct BackupReader: Sendable {
    package let record: BackupRecord
    private let catalogue: Catalogue

    package init(catalogue: Catalogue, record: BackupRecord) {
        self.catalogue = catalogue
        self.record = record
    }

    /// Shows every entry of the map to `body`, in order, in constant memory.
    package func entries(_ body: (MapEntry) throws -> Void) throws {
        let packs = try packs().count
        try MapReader.read(mapPath) { entry in
            try Self.requireConsistent(entry, packs: packs)
            try body(entry)
        }
    }

    /// Every extent lies within a frame of a pack that there is, and together they are the file. Throws `damaged` where not.
    static func requireConsistent(_ entry: MapEntry, packs: Int) throws {
        guard case .file(let size, _, let extents) = entry.kind else { return }
        let areWithin = extents.allSatisfy { extent in
            extent.pack < packs && extent.frame < Pack.capacity && extent.blocks > 0 && extent.block <= Frame.blockCapacity
                && extent.blocks <= Frame.blockCapacity - extent.block
        }
        guard areWithin, extents.blocks == MapEntry.blocks(ofSize: size) else {
            throw Failure(.damaged, "its entry for \(entry.path) is not consistent")
        }
    }

    package var manifestPath: FilePath { catalogue.manifestPath(record.id) }
    package var mapPath: FilePath { catalogue.mapPath(record.id) }
    package var packListPath: FilePath { catalogue.packListPath(record.id) }
    package func configurationPath(_ file: BackupRecord.ConfigurationFile) -> FilePath {
        catalogue.configurationPath(record.id, file.name)
    }

    /// Throws unless a file of the backup is as it was stored.
    package func requireUndamaged(_ path: FilePath, _ stored: BackupRecord.StoredFile) throws {
        guard try Directory.exists(path), try BackupWriter.describe(path) == stored else {
            throw Failure(
                .damaged, "could not use \(path): it is not what was stored", details: ["backup \(record.id)"],
                hint: "See what else is damaged: pgark verify \(record.id)")
        }
    }

    /// What verifications found wrong in the backup.
    package func knownDamage() throws -> [Verification.Problem] { try catalogue.damage(record.id)?.problems ?? [] }

    /// The WAL of the system that was backed up.
    package func walArchive() throws -> WALArchive {
        WALArchive(catalogue.repository, system: try catalogue.repository.system(record.systemIdentifier))
    }

    /// The names of the packs that the map refers to, in the order of its numbers.
    func packs() throws -> [String] {
        try requireUndamaged(packListPath, record.packs)
        let text = try SmallFile.readText(packListPath) ?? ""
        return text.utf8.split(separator: UInt8(ascii: "\n")).map { String(Substring($0)) }
    }

    func packSet() throws -> PackSet { PackSet(try packs().map { catalogue.packPath($0) }) }

    /// `keeping` so many frames in memory.
    package func frames(keeping most: Int = 1) throws -> FrameReader { try FrameReader(packSet(), keeping: most) }
}
