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

    /// `frame` is a header followed by its payload.
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

/// Reads frames of one pack by their number. Not for two threads at once.
final class PackReader {
    private let file: File
    private let index: [UInt32: Pack.IndexEntry]
    /// The header or the index is not what was written, so the index had to be made anew from the frames.
    let isIndexDamaged: Bool

    init(_ path: FilePath) throws {
        guard try Directory.exists(path) else {
            throw Failure(.damaged, "could not read pack \(path): it is missing")
        }
        file = try File(path, .read)
        let stored = try Self.readIndex(file)
        isIndexDamaged = stored == nil
        index = try stored ?? Self.rebuildIndex(file)
    }

    /// The content of a frame, proved by its checksums, in `buffer`. Returns how many bytes it has.
    func read(_ number: Int, into buffer: inout FrameBuffer, decompressor: Decompressor) throws -> Int {
        guard let entry = UInt32(exactly: number).flatMap({ index[$0] }) else {
            throw damaged(number, "the pack does not have it")
        }
        let count = Frame.headerSize + Int(entry.storedCount)
        guard count <= buffer.stored.count else { throw damaged(number, "it claims to have \(count) bytes") }
        let stored = UnsafeMutableRawBufferPointer(rebasing: buffer.stored[..<count])
        guard try file.read(at: Int(clamping: entry.offset), into: stored) == count else {
            throw damaged(number, "the pack ends within it")
        }
        guard let header = Frame.Header(UnsafeRawBufferPointer(stored)), header.number == UInt32(number),
            header.storedCount == Int(entry.storedCount), header.contentCount == Int(entry.contentCount)
        else { throw damaged(number, "its header is damaged") }
        let payload = UnsafeRawBufferPointer(rebasing: stored[Frame.headerSize...])
        guard CRC32C(payload).value == header.payloadChecksum else { throw damaged(number, "its checksum does not match") }
        let content = UnsafeMutableRawBufferPointer(rebasing: buffer.content[..<header.contentCount])
        switch header.codec {
        case .stored:
            guard payload.count == content.count else { throw damaged(number, "its lengths differ") }
            content.copyMemory(from: payload)
        case .zstd:
            do { try decompressor.decompress(payload, into: content) } catch let failure as Failure {
                throw damaged(number, failure.message)
            }
        }
        return content.count
    }

    private func damaged(_ number: Int, _ reason: String) -> Failure {
        Failure(.damaged, "could not read frame \(number) of \(file.path): \(reason)")
    }

    private static func readIndex(_ file: File) throws -> [UInt32: Pack.IndexEntry]? {
        let size = try file.size
        guard size >= Pack.headerSize + Pack.trailerSize, try file.bytes(at: 0, count: Pack.headerSize) == Pack.header else {
            return nil
        }
        let trailer = try file.bytes(at: size - Pack.trailerSize, count: Pack.trailerSize)
        return try trailer.withUnsafeBytes { trailer -> [UInt32: Pack.IndexEntry]? in
            let start = Int(truncatingIfNeeded: trailer.littleEndian(at: 8) as UInt64)
            let count = Int(trailer.littleEndian(at: 16) as UInt32)
            guard trailer.prefix(8).elementsEqual(Pack.indexMagic), count <= Pack.capacity,
                start == size - Pack.trailerSize - count * Pack.indexEntrySize
            else { return nil }
            let bytes = try file.bytes(at: start, count: count * Pack.indexEntrySize)
            guard CRC32C(bytes).value == trailer.littleEndian(at: 20) else { return nil }
            return bytes.withUnsafeBytes { bytes in
                Dictionary(
                    (0..<count).map { i in
                        let at = i * Pack.indexEntrySize
                        let entry = Pack.IndexEntry(
                            number: bytes.littleEndian(at: at), offset: bytes.littleEndian(at: at + 4),
                            storedCount: bytes.littleEndian(at: at + 12), contentCount: bytes.littleEndian(at: at + 16))
                        return (entry.number, entry)
                    }, uniquingKeysWith: { first, _ in first })
            }
        }
    }

    /// The same from the frames themselves, as far as they can be followed.
    private static func rebuildIndex(_ file: File) throws -> [UInt32: Pack.IndexEntry] {
        var index: [UInt32: Pack.IndexEntry] = [:]
        var offset = Pack.headerSize
        while true {
            let bytes = try file.bytes(at: offset, count: Frame.headerSize)
            guard let header = bytes.withUnsafeBytes({ Frame.Header($0) }) else { return index }
            index[header.number] = Pack.IndexEntry(
                number: header.number, offset: UInt64(offset), storedCount: UInt32(header.storedCount),
                contentCount: UInt32(header.contentCount))
            offset += Frame.headerSize + header.storedCount
        }
    }
}

/// Room for one frame, stored and decompressed; made once for each thread that reads.
struct FrameBuffer: ~Copyable {
    let stored: UnsafeMutableRawBufferPointer
    let content: UnsafeMutableRawBufferPointer

    init() {
        stored = .allocate(byteCount: Frame.headerSize + Frame.largestPayload, alignment: 16)
        content = .allocate(byteCount: Frame.capacity, alignment: 16)
    }

    deinit {
        stored.deallocate()
        content.deallocate()
    }
}
