/// What a walsender says while it streams WAL, and what we answer
/// (PostgreSQL documentation: 55.4, Streaming Replication Protocol, START_REPLICATION).
///
/// Decoding does not copy: `data` counts the WAL bytes that follow the fixed header of the message.
package enum ReplicationMessage: Equatable, Sendable {
    /// 'w': `count` bytes of WAL that begin at `start`; they lie `headerSize` bytes into the message.
    case walData(start: LSN, serverEnd: LSN, clock: Timestamp, count: Int)
    /// 'k': the end of the server's WAL at `clock`; `replyRequested` asks for an answer at once.
    case keepalive(serverEnd: LSN, clock: Timestamp, replyRequested: Bool)

    package static let headerSize = 25

    package init(_ bytes: UnsafeRawBufferPointer) throws {
        switch bytes.first {
        case UInt8(ascii: "w") where bytes.count >= Self.headerSize:
            self = .walData(
                start: LSN(rawValue: bytes.bigEndian(at: 1)), serverEnd: LSN(rawValue: bytes.bigEndian(at: 9)),
                clock: Timestamp(postgres: bytes.bigEndian(at: 17)), count: bytes.count - Self.headerSize)
        case UInt8(ascii: "k") where bytes.count >= 18:
            self = .keepalive(
                serverEnd: LSN(rawValue: bytes.bigEndian(at: 1)), clock: Timestamp(postgres: bytes.bigEndian(at: 9)),
                replyRequested: bytes[17] != 0)
        default:
            throw Failure(
                .protocolViolation, "could not read the WAL stream: unexpected message",
                details: ["kind \(bytes.first.map(String.init) ?? "none"), \(bytes.count) bytes"])
        }
    }
}

/// 'r': how far we are. A position is that of the last byte plus one. `flushed` may only count bytes that are durable.
package struct StandbyStatusUpdate: Equatable, Sendable {
    package var written: LSN
    package var flushed: LSN
    package var applied: LSN
    package var clock: Timestamp
    package var replyRequested = false

    package init(written: LSN, flushed: LSN, applied: LSN, clock: Timestamp) {
        self.written = written
        self.flushed = flushed
        self.applied = applied
        self.clock = clock
    }

    package var bytes: [UInt8] {
        var bytes = [UInt8(ascii: "r")]
        for value in [written.rawValue, flushed.rawValue, applied.rawValue, UInt64(bitPattern: clock.postgres)] {
            bytes.append(contentsOf: (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) })
        }
        bytes.append(replyRequested ? 1 : 0)
        return bytes
    }
}

/// What a BASE_BACKUP sends inside its one COPY stream (documentation: 55.4, BASE_BACKUP).
package enum BaseBackupMessage: Equatable, Sendable {
    /// 'n': an archive begins. An empty location is the data directory itself, else a tablespace's directory.
    case archive(name: String, location: String)
    /// 'm': the backup manifest begins.
    case manifest
    /// 'd': content of what began last; it follows the one byte of the kind.
    case data(count: Int)
    /// 'p': how many bytes the server has read so far.
    case progress(bytes: Int)

    package init(_ bytes: UnsafeRawBufferPointer) throws {
        switch bytes.first {
        case UInt8(ascii: "d"): self = .data(count: bytes.count - 1)
        case UInt8(ascii: "p") where bytes.count == 9: self = .progress(bytes: Int(bytes.bigEndian(at: 1) as Int64))
        case UInt8(ascii: "m") where bytes.count == 1: self = .manifest
        case UInt8(ascii: "n"):
            let fields = bytes.dropFirst().split(separator: 0, omittingEmptySubsequences: false)
            guard fields.count == 3, fields[2].isEmpty else { fallthrough }
            self = .archive(
                name: String(decoding: fields[0], as: UTF8.self), location: String(decoding: fields[1], as: UTF8.self))
        default:
            throw Failure(
                .protocolViolation, "could not read the base backup: unexpected message",
                details: ["kind \(bytes.first.map(String.init) ?? "none"), \(bytes.count) bytes"])
        }
    }
}

extension UnsafeRawBufferPointer {
    package func bigEndian<T: FixedWidthInteger>(at offset: Int) -> T {
        T(bigEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    package func littleEndian<T: FixedWidthInteger>(at offset: Int) -> T {
        T(littleEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}
