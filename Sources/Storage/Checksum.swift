internal import CLinux

/// CRC-32C, the checksum of PostgreSQL's WAL and manifests and of everything in the repository.
package struct CRC32C: Equatable, Sendable {
    package private(set) var value: UInt32 = 0

    package init() {}

    package init(_ bytes: UnsafeRawBufferPointer) { add(bytes) }

    package init(_ bytes: [UInt8]) { bytes.withUnsafeBytes { add($0) } }

    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        value = pgark_crc32c(value, bytes.baseAddress, bytes.count)
    }
}

extension CRC32C {
    /// The checksum of bytes with the checksum `first` followed by `count` bytes with the checksum `second`.
    package static func joined(_ first: UInt32, _ second: UInt32, count: Int) -> UInt32 {
        shifted(first, by: count) ^ second
    }

    /// The part that bytes with this checksum have in the checksum of something in which `count` bytes follow them.
    /// The checksum of the whole is the XOR of all its parts'.
    package static func shifted(_ value: UInt32, by count: Int) -> UInt32 { pgark_crc32c_shift(value, UInt64(count)) }
}

/// What identifies the content of one block of 8 KiB: equal sums mean equal bytes.
///
/// Two blocks are only ever compared at the same place of the same file. That two different ones have the same 96 bits
/// there is expected once in 10^28 changed blocks.
package struct BlockSum: Equatable, Sendable {
    /// The block's CRC-32C. A file's checksum follows from those of its blocks.
    package var crc: UInt32
    /// XXH3, 64 bits.
    package var hash: UInt64

    package init(crc: UInt32, hash: UInt64) {
        self.crc = crc
        self.hash = hash
    }

    package init(_ block: UnsafeRawBufferPointer) {
        crc = pgark_crc32c(0, block.baseAddress, block.count)
        hash = pgark_xxh3(block.baseAddress, block.count)
    }
}
