@testable import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

/// The archives of a base backup, as a server sends them.
@Suite("An archive of a base backup")
struct ArchiveUnpackerTests {
    typealias Content = RepositoryExample.Content
    typealias Received = ReceivedFiles.Entry

    static func entry(_ path: String, _ bytes: [UInt8]) throws -> [UInt8] {
        let entry = TarReader.Entry(path: path, kind: .file, size: bytes.count, mode: 0o600, modified: 1_795_359_845)
        return try TarHeader.bytes(entry) + bytes + [UInt8](repeating: 0, count: TarHeader.padding(ofSize: bytes.count))
    }

    /// What is stored of an archive that comes in pieces, and what is said to have come.
    static func unpack(
        _ example: RepositoryExample, _ archive: [UInt8], name: String = "base.tar", hasIncrements: Bool = false,
        on reference: BackupRecord? = nil, pieces: () -> Int = { 1 << 20 }
    ) throws -> (contents: [Content], received: [Received]) {
        let record = BackupRecord.example(id: reference == nil ? "20261121T000000Z" : "20261122T000000Z")
        let writer = try example.writer(record.id, on: reference)
        let received = try ReceivedFiles(scratch: example.directory.appending("received.tmp"))
        do {
            var unpacker = try ArchiveUnpacker(archive: name, hasIncrements: hasIncrements, writer: writer, received: received)
            var rest = archive[...]
            while !rest.isEmpty {
                let piece = Array(rest.prefix(pieces()))
                try piece.withUnsafeBytes { try unpacker.take($0) }
                rest = rest.dropFirst(piece.count)
            }
            try unpacker.end()
        } catch {
            writer.cancel()
            throw error
        }
        var entries: [Received] = []
        while let entry = try received.next() { entries.append(entry) }
        let contents = try example.contents(try example.complete(writer, record, on: reference)).map(\.content)
        return (contents, entries)
    }

    static func received(_ path: String, _ bytes: [UInt8]) -> Received {
        Received(path: path, size: bytes.count, checksum: CRC32C(bytes).value)
    }

    /// The bytes of an INCREMENTAL file.
    static func increment(_ numbers: [UInt32], minimum: UInt32, _ blocks: [[UInt8]]) -> [UInt8] {
        var head = ([0xD3AE_1F0D, UInt32(numbers.count), minimum] + numbers).flatMap { word in
            withUnsafeBytes(of: word.littleEndian) { Array($0) }
        }
        if !numbers.isEmpty { head += [UInt8](repeating: 0, count: (8192 - head.count % 8192) % 8192) }
        return head + blocks.flatMap(\.self)
    }

    static func block(_ value: UInt8) -> [UInt8] { [UInt8](repeating: value, count: 8192) }

    @Test("has files, which are stored as they came", arguments: [1, 100, 1000, 1 << 20])
    func files(most: Int) throws {
        let files = [("PG_VERSION", Array("18\n".utf8)), ("base/5/1", Self.block(1) + Self.block(2)), ("empty", [])]
        try RepositoryExample.with { example in
            let archive = try files.flatMap { try Self.entry($0.0, $0.1) } + TarHeader.end
            let found = try Self.unpack(example, archive) { most }
            #expect(found.contents.map(\.path) == files.map(\.0) && found.contents.map(\.bytes) == files.map(\.1))
            #expect(found.received == files.map(Self.received))
        }
    }

    static let label = "START WAL LOCATION: 0/2000028\nLABEL: x\n"
    static let mark = "INCREMENTAL FROM LSN: 0/1000028\nINCREMENTAL FROM TLI: 1\n"

    @Test("has changes, which are stored as the files that they make", arguments: [1, 1000, 1 << 20])
    func increments(most: Int) throws {
        try RepositoryExample.with { example in
            let first = try example.backup(
                [
                    Content("base/5/1", Self.block(1) + Self.block(2)), Content("base/5/2.1", Self.block(3)),
                    Content("global/9", []),
                ],
                .example(id: "20261121T000000Z"))
            let changed = Self.increment([1, 3], minimum: 2, [Self.block(8), Self.block(9)])
            let unchanged = Self.increment([], minimum: 1, [])
            let empty = Self.increment([], minimum: 0, [])
            let label = Array((Self.label + Self.mark).utf8)
            let sent = [
                ("backup_label", label), ("base/5/INCREMENTAL.1", changed), ("base/5/INCREMENTAL.2.1", unchanged),
                ("base/5/4", Self.block(4)), ("global/INCREMENTAL.9", empty),
            ]
            let archive = try sent.flatMap { try Self.entry($0.0, $0.1) } + TarHeader.end
            let found = try Self.unpack(example, archive, hasIncrements: true, on: first) { most }
            let expected = [
                ("backup_label", Array(Self.label.utf8)),
                ("base/5/1", Self.block(1) + Self.block(8) + Self.block(0) + Self.block(9)), ("base/5/2.1", Self.block(3)),
                ("base/5/4", Self.block(4)), ("global/9", []),
            ]
            #expect(found.contents.map(\.path) == expected.map(\.0) && found.contents.map(\.bytes) == expected.map(\.1))
            #expect(found.received == sent.map(Self.received), "the manifest lists what was sent")
        }
    }

    /// Somebody may have left one in the data directory.
    @Test("has no changes where none were asked for, whatever the names of its files", arguments: [true, false])
    func noIncrements(hasReference: Bool) throws {
        try RepositoryExample.with { example in
            let first = try example.backup([Content("base/5/1", Self.block(1))], .example(id: "20261120T000000Z"))
            let bytes = Self.increment([0], minimum: 1, [Self.block(8)])
            let archive = try Self.entry("base/5/INCREMENTAL.1", bytes) + TarHeader.end
            let found = try Self.unpack(example, archive, on: hasReference ? first : nil)
            #expect(found.contents.map(\.path) == ["base/5/INCREMENTAL.1"] && found.contents.map(\.bytes) == [bytes])
            #expect(found.received == [Self.received("base/5/INCREMENTAL.1", bytes)])
        }
    }

    @Test("of a tablespace has its place before each path")
    func tablespace() throws {
        try RepositoryExample.with { example in
            let first = try example.backup(
                [Content("pg_tblspc/16384/PG_18/5/1", Self.block(1))], .example(id: "20261121T000000Z"))
            let bytes = Self.increment([0], minimum: 1, [Self.block(8)])
            let archive = try Self.entry("PG_18/5/INCREMENTAL.1", bytes) + Self.entry("backup_label", [1, 0x0A]) + TarHeader.end
            let found = try Self.unpack(example, archive, name: "16384.tar", hasIncrements: true, on: first)
            #expect(found.contents.map(\.path) == ["pg_tblspc/16384/PG_18/5/1", "pg_tblspc/16384/backup_label"])
            #expect(found.contents.map(\.bytes) == [Self.block(8), [1, 0x0A]])
            #expect(found.received.map(\.path) == ["pg_tblspc/16384/PG_18/5/INCREMENTAL.1", "pg_tblspc/16384/backup_label"])
        }
    }

    @Test(
        "with changes that cannot be is refused, and nothing is stored",
        arguments: [
            [], [1, 2, 3], Array(increment([0], minimum: 1, [block(1)]).dropLast()), [UInt8](repeating: 0, count: 16_384),
        ])
    func damaged(bytes: [UInt8]) throws {
        try RepositoryExample.with { example in
            let first = try example.backup([Content("base/5/1", Self.block(1))], .example(id: "20261121T000000Z"))
            let archive = try Self.entry("base/5/INCREMENTAL.1", bytes) + TarHeader.end
            let failure = try #require(throws: Failure.self) {
                _ = try Self.unpack(example, archive, hasIncrements: true, on: first)
            }
            #expect(failure.code == .protocolViolation)
        }
    }

    @Test("that ends within a file, or has another name, is refused", arguments: ["base.tar", "base", "x.tar", "16384", ".tar"])
    func refused(name: String) throws {
        try RepositoryExample.with { example in
            let archive = try Self.entry("a", [UInt8](repeating: 1, count: 1000))
            let failure = try #require(throws: Failure.self) {
                _ = try Self.unpack(example, name == "base.tar" ? Array(archive.dropLast(600)) : archive, name: name)
            }
            #expect(failure.code == .protocolViolation)
        }
    }
}
