import PostgresModel
import Storage
import SystemPackage

/// What the data directory looked like: every directory, link and file, and for each file where its bytes are.
///
/// A map is complete in itself. It is written and read front to back, one entry at a time, whatever its size.
package struct MapEntry: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        case directory
        case link(target: String)
        case file(size: Int, checksum: UInt32, extents: [Extent])
    }

    /// Below the data directory; a tablespace's files are below pg_tblspc/<oid>.
    package var path: String
    package var mode: UInt32
    /// Seconds since 1970.
    package var modified: Int64
    package var kind: Kind

    package init(path: String, mode: UInt32, modified: Int64, kind: Kind) {
        self.path = path
        self.mode = mode
        self.modified = modified
        self.kind = kind
    }
}

enum BackupMap {
    static let magic = Array("PGARKMAP".utf8) + [UInt8(Repository.formatVersion)]
    static let directory = UInt8(ascii: "D")
    static let link = UInt8(ascii: "L")
    static let file = UInt8(ascii: "F")
    static let end = UInt8(ascii: "E")
}

final class MapWriter {
    private let output: CompressedFileWriter
    private var buffer = ByteWriter()
    private var checksum = CRC32C()
    private var count = 0

    init(_ path: FilePath) throws {
        output = try CompressedFileWriter(path, level: .standard, permissions: Repository.filePermissions)
        buffer.bytes(BackupMap.magic)
        try flush()
    }

    func append(_ entry: MapEntry) throws {
        switch entry.kind {
        case .directory: header(BackupMap.directory, entry)
        case .link(let target):
            header(BackupMap.link, entry)
            buffer.text(target)
        case .file(let size, let checksum, let extents):
            header(BackupMap.file, entry)
            buffer.variable(size)
            buffer.integer(checksum)
            buffer.variable(extents.count)
            for extent in extents {
                buffer.variable(extent.length)
                buffer.variable(extent.pack)
                buffer.variable(extent.frame)
                buffer.variable(extent.offset)
            }
        }
        count += 1
        try flush()
    }

    private func header(_ kind: UInt8, _ entry: MapEntry) {
        buffer.bytes([kind])
        buffer.text(entry.path)
        buffer.variable(Int(entry.mode))
        buffer.variable(Int(max(0, entry.modified)))
    }

    /// Ends the map; durable under its name when this returns.
    func commit() throws {
        buffer.bytes([BackupMap.end])
        buffer.variable(count)
        try flush()
        buffer.integer(checksum.value)
        try flush()
        try output.commit()
    }

    private func flush() throws {
        try buffer.bytes.withUnsafeBytes {
            checksum.add($0)
            try output.write($0)
        }
        buffer.clear()
    }
}

enum MapReader {
    /// Shows every entry to `body`, in order; throws `damaged` unless the map is whole.
    static func read(_ path: FilePath, _ body: (MapEntry) throws -> Void) throws {
        var parser = Parser()
        do {
            try CompressedFile.read(path) { try parser.add($0, body) }
            guard parser.isComplete else { throw Failure(.damaged, "it ends early") }
        } catch let failure as Failure where failure.code == .damaged {
            throw Failure(.damaged, "could not read the map \(path): \(failure.message)", details: failure.details)
        }
    }

    private struct Parser {
        private var pending: [UInt8] = []
        private var hasMagic = false
        private var checksum = CRC32C()
        private var count = 0
        private(set) var isComplete = false

        mutating func add(_ bytes: UnsafeRawBufferPointer, _ body: (MapEntry) throws -> Void) throws {
            pending.append(contentsOf: bytes)
            var position = 0
            while position < pending.count, !isComplete {
                var scanner = Scanner(bytes: pending, position: position)
                guard try step(&scanner, body) else { break }
                pending.withUnsafeBytes { checksum.add(UnsafeRawBufferPointer(rebasing: $0[position..<scanner.position])) }
                position = scanner.position
            }
            pending.removeFirst(position)
        }

        /// Reads one record; false where its bytes are not all there yet.
        private mutating func step(_ scanner: inout Scanner, _ body: (MapEntry) throws -> Void) throws -> Bool {
            guard hasMagic else {
                guard let magic = scanner.bytes(BackupMap.magic.count) else { return false }
                guard magic.elementsEqual(BackupMap.magic) else { throw Failure(.damaged, "it is not a map of this format") }
                hasMagic = true
                return true
            }
            guard let kind = scanner.bytes(1)?.first else { return false }
            if kind == BackupMap.end { return try end(&scanner) }
            guard let path = scanner.text(), let mode = scanner.variable(), let modified = scanner.variable() else {
                return false
            }
            let content: MapEntry.Kind
            switch kind {
            case BackupMap.directory: content = .directory
            case BackupMap.link:
                guard let target = scanner.text() else { return false }
                content = .link(target: target)
            case BackupMap.file:
                guard let size = scanner.variable(), let checksum = scanner.integer(), let extents = scanner.extents() else {
                    return false
                }
                content = .file(size: size, checksum: checksum, extents: extents)
            default: throw Failure(.damaged, "it has an entry of the unknown kind \(kind)")
            }
            guard let mode = UInt32(exactly: mode) else {
                throw Failure(.damaged, "its entry for \(path) has the impossible mode \(mode)")
            }
            count += 1
            try body(MapEntry(path: path, mode: mode, modified: Int64(modified), kind: content))
            return true
        }

        private mutating func end(_ scanner: inout Scanner) throws -> Bool {
            let begin = scanner.position - 1
            guard let expected = scanner.variable() else { return false }
            let covered = scanner.position
            guard let stored = scanner.integer() else { return false }
            var sum = checksum
            scanner.raw(begin..<covered) { sum.add($0) }
            guard expected == count, stored == sum.value else { throw Failure(.damaged, "its checksum does not match") }
            isComplete = true
            return true
        }
    }

    private struct Scanner {
        let bytes: [UInt8]
        var position: Int

        mutating func bytes(_ count: Int) -> ArraySlice<UInt8>? {
            guard count <= bytes.count - position else { return nil }
            defer { position += count }
            return bytes[position..<(position + count)]
        }

        mutating func variable() -> Int? {
            var value: UInt64 = 0
            var shift: UInt64 = 0
            while let byte = bytes(1)?.first, shift < 63 {
                value |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { return Int(exactly: value) }
                shift += 7
            }
            return nil
        }

        mutating func integer() -> UInt32? {
            bytes(4)?.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        }

        mutating func text() -> String? {
            variable().flatMap { bytes($0) }.map { String(decoding: $0, as: UTF8.self) }
        }

        mutating func extents() -> [Extent]? {
            guard let count = variable(), count <= (bytes.count - position) / 4 else { return nil }
            var extents: [Extent] = []
            extents.reserveCapacity(count)
            for _ in 0..<count {
                guard let length = variable(), let pack = variable(), let frame = variable(), let offset = variable() else {
                    return nil
                }
                extents.append(Extent(length: length, pack: pack, frame: frame, offset: offset))
            }
            return extents
        }

        func raw(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
            bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[range])) }
        }
    }
}
