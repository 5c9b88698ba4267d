import PostgresModel
import Storage
package import SystemPackage

/// The entries of a map, found by path, in constant memory.
///
/// The map is unpacked into a scratch file without a name, so that a killed process leaves nothing. Entries are mostly
/// asked for in the order in which they are in the map, because the server sends them in that order; a table of
/// positions is made, beside the entries, when the first one is not.
package final class MapIndex {
    private let scratch: File
    private var end = 0
    private var count = 0
    private var buffer = ByteWriter()
    /// Where the entry after the one found last begins.
    private var next = 0
    private var table: (start: Int, slots: Int)?

    private static let flushStep = 256 * 1024
    private static let readStep = 1024
    private static let slotSize = 16

    /// `scratch` is a path that nothing has; it is gone when this returns. `visit` sees every entry. Throws `damaged` where the
    /// map is.
    package init(_ map: FilePath, scratch path: FilePath, visit: (MapEntry) throws -> Void = { _ in }) throws {
        scratch = try File(path, .create)
        try Directory.remove(path)
        try MapReader.read(map) { entry in
            try visit(entry)
            BackupMap.write(entry, to: &buffer)
            count += 1
            if buffer.bytes.count >= Self.flushStep { try flush() }
        }
        try flush()
    }

    private func flush() throws {
        try buffer.bytes.withUnsafeBytes { try scratch.write($0, at: end) }
        end += buffer.bytes.count
        buffer.clear()
    }

    /// Nil where the map has nothing of that path.
    package func entry(_ path: String) throws -> MapEntry? {
        if let found = try entry(at: next), found.entry.path == path {
            next = found.end
            return found.entry
        }
        guard let position = try position(of: path), let found = try entry(at: position) else { return nil }
        next = found.end
        return found.entry
    }

    private func entry(at position: Int) throws -> (entry: MapEntry, end: Int)? {
        var step = Self.readStep
        while position < end {
            let bytes = try scratch.bytes(at: position, count: min(step, end - position))
            let found: (MapEntry, Int)? = try bytes.withUnsafeBytes { bytes in
                var scanner = ByteScanner(bytes: bytes, position: 1)
                return try BackupMap.read(bytes[0], &scanner).map { ($0, position + scanner.position) }
            }
            if let found { return found }
            precondition(step < end - position, "a scratch file's last entry is complete")
            step *= 4
        }
        return nil
    }

    // MARK: The table

    /// Open addressing in a part of the scratch file behind the entries: a slot is a path's hash and its entry's position
    /// plus one.
    private func position(of path: String) throws -> Int? {
        let (start, slots) = try table ?? makeTable()
        let hash = Self.hash(path)
        var slot = Int(hash % UInt64(slots))
        while true {
            let (found, position) = try self.slot(slot, start)
            if position == 0 { return nil }
            if found == hash, try entry(at: position - 1)?.entry.path == path { return position - 1 }
            slot = (slot + 1) % slots
        }
    }

    private func makeTable() throws -> (start: Int, slots: Int) {
        let (start, slots) = (end, count * 2 + 1)
        try scratch.truncate(to: start + slots * Self.slotSize)  // what was not written reads as zeros
        var position = 0
        while let found = try entry(at: position) {
            let hash = Self.hash(found.entry.path)
            var slot = Int(hash % UInt64(slots))
            while try self.slot(slot, start).position != 0 { slot = (slot + 1) % slots }
            var bytes = ByteWriter()
            bytes.integer(hash)
            bytes.integer(UInt64(position + 1))
            try bytes.bytes.withUnsafeBytes { try scratch.write($0, at: start + slot * Self.slotSize) }
            position = found.end
        }
        table = (start, slots)
        return (start, slots)
    }

    private func slot(_ number: Int, _ start: Int) throws -> (hash: UInt64, position: Int) {
        try scratch.bytes(at: start + number * Self.slotSize, count: Self.slotSize).withUnsafeBytes {
            ($0.littleEndian(at: 0), Int(truncatingIfNeeded: $0.littleEndian(at: 8) as UInt64))
        }
    }

    private static func hash(_ path: String) -> UInt64 {
        var path = path
        return path.withUTF8 { BlockSum(UnsafeRawBufferPointer($0)).hash }
    }
}
