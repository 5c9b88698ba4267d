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
        try MapReader.read(catalogue.mapPath(record.id)) { entry in
            if case .file(let size, _, let extents) = entry.kind {
                guard Self.isConsistent(extents, size: size, packs: record.packs.count) else {
                    throw Failure(.damaged, "its entry for \(entry.path) is not consistent")
                }
            }
            try body(entry)
        }
    }

    /// Every extent lies within a frame of a pack that there is, and together they are the file.
    private static func isConsistent(_ extents: [Extent], size: Int, packs: Int) -> Bool {
        let areWithin = extents.allSatisfy { extent in
            extent.pack < packs && extent.frame <= UInt32.max && extent.offset <= Frame.capacity
                && extent.length <= Frame.capacity - extent.offset
        }
        return areWithin && extents.reduce(0) { $0 + $1.length } == size
    }

    package var manifestPath: FilePath { catalogue.manifestPath(record.id) }
    package var mapPath: FilePath { catalogue.mapPath(record.id) }
    package func configurationPath(_ file: BackupRecord.ConfigurationFile) -> FilePath {
        catalogue.configurationPath(record.id, file.name)
    }

    /// Throws unless a file of the backup is as it was stored.
    package func requireUndamaged(_ path: FilePath, _ stored: BackupRecord.StoredFile) throws {
        guard try BackupWriter.describe(path) == stored else {
            throw Failure(
                .damaged, "could not use \(path): it is not what was stored", details: ["backup \(record.id)"],
                hint: "See what else is damaged: pgark verify \(record.id)")
        }
    }

    /// The WAL of the system that was backed up.
    var walArchive: WALArchive {
        WALArchive(
            catalogue.repository,
            system: Repository.System(
                systemIdentifier: record.systemIdentifier,
                serverMajor: Int(record.serverVersion.prefix { $0.isNumber }) ?? 0, walSegmentSize: record.walSegmentSize))
    }

    package func frames() throws -> FrameReader {
        try FrameReader(packs: record.packs.map { catalogue.packPath($0) })
    }
}

/// Reads frames by pack and number. Each thread that reads has its own.
package final class FrameReader {
    private let packs: [FilePath]
    private let decompressor: Decompressor
    private var buffer = FrameBuffer()
    private var open: [(pack: Int, reader: PackReader)] = []
    private var current: (pack: Int, frame: Int, count: Int)?

    /// A map refers to few packs in a row; this many stay open.
    private static let mostOpen = 16

    init(packs: [FilePath]) throws {
        self.packs = packs
        decompressor = try Decompressor()
    }

    /// Shows a frame's content, proved by its checksums. The frame read last is kept.
    package func content<Value>(pack: Int, frame: Int, _ body: (UnsafeRawBufferPointer) throws -> Value) throws -> Value {
        if current?.pack != pack || current?.frame != frame {
            current = nil
            let count = try reader(of: pack).read(frame, into: &buffer, decompressor: decompressor)
            current = (pack, frame, count)
        }
        return try body(UnsafeRawBufferPointer(rebasing: buffer.content[..<current!.count]))
    }

    /// The bytes of an extent.
    package func bytes<Value>(_ extent: Extent, _ body: (UnsafeRawBufferPointer) throws -> Value) throws -> Value {
        try content(pack: extent.pack, frame: extent.frame) { content in
            guard extent.offset <= content.count, extent.length <= content.count - extent.offset else {
                throw Failure(.damaged, "could not read frame \(extent.frame) of \(packs[extent.pack]): it is too short")
            }
            return try body(UnsafeRawBufferPointer(rebasing: content[extent.offset..<(extent.offset + extent.length)]))
        }
    }

    /// Packs that can be read only because their index was made anew.
    func damagedIndexes() -> [(pack: String, message: String)] {
        packs.compactMap { path in
            // A pack that cannot be read at all is reported with the files that need it.
            guard let reader = try? PackReader(path), reader.isIndexDamaged else { return nil }
            return (
                path.lastComponent?.string ?? path.string, "its header or its index is damaged; its frames can still be found"
            )
        }
    }

    private func reader(of pack: Int) throws -> PackReader {
        if let found = open.first(where: { $0.pack == pack }) { return found.reader }
        guard packs.indices.contains(pack) else {
            throw Failure(.damaged, "could not read pack \(pack): the backup has \(packs.count)")
        }
        let reader = try PackReader(packs[pack])
        open.insert((pack, reader), at: 0)
        if open.count > Self.mostOpen { open.removeLast() }
        return reader
    }
}

extension BackupReader {
    /// The entries of a map whose backup has no record yet.
    package static func map(_ catalogue: Catalogue, _ id: String) -> ((MapEntry) throws -> Void) throws -> Void {
        { body in try MapReader.read(catalogue.mapPath(id), body) }
    }
}
