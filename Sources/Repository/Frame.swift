import PostgresModel
import Storage
import SystemPackage

/// A piece of content, compressed by itself: pages of one relation file, or several small files in a row.
///
/// In a pack it is a header of 32 bytes and a payload. Everything needed to read and to prove it is in the header, so
/// a pack's index can be made anew from its frames.
package enum Frame {
    /// The most content that one frame holds. A multiple of the page size, so that no page is split.
    package static let capacity = 512 * 1024
    /// A file up to this size shares frames with its neighbours; a larger one has frames of its own.
    package static let bundleLimit = 128 * 1024

    static let headerSize = 32
    private static let magic: [UInt8] = Array("PGFR".utf8)

    enum Codec: UInt8 { case stored = 0, zstd = 1 }

    struct Header: Equatable {
        var number: UInt32
        var codec: Codec
        var storedCount: Int
        var contentCount: Int
        var payloadChecksum: UInt32

        var bytes: [UInt8] {
            var writer = ByteWriter()
            writer.bytes(Frame.magic)
            writer.integer(number)
            writer.integer(UInt32(storedCount))
            writer.integer(UInt32(contentCount))
            writer.integer(payloadChecksum)
            writer.integer(codec.rawValue)
            writer.bytes([0, 0, 0, 0, 0, 0, 0])
            writer.integer(CRC32C(writer.bytes).value)
            return writer.bytes
        }

        init(number: UInt32, codec: Codec, storedCount: Int, contentCount: Int, payloadChecksum: UInt32) {
            self.number = number
            self.codec = codec
            self.storedCount = storedCount
            self.contentCount = contentCount
            self.payloadChecksum = payloadChecksum
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
            self.codec = codec
            guard contentCount <= Frame.capacity, storedCount <= Frame.largestPayload else { return nil }
        }
    }

    /// Room for the payload of a full frame, whatever its content.
    static let largestPayload = Compressor.bound(capacity)
}

/// Where some consecutive bytes of a file are: within one frame of one pack.
package struct Extent: Equatable, Sendable {
    package var length: Int
    /// An index into the backup record's list of packs.
    package var pack: Int
    package var frame: Int
    /// Where in the frame's content the bytes begin.
    package var offset: Int

    package init(length: Int, pack: Int, frame: Int, offset: Int) {
        self.length = length
        self.pack = pack
        self.frame = frame
        self.offset = offset
    }
}

/// Builds little-endian records.
struct ByteWriter {
    private(set) var bytes: [UInt8] = []

    mutating func bytes(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

    mutating func integer(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Unsigned LEB128: seven bits a byte, low ones first, the top bit says that more follow.
    mutating func variable(_ value: Int) {
        var rest = UInt64(value)
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func text(_ text: String) {
        variable(text.utf8.count)
        bytes(text.utf8)
    }

    mutating func clear() { bytes.removeAll(keepingCapacity: true) }
}
