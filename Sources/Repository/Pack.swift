import PostgresModel
import Storage
import SystemPackage

/// A pack: a header, up to `capacity` frames, an index of them, a trailer that finds the index.
enum Pack {
    /// Bounds what a reader holds of one pack in memory, and how much is rewritten to drop the dead part of one.
    static let capacity = 2048
    static let magic: [UInt8] = Array("PGARKPCK".utf8)
    static let headerSize = 16
    static let indexMagic: [UInt8] = Array("PGARKIDX".utf8)
    static let indexEntrySize = 20
    static let trailerSize = 24

    static var header: [UInt8] {
        var writer = ByteWriter()
        writer.bytes(magic)
        writer.integer(UInt32(Repository.formatVersion))
        writer.integer(UInt32(0))
        return writer.bytes
    }

    struct IndexEntry: Equatable {
        var number: UInt32
        var offset: UInt64
        var storedCount: UInt32
        var contentCount: UInt32

        /// Stands for a frame that the pack does not have.
        static let none = IndexEntry(number: 0, offset: 0, storedCount: 0, contentCount: 0)
    }
}

/// Writes one pack front to back. Until a backup's record names it, it is garbage under its final name.
final class PackWriter {
    private let file: File
    private var end: Int
    private var index: [Pack.IndexEntry] = []

    /// Written back early in pieces of this size, so that making the pack durable at its end takes no long time.
    private static let writebackStep = 8 << 20
    private var startedWriteback = 0

    init(_ path: FilePath) throws {
        let file = try File(path, .create, permissions: Repository.filePermissions)
        try Pack.header.withUnsafeBytes { try file.write($0, at: 0) }
        self.file = file
        end = Pack.headerSize
    }

    /// Bytes in the pack so far.
    var size: Int { end }

    /// `frame` is a header followed by its payload and its sums.
    func append(_ frame: UnsafeRawBufferPointer, _ header: Frame.Header) throws {
        try file.write(frame, at: end)
        index.append(
            Pack.IndexEntry(
                number: header.number, offset: UInt64(end), storedCount: UInt32(header.storedCount),
                contentCount: UInt32(header.contentCount)))
        end += frame.count
        if end - startedWriteback >= Self.writebackStep {
            file.startWriteback(from: startedWriteback, count: end - startedWriteback)
            startedWriteback = end
        }
    }

    /// Writes index and trailer and makes the pack's content durable.
    func finish() throws {
        var writer = ByteWriter()
        for entry in index {
            writer.integer(entry.number)
            writer.integer(entry.offset)
            writer.integer(entry.storedCount)
            writer.integer(entry.contentCount)
        }
        let checksum = CRC32C(writer.bytes).value
        writer.bytes(Pack.indexMagic)
        writer.integer(UInt64(end))
        writer.integer(UInt32(index.count))
        writer.integer(checksum)
        try writer.bytes.withUnsafeBytes { try file.write($0, at: end) }
        end += writer.bytes.count
        try file.synchronize()
    }
}
