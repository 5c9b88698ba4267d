import PostgresModel
import Storage
import SystemPackage

/// What the server sent, file by file: path, size and checksum of what arrived, to be compared with its own manifest.
///
/// Kept in a scratch file without a name, so that memory does not grow with the number of files and a killed process
/// leaves nothing.
final class ReceivedFiles {
    private let scratch: File
    private var end = 0
    private var buffer: [UInt8] = []
    private static let step = 64 * 1024

    /// `path` is one that nothing has; it is gone when this returns.
    init(scratch path: FilePath) throws {
        scratch = try File(path, .create)
        try Directory.remove(path)
    }

    func add(path: String, size: Int, checksum: UInt32) throws {
        append(path.utf8.count)
        buffer.append(contentsOf: path.utf8)
        append(size)
        append(Int(checksum))
        if buffer.count >= Self.step { try flush() }
    }

    private func append(_ value: Int) { withUnsafeBytes(of: UInt64(value).littleEndian) { buffer.append(contentsOf: $0) } }

    private func flush() throws {
        try buffer.withUnsafeBytes { try scratch.write($0, at: end) }
        end += buffer.count
        buffer.removeAll(keepingCapacity: true)
    }

    /// Shows every file in the order in which it came.
    func forEach(_ body: (_ path: String, _ size: Int, _ checksum: UInt32) throws -> Void) throws {
        try flush()
        var offset = 0
        var pending: [UInt8] = []
        var position = 0
        func bytes(_ count: Int) throws -> ArraySlice<UInt8> {
            if pending.count - position < count {
                pending.removeFirst(position)
                position = 0
                let more = try scratch.bytes(at: offset, count: max(Self.step, count))
                offset += more.count
                pending += more
                guard pending.count >= count else {
                    throw Failure(.inputOutput, "could not read a scratch file: it is too short")
                }
            }
            defer { position += count }
            return pending[position..<(position + count)]
        }
        func integer() throws -> Int { try bytes(8).reversed().reduce(0) { $0 << 8 | Int($1) } }
        while offset < end || position < pending.count {
            let path = String(decoding: try bytes(try integer()), as: UTF8.self)
            try body(path, try integer(), UInt32(try integer()))
        }
    }
}
