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

    /// Whether a data directory can have it. Paths lead to nowhere else, whoever wrote the map; of links there are those of
    /// tablespaces, whose files are restored to where their links lead.
    fileprivate var isPossible: Bool {
        guard modified < Self.endOfTime,
            path.isEmpty
                || path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy(Self.isName)
        else { return false }
        guard case .link = kind else { return true }
        return path.hasPrefix("pg_tblspc/") && path.utf8.count(where: { $0 == UInt8(ascii: "/") }) == 1
    }

    private static func isName(_ text: Substring.UTF8View) -> Bool {
        let dot = UInt8(ascii: ".")
        return !text.isEmpty && !text.contains(0) && !(text.count <= 2 && text.allSatisfy { $0 == dot })
    }

    /// In seconds; microseconds until then can be counted.
    private static let endOfTime: Int64 = 1 << 42

    /// So many blocks has a file of this size.
    package static func blocks(ofSize size: Int) -> Int {
        size / Frame.blockSize + (size % Frame.blockSize > 0 ? 1 : 0)  // a map may claim any size
    }
}

enum BackupMap {
    static let magic = Array("PGARKMAP".utf8) + [UInt8(Repository.formatVersion)]
    static let directory = UInt8(ascii: "D")
    static let link = UInt8(ascii: "L")
    static let file = UInt8(ascii: "F")
    static let end = UInt8(ascii: "E")

    static func write(_ entry: MapEntry, to buffer: inout ByteWriter) {
        func header(_ kind: UInt8) {
            buffer.bytes(CollectionOfOne(kind))
            buffer.text(entry.path)
            buffer.variable(Int(entry.mode))
            buffer.variable(Int(max(0, entry.modified)))
        }
        switch entry.kind {
        case .directory: header(directory)
        case .link(let target):
            header(link)
            buffer.text(target)
        case .file(let size, let checksum, let extents):
            header(file)
            buffer.variable(size)
            buffer.integer(checksum)
            buffer.variable(extents.count)
            for extent in extents {
                buffer.variable(extent.blocks)
                buffer.variable(extent.pack)
                buffer.variable(extent.frame)
                buffer.variable(extent.block)
            }
        }
    }

    /// The entry at the scanner's position; nil where its bytes are not all there yet.
    static func read(_ kind: UInt8, _ scanner: inout ByteScanner) throws -> MapEntry? {
        guard let path = scanner.text(), let mode = scanner.variable(), let modified = scanner.variable() else { return nil }
        let content: MapEntry.Kind
        switch kind {
        case directory: content = .directory
        case link:
            guard let target = scanner.text() else { return nil }
            content = .link(target: target)
        case file:
            guard let size = scanner.variable(), let checksum = scanner.integer(), let extents = try extents(of: path, &scanner)
            else { return nil }
            content = .file(size: size, checksum: checksum, extents: extents)
        default: throw Failure(.damaged, "it has an entry of the unknown kind \(kind)")
        }
        guard let mode = UInt32(exactly: mode) else {
            throw Failure(.damaged, "its entry for \(path) has the impossible mode \(mode)")
        }
        let entry = MapEntry(path: path, mode: mode, modified: Int64(modified), kind: content)
        guard entry.isPossible else { throw Failure(.damaged, "it has an entry that no data directory has: \(path)") }
        return entry
    }

    private static func extents(of path: String, _ scanner: inout ByteScanner) throws -> [Extent]? {
        guard let count = scanner.variable(), count <= (scanner.bytes.count - scanner.position) / 4 else { return nil }
        var extents: [Extent] = []
        extents.reserveCapacity(count)
        for _ in 0..<count {
            guard let blocks = scanner.variable(), let pack = scanner.variable(), let frame = scanner.variable(),
                let block = scanner.variable()
            else { return nil }
            guard let extent = Extent(exactly: blocks, pack: pack, frame: frame, block: block) else {
                throw Failure(.damaged, "its entry for \(path) has an impossible extent")
            }
            extents.append(extent)
        }
        return extents
    }
}

final class MapWriter {
    private let output: CompressedFileWriter
    private var buffer = ByteWriter()
    private var checksum = CRC32C()
    private var count = 0

    private static let flushStep = 64 * 1024

    init(_ path: FilePath) throws {
        output = try CompressedFileWriter(path, level: .standard, permissions: Repository.filePermissions)
        buffer.bytes(BackupMap.magic)
    }

    func append(_ entry: MapEntry) throws {
        BackupMap.write(entry, to: &buffer)
        count += 1
        if buffer.bytes.count >= Self.flushStep { try flush() }
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
