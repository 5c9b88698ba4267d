package import PostgresModel
import Storage
import SystemPackage

/// Up to where a timeline's unfinished segment has been received, apart from its file's size, which may be larger.
///
/// It is written over in place after each sync of the segment and not synced itself, so it costs next to nothing. Hence it never
/// says more than is durable; after a power cut it may say less.
package struct ReceivedMark: Equatable, Sendable {
    package let timeline: TimelineID
    package let position: LSN

    package init(timeline: TimelineID, position: LSN) {
        self.timeline = timeline
        self.position = position
    }

    /// "00000001 0000000003000168 1A2B3C4D\n": timeline, position, and the CRC-32C of the 25 characters before it. Always this
    /// long and so within one sector, which a disk writes whole or not at all.
    package static let size = 35
    private static let checkedSize = 25

    /// Nil where this is not one.
    package init?(_ bytes: some Collection<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count == Self.size, bytes[8] == 0x20, bytes[25] == 0x20, bytes[34] == 0x0A,
            let timeline = Self.number(bytes[0..<8]), let position = Self.number(bytes[9..<25]),
            let sum = Self.number(bytes[26..<34]),
            bytes.withUnsafeBytes({ UInt64(CRC32C(UnsafeRawBufferPointer(rebasing: $0[..<Self.checkedSize])).value) }) == sum
        else { return nil }
        self.init(timeline: TimelineID(rawValue: UInt32(timeline)), position: LSN(rawValue: position))
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        var number: UInt64 = 0
        for digit in digits {
            switch digit {
            case 0x30...0x39: number = number << 4 | UInt64(digit - 0x30)
            case 0x41...0x46: number = number << 4 | UInt64(digit - 0x41 + 10)
            default: return nil
            }
        }
        return number
    }

    /// Fills `buffer`, which has `size` bytes.
    func write(into buffer: UnsafeMutableRawBufferPointer) {
        func put(_ value: UInt64, digits: Int, at offset: Int) {
            for place in 0..<digits {
                let digit = UInt8(truncatingIfNeeded: value >> UInt64(4 * (digits - 1 - place))) & 15
                buffer[offset + place] = digit < 10 ? 0x30 + digit : 0x41 + digit - 10
            }
        }
        put(UInt64(timeline.rawValue), digits: 8, at: 0)
        buffer[8] = 0x20
        put(position.rawValue, digits: 16, at: 9)
        let sum = CRC32C(UnsafeRawBufferPointer(rebasing: buffer[..<Self.checkedSize])).value
        buffer[25] = 0x20
        put(UInt64(sum), digits: 8, at: 26)
        buffer[34] = 0x0A
    }
}

/// The file of a timeline's mark, as its receiver writes it.
final class ReceivedMarkFile {
    private let file: File

    /// The name is durable when this returns.
    init(_ path: FilePath) throws {
        file = try File(path, .update, permissions: Repository.filePermissions)
        try Directory.synchronize(path.removingLastComponent())
    }

    func write(_ mark: ReceivedMark) throws {
        try withUnsafeTemporaryAllocation(byteCount: ReceivedMark.size, alignment: 8) { buffer in
            mark.write(into: buffer)
            try file.write(UnsafeRawBufferPointer(buffer), at: 0)
        }
    }

    func synchronize() throws { try file.synchronize() }

    enum Content: Equatable {
        case none
        case mark(ReceivedMark)
        /// There is something that is no mark.
        case damaged
    }

    /// It may be read while it is written; what is damaged only then is whole at another look.
    static func read(_ path: FilePath) throws -> Content {
        for _ in 0..<3 {
            guard let bytes = try SmallFile.read(path) else { return .none }
            if let mark = ReceivedMark(bytes) { return .mark(mark) }
        }
        return .damaged
    }
}
