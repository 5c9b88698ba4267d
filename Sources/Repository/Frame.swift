import PostgresModel
import Storage
import SystemPackage

/// A piece of content, compressed by itself: blocks of 8 KiB of one file or of several.
///
/// In a pack it is a header of 32 bytes, a payload, and one sum for each block. Everything needed to read and to prove
/// it is in the header, so a pack's index can be made anew from its frames. The sums let a later backup, or a restore
/// into a directory with content, tell which blocks are the same without reading the payload.
package enum Frame {
    /// A file's content begins at the start of a block, and what its last block lacks is zeros.
    package static let blockSize = RelationFile.pageSize
    package static let blockCapacity = 64
    /// The most content that one frame holds.
    package static let capacity = blockCapacity * blockSize

    static let headerSize = 32
    private static let magic: [UInt8] = Array("PGFR".utf8)

    enum Codec: UInt8 { case stored = 0, zstd = 1 }

    struct Header: Equatable {
        var number: UInt32
        var codec: Codec
        var storedCount: Int
        var contentCount: Int
        var payloadChecksum: UInt32
        var sumsChecksum: UInt32

        /// The whole frame's bytes in its pack.
        var frameCount: Int { Frame.headerSize + storedCount + Frame.sumsCount(contentCount: contentCount) }

        var bytes: [UInt8] {
            var writer = ByteWriter()
            writer.bytes(Frame.magic)
            writer.integer(number)
            writer.integer(UInt32(storedCount))
            writer.integer(UInt32(contentCount))
            writer.integer(payloadChecksum)
            writer.integer(codec.rawValue)
            writer.bytes([0, 0, 0])
            writer.integer(sumsChecksum)
            writer.integer(CRC32C(writer.bytes).value)
            return writer.bytes
        }

        init(
            number: UInt32, codec: Codec, storedCount: Int, contentCount: Int, payloadChecksum: UInt32, sumsChecksum: UInt32
        ) {
            self.number = number
            self.codec = codec
            self.storedCount = storedCount
            self.contentCount = contentCount
            self.payloadChecksum = payloadChecksum
            self.sumsChecksum = sumsChecksum
        }

        /// Nil where the bytes are not a frame's header, or a damaged one.
        init?(_ bytes: UnsafeRawBufferPointer) {
            guard bytes.count >= Frame.headerSize, bytes.prefix(4).elementsEqual(Frame.magic),
                CRC32C(UnsafeRawBufferPointer(rebasing: bytes[..<28])).value == bytes.littleEndian(at: 28),
                let codec = Codec(rawValue: bytes[20])
            else { return nil }
            number = bytes.littleEndian(at: 4)
            storedCount = Int(bytes.littleEndian(at: 8) as UInt32)
            contentCount = Int(bytes.littleEndian(at: 12) as UInt32)
            payloadChecksum = bytes.littleEndian(at: 16)
            sumsChecksum = bytes.littleEndian(at: 24)
            self.codec = codec
            guard contentCount <= Frame.capacity, contentCount % Frame.blockSize == 0, storedCount <= Frame.largestPayload
            else { return nil }
        }
    }

    static func sumsCount(contentCount: Int) -> Int { contentCount / blockSize * BlockSum.storedSize }

    /// Room for the payload of a full frame, whatever its content.
    static let largestPayload = Compressor.bound(capacity)
    /// Room for a whole frame.
    static let largest = headerSize + largestPayload + sumsCount(contentCount: capacity)
}

extension BlockSum {
    static let storedSize = 12

    init(stored bytes: UnsafeRawBufferPointer, at offset: Int) {
        self.init(crc: bytes.littleEndian(at: offset), hash: bytes.littleEndian(at: offset + 4))
    }

    func store(in bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
        bytes.storeBytes(of: crc.littleEndian, toByteOffset: offset, as: UInt32.self)
        bytes.storeBytes(of: hash.littleEndian, toByteOffset: offset + 4, as: UInt64.self)
    }

    /// That of a block of zeros.
    static let zeros = [UInt8](repeating: 0, count: Frame.blockSize).withUnsafeBytes { BlockSum($0) }
}

/// Makes frames out of content. Not for two threads at once.
final class FrameEncoder {
    private let compressor: Compressor

    /// No checksum of zstd's own: header and sums prove more.
    init(_ level: CompressionLevel) throws { compressor = try Compressor(level, for: .frames) }

    /// Writes header, payload and sums into `stored`, which has room for `Frame.largest` bytes. `sums` has at least one
    /// for each block of the content.
    func encode(
        number: Int, content: UnsafeRawBufferPointer, sums: UnsafeRawBufferPointer, into stored: UnsafeMutableRawBufferPointer
    ) throws -> Frame.Header {
        let payload = UnsafeMutableRawBufferPointer(rebasing: stored[Frame.headerSize...])
        let count = try compressor.compress(content, into: payload)
        let sums = UnsafeRawBufferPointer(rebasing: sums[..<Frame.sumsCount(contentCount: content.count)])
        UnsafeMutableRawBufferPointer(rebasing: payload[count...]).copyMemory(from: sums)
        let header = Frame.Header(
            number: UInt32(number), codec: .zstd, storedCount: count, contentCount: content.count,
            payloadChecksum: CRC32C(UnsafeRawBufferPointer(rebasing: payload[..<count])).value,
            sumsChecksum: CRC32C(sums).value)
        stored.copyBytes(from: header.bytes)
        return header
    }
}
