import PostgresModel
import Storage
import SystemPackage

enum MapReader {
    /// Shows every entry to `body`, in order; throws `damaged` unless the map is whole.
    static func read(_ path: FilePath, _ body: (MapEntry) throws -> Void) throws {
        var parser = Parser()
        do {
            guard try Directory.exists(path) else { throw Failure(.damaged, "it is missing") }
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
            let used = try pending.withUnsafeBytes { bytes in
                var position = 0
                while position < bytes.count, !isComplete {
                    var scanner = ByteScanner(bytes: bytes, position: position)
                    guard try step(&scanner, body) else { break }
                    checksum.add(UnsafeRawBufferPointer(rebasing: bytes[position..<scanner.position]))
                    position = scanner.position
                }
                return position
            }
            pending.removeFirst(used)
        }

        /// Reads one record; false where its bytes are not all there yet.
        private mutating func step(_ scanner: inout ByteScanner, _ body: (MapEntry) throws -> Void) throws -> Bool {
            guard hasMagic else {
                guard let magic = scanner.bytes(BackupMap.magic.count) else { return false }
                guard magic.elementsEqual(BackupMap.magic) else { throw Failure(.damaged, "it is not a map of this format") }
                hasMagic = true
                return true
            }
            guard let kind = scanner.byte() else { return false }
            if kind == BackupMap.end { return try end(&scanner) }
            guard let entry = try BackupMap.read(kind, &scanner) else { return false }
            count += 1
            try body(entry)
            return true
        }

        private mutating func end(_ scanner: inout ByteScanner) throws -> Bool {
            let begin = scanner.position - 1
            guard let expected = scanner.variable() else { return false }
            let covered = scanner.position
            guard let stored = scanner.integer() else { return false }
            var sum = checksum
            sum.add(UnsafeRawBufferPointer(rebasing: scanner.bytes[begin..<covered]))
            guard expected == count, stored == sum.value else { throw Failure(.damaged, "its checksum does not match") }
            isComplete = true
            return true
        }
    }
}
