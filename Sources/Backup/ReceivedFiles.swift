import PostgresModel
import Storage
import SystemPackage

/// What the server sent, file by file: path, size and checksum of what arrived, to be compared with its own manifest.
///
/// Kept in a scratch file without a name, so that memory does not grow with the number of files and a killed process
/// leaves nothing. First everything is added, then everything is read.
final class ReceivedFiles {
    struct Entry: Equatable {
        let path: String
        let size: Int
        let checksum: UInt32
    }

    private let scratch: File
    private var end = 0
    private var buffer: [UInt8] = []
    private static let step = 64 * 1024

    /// `path` is one that nothing has; it is gone when this returns.
    init(scratch path: FilePath) throws {
        scratch = try File(path, .create)
        try Directory.remove(path)
    }

    func add(_ entry: Entry) throws {
        append(UInt64(entry.path.utf8.count))
        buffer.append(contentsOf: entry.path.utf8)
        append(UInt64(entry.size))
        append(UInt64(entry.checksum))
        if buffer.count >= Self.step { try flush() }
    }

    private func append(_ value: UInt64) { withUnsafeBytes(of: value.littleEndian) { buffer.append(contentsOf: $0) } }

    private func flush() throws {
        try buffer.withUnsafeBytes { try scratch.write($0, at: end) }
        end += buffer.count
        buffer.removeAll(keepingCapacity: true)
    }

    // MARK: Reading

    private var position = 0
    private var window: [UInt8] = []
    private var windowStart = 0

    /// The next file in the order in which they came; nil after the last.
    func next() throws -> Entry? {
        if !buffer.isEmpty { try flush() }
        guard position < end else { return nil }
        let path = String(decoding: try bytes(try integer()), as: UTF8.self)
        return Entry(path: path, size: try integer(), checksum: UInt32(truncatingIfNeeded: try integer()))
    }

    private func bytes(_ count: Int) throws -> ArraySlice<UInt8> {
        if position + count > windowStart + window.count {
            window = try scratch.bytes(at: position, count: max(Self.step, count))
            windowStart = position
            guard window.count >= count else { throw Failure(.inputOutput, "could not read a scratch file: it is too short") }
        }
        defer { position += count }
        return window[(position - windowStart)..<(position - windowStart + count)]
    }

    private func integer() throws -> Int { try bytes(8).reversed().reduce(0) { $0 << 8 | Int($1) } }
}
