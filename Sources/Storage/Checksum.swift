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
