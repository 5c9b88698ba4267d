import PostgresModel
import Storage
import SystemPackage

/// Reads frames of one pack by their number. Several threads may, each with buffers of its own.
///
/// SAFETY of `@unchecked Sendable`: nothing changes after `init`, and a file is read by position.
final class PackReader: @unchecked Sendable {
    private let file: File
    /// By frame number; an offset of 0 says that the pack does not have the frame.
    private let index: [Pack.IndexEntry]
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

    /// The numbers of its frames, in the order of their places.
    var frames: [Int] {
        index.indices.filter { index[$0].offset > 0 }.sorted { index[$0].offset < index[$1].offset }
    }

    /// What a reader holds in memory of this pack, roughly.
    var indexCount: Int { index.count }

    /// A frame as it lies in the pack, its payload and its sums proved by their checksums, in `buffer`.
    func readStored(_ number: Int, into buffer: borrowing FrameBuffer) throws -> Frame.Header {
        let entry = try entry(number)
        let count = Frame.headerSize + Int(entry.storedCount) + Frame.sumsCount(contentCount: Int(entry.contentCount))
        guard count <= buffer.stored.count else { throw damaged(number, "it claims to have \(count) bytes") }
        let stored = UnsafeMutableRawBufferPointer(rebasing: buffer.stored[..<count])
        guard try file.read(at: Int(clamping: entry.offset), into: stored) == count else {
            throw damaged(number, "the pack ends within it")
        }
        guard let header = Frame.Header(UnsafeRawBufferPointer(stored)), header.number == UInt32(number),
            header.storedCount == Int(entry.storedCount), header.contentCount == Int(entry.contentCount)
        else { throw damaged(number, "its header is damaged") }
        guard CRC32C(buffer.payload(header)).value == header.payloadChecksum else {
            throw damaged(number, "its checksum does not match")
        }
        guard CRC32C(buffer.sums(header)).value == header.sumsChecksum else {
            throw damaged(number, "the checksum of its sums does not match")
        }
        return header
    }

    /// The content of a frame, proved by its checksums, in `buffer`. Returns how many bytes it has.
    func read(_ number: Int, into buffer: borrowing FrameBuffer, decompressor: Decompressor) throws -> Int {
        let header = try readStored(number, into: buffer)
        let payload = buffer.payload(header)
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

    /// The sums of a frame's blocks, without its payload. Returns how many blocks it has.
    func readSums(_ number: Int, into sums: UnsafeMutableRawBufferPointer) throws -> Int {
        let entry = try entry(number)
        let count = Frame.sumsCount(contentCount: Int(entry.contentCount))
        guard count <= sums.count else { throw damaged(number, "it claims to have \(entry.contentCount) bytes") }
        let offset = Int(clamping: entry.offset)
        let header = try file.bytes(at: offset, count: Frame.headerSize).withUnsafeBytes { Frame.Header($0) }
        guard let header, header.number == UInt32(number) else { throw damaged(number, "its header is damaged") }
        let place = UnsafeMutableRawBufferPointer(rebasing: sums[..<count])
        guard try file.read(at: offset + Frame.headerSize + header.storedCount, into: place) == count,
            CRC32C(UnsafeRawBufferPointer(place)).value == header.sumsChecksum
        else { throw damaged(number, "the checksum of its sums does not match") }
        return count / BlockSum.storedSize
    }

    /// How many bytes a frame takes in the pack.
    func frameCount(_ number: Int) throws -> Int {
        let entry = try entry(number)
        return Frame.headerSize + Int(entry.storedCount) + Frame.sumsCount(contentCount: Int(entry.contentCount))
    }

    func blockCount(_ number: Int) throws -> Int { Int(try entry(number).contentCount) / Frame.blockSize }

    private func entry(_ number: Int) throws -> Pack.IndexEntry {
        guard index.indices.contains(number), index[number].offset > 0 else {
            throw damaged(number, "the pack does not have it")
        }
        return index[number]
    }

    private func damaged(_ number: Int, _ reason: String) -> Failure {
        Failure(.damaged, "could not read frame \(number) of \(file.path): \(reason)")
    }

    // MARK: The index

    private static func readIndex(_ file: File) throws -> [Pack.IndexEntry]? {
        let size = try file.size
        guard size >= Pack.headerSize + Pack.trailerSize, try file.bytes(at: 0, count: Pack.headerSize) == Pack.header else {
            return nil
        }
        let trailer = try file.bytes(at: size - Pack.trailerSize, count: Pack.trailerSize)
        return try trailer.withUnsafeBytes { trailer -> [Pack.IndexEntry]? in
            let start = Int(truncatingIfNeeded: trailer.littleEndian(at: 8) as UInt64)
            let count = Int(trailer.littleEndian(at: 16) as UInt32)
            guard trailer.prefix(8).elementsEqual(Pack.indexMagic), count <= Pack.capacity,
                start == size - Pack.trailerSize - count * Pack.indexEntrySize
            else { return nil }
            let bytes = try file.bytes(at: start, count: count * Pack.indexEntrySize)
            guard CRC32C(bytes).value == trailer.littleEndian(at: 20) else { return nil }
            var index: [Pack.IndexEntry] = []
            return bytes.withUnsafeBytes { bytes in
                for i in 0..<count {
                    let at = i * Pack.indexEntrySize
                    let entry = Pack.IndexEntry(
                        number: bytes.littleEndian(at: at), offset: bytes.littleEndian(at: at + 4),
                        storedCount: bytes.littleEndian(at: at + 12), contentCount: bytes.littleEndian(at: at + 16))
                    guard add(entry, to: &index) else { return nil }
                }
                return index
            }
        }
    }

    /// The same from the frames themselves, as far as they can be followed.
    private static func rebuildIndex(_ file: File) throws -> [Pack.IndexEntry] {
        var index: [Pack.IndexEntry] = []
        var offset = Pack.headerSize
        while true {
            let bytes = try file.bytes(at: offset, count: Frame.headerSize)
            guard let header = bytes.withUnsafeBytes({ Frame.Header($0) }) else { return index }
            let entry = Pack.IndexEntry(
                number: header.number, offset: UInt64(offset), storedCount: UInt32(header.storedCount),
                contentCount: UInt32(header.contentCount))
            guard add(entry, to: &index) else { return index }
            offset += header.frameCount
        }
    }

    /// False for what cannot be: a number beyond a pack's capacity, or a frame before the first place.
    private static func add(_ entry: Pack.IndexEntry, to index: inout [Pack.IndexEntry]) -> Bool {
        guard entry.number < UInt32(Pack.capacity), entry.offset >= UInt64(Pack.headerSize) else { return false }
        while index.count <= Int(entry.number) { index.append(.none) }
        if index[Int(entry.number)].offset == 0 { index[Int(entry.number)] = entry }
        return true
    }
}

/// Room for one frame, stored and decompressed; made once for each thread that reads.
struct FrameBuffer: ~Copyable {
    let stored: UnsafeMutableRawBufferPointer
    let content: UnsafeMutableRawBufferPointer

    init() {
        stored = .allocate(byteCount: Frame.largest, alignment: 16)
        content = .allocate(byteCount: Frame.capacity, alignment: 16)
    }

    deinit {
        stored.deallocate()
        content.deallocate()
    }

    func payload(_ header: Frame.Header) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: stored[Frame.headerSize..<(Frame.headerSize + header.storedCount)])
    }

    func sums(_ header: Frame.Header) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: stored[(Frame.headerSize + header.storedCount)..<header.frameCount])
    }
}
