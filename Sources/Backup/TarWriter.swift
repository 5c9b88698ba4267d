import PostgresModel
import Repository
import Storage
import SystemPackage

/// Writes one tar archive front to back.
final class TarWriter {
    private let write: (UnsafeRawBufferPointer) throws -> Void
    private let finish: () throws -> Void
    private var buffer: [UInt8] = []
    private static let step = 1 << 20

    /// Into a new file, durable when it ends.
    convenience init(file path: FilePath) throws {
        let file = try File(path, .create)
        var position = 0
        self.init(
            write: {
                try file.write($0, at: position)
                position += $0.count
            }, finish: { try file.synchronize() })
    }

    init(write: @escaping (UnsafeRawBufferPointer) throws -> Void, finish: @escaping () throws -> Void = {}) {
        self.write = write
        self.finish = finish
    }

    func begin(_ entry: MapEntry, _ path: String, _ kind: TarReader.Entry.Kind, _ size: Int) throws {
        buffer += try TarHeader.bytes(.init(path: path, kind: kind, size: size, mode: entry.mode, modified: entry.modified))
    }

    func begin(_ path: String, mode: UInt32, modified: Timestamp, size: Int) throws {
        let seconds = modified.microseconds / 1_000_000
        buffer += try TarHeader.bytes(.init(path: path, kind: .file, size: size, mode: mode, modified: seconds))
    }

    func content(_ bytes: UnsafeRawBufferPointer) throws {
        buffer.append(contentsOf: bytes)
        if buffer.count >= Self.step { try flush() }
    }

    func endFile(_ size: Int) throws { buffer += [UInt8](repeating: 0, count: TarHeader.padding(ofSize: size)) }

    func end() throws {
        buffer += TarHeader.end
        try flush()
        try finish()
    }

    private func flush() throws {
        try buffer.withUnsafeBytes(write)
        buffer.removeAll(keepingCapacity: true)
    }
}
