import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A backup of changes")
struct ReferenceTests {
    typealias Content = RepositoryExample.Content

    /// Sends `change` of a file with these blocks of one byte each.
    static func send(_ change: FileChange, _ blocks: [UInt8], of path: String = "base/5/1", to writer: BackupWriter) throws {
        try writer.beginIncrement(path: path, mode: 0o600, modified: 0, change: change)
        for block in blocks { try [UInt8](repeating: block, count: 8192).withUnsafeBytes { try writer.content($0) } }
        try writer.endFile()
    }

    static func first(_ example: RepositoryExample, _ contents: [Content]) throws -> BackupRecord {
        try example.backup(contents, .example(id: "20261121T000000Z"))
    }

    static func file(_ blocks: [UInt8], _ path: String = "base/5/1", cut: Int = 0) -> Content {
        Content(path, Array(blocks.flatMap { [UInt8](repeating: $0, count: 8192) }.dropLast(cut)))
    }

    @Test(
        "has the file that pg_combinebackup would make",
        arguments: [
            // Nothing changed; one block; all of them.
            ([1, 2, 3], 3, [], [], [1, 2, 3]), ([1, 2, 3], 3, [1], [9], [1, 9, 3]), ([1, 2], 2, [0, 1], [8, 9], [8, 9]),
            // Longer: what does not come is zeros.
            ([1, 2], 4, [], [], [1, 2, 0, 0]), ([1, 2], 2, [3], [9], [1, 2, 0, 9]), ([1, 2], 5, [3], [9], [1, 2, 0, 9, 0]),
            ([], 2, [], [], [0, 0]), ([], 0, [2], [9], [0, 0, 9]),
            // Cut off, and made longer again: what was beyond the cut is gone.
            ([1, 2, 3], 1, [], [], [1]), ([1, 2, 3], 0, [], [], []), ([1, 2, 3], 1, [2], [9], [1, 0, 9]),
            ([1, 2, 3, 4], 2, [0, 4], [8, 9], [8, 2, 0, 0, 9]),
        ] as [([UInt8], Int, [UInt32], [UInt8], [UInt8])])
    func merged(old: [UInt8], minimum: Int, numbers: [UInt32], blocks: [UInt8], expected: [UInt8]) throws {
        try RepositoryExample.with { example in
            let first = try Self.first(example, [Self.file(old)])
            let writer = try example.writer("20261122T000000Z", on: first)
            try Self.send(FileChange(blocks: numbers, minimumBlocks: minimum), blocks, to: writer)
            let record = try example.complete(writer, .example(id: "20261122T000000Z"), on: first)
            let found = try #require(try example.contents(record).first)
            #expect(found.content.bytes == Self.file(expected).bytes)
            #expect(found.checksum == CRC32C(Self.file(expected).bytes).value)
            #expect(record.dataBytes == expected.count * 8192 && record.method == .incremental)
        }
    }

    @Test("of a file that was no multiple of a block has that block filled up with zeros")
    func oddSize() throws {
        try RepositoryExample.with { example in
            let first = try Self.first(example, [Self.file([1, 2], cut: 1000)])
            let writer = try example.writer("20261122T000000Z", on: first)
            try Self.send(FileChange(blocks: [2], minimumBlocks: 2), [9], to: writer)
            let record = try example.complete(writer, .example(id: "20261122T000000Z"), on: first)
            let found = try #require(try example.contents(record).first)
            let expected = Self.file([1, 2], cut: 1000).bytes + [UInt8](repeating: 0, count: 1000) + Self.file([9]).bytes
            #expect(found.content.bytes == expected && found.checksum == CRC32C(expected).value)
        }
    }

    @Test("is given up where the earlier one does not have the file")
    func noFile() throws {
        try RepositoryExample.with { example in
            let first = try Self.first(example, [Self.file([1])])
            let writer = try example.writer("20261122T000000Z", on: first)
            let damage = try #require(throws: ReferenceDamage.self) {
                try Self.send(FileChange(blocks: [], minimumBlocks: 1), [], of: "base/5/2", to: writer)
            }
            #expect(damage.failure.code == .damaged && damage.failure.message.contains("base/5/2"))
            writer.cancel()
            #expect(try example.contents(first).map(\.content.bytes) == [Self.file([1]).bytes])
        }
    }

    /// The checksum of the whole needs the old block's sum: one that changed, or where something was cut off, any that stays.
    @Test(
        "is given up where a block of the earlier one that it needs is damaged",
        arguments: [([1], 3), ([], 2)] as [([UInt32], Int)])
    func damaged(numbers: [UInt32], minimum: Int) throws {
        try RepositoryExample.with { example in
            let first = try Self.first(example, [Self.file([1, 2, 3])])
            try example.flip(.init(pack: "\(first.id)-0", frame: 0), .sums)
            let writer = try example.writer("20261122T000000Z", on: first)
            let damage = try #require(throws: ReferenceDamage.self) {
                try Self.send(FileChange(blocks: numbers, minimumBlocks: minimum), numbers.map { _ in 9 }, to: writer)
            }
            #expect(damage.failure.code == .damaged && damage.failure.message.contains("base/5/1"))
            #expect(damage.failure.details == ["backup \(first.id)"])
            writer.cancel()
            try example.catalogue.collectLeftovers()
            #expect(try Directory.names(in: example.repository.packs) == ["\(first.id)-0.pack"])
        }
    }

    @Test("of other blocks than were announced is refused", arguments: [0, 1, 3])
    func wrongCount(count: Int) throws {
        try RepositoryExample.with { example in
            let first = try Self.first(example, [Self.file([1, 2, 3])])
            let writer = try example.writer("20261122T000000Z", on: first)
            let failure = try #require(throws: Failure.self) {
                try Self.send(
                    FileChange(blocks: [0, 1], minimumBlocks: 3), Array(repeating: 9, count: count), to: writer)
            }
            #expect(failure.code == .protocolViolation)
            writer.cancel()
        }
    }

    // MARK: Bad pages

    /// Pages 2, 5 and 7 of ten are bad in the earlier backup. Then 5 becomes another, good one, and 7 another, bad one.
    @Test(
        "tells bad pages that came, and takes those over that stayed",
        arguments: [
            (nil, [7], [2]), (FileChange(blocks: [5, 7], minimumBlocks: 10), [7], [2]),
            // Sent although it is the same, it came.
            (FileChange(blocks: [2, 5, 7], minimumBlocks: 10), [2, 7], []),
            (FileChange(blocks: [], minimumBlocks: 5), [], [2]), (FileChange(blocks: [], minimumBlocks: 2), [], []),
        ] as [(FileChange?, [Int], [Int])], [("base/5/1", 0), ("base/5/1.2", 262_144)])
    func badPages(row: (change: FileChange?, came: [Int], stayed: [Int]), file: (path: String, first: Int)) throws {
        var random = Seed(value: 4).generator
        func page(_ block: Int) -> [UInt8] { BackupRoundTripTests.page(block: UInt32(file.first + block), &random) }
        var pages = (0..<10).map(page)
        for block in [2, 5, 7] { pages[block][5000] ^= 1 }
        try RepositoryExample.with { example in
            func writer(_ id: String, on reference: BackupRecord?) throws -> BackupWriter {
                try example.writer(id, checksPages: true, backupBegin: LSN(rawValue: .max), on: reference)
            }
            let full = try writer("20261121T000000Z", on: nil)
            try example.write(Content(file.path, pages.flatMap(\.self)), to: full)
            let first = try example.complete(full, .example(id: "20261121T000000Z"))
            #expect(first.badPages.map(\.block) == [2, 5, 7].map { $0 + file.first })

            (pages[5], pages[7]) = (page(5), page(7))
            pages[7][100] ^= 1
            let next = try writer("20261122T000000Z", on: first)
            if let change = row.change {
                try next.beginIncrement(path: file.path, mode: 0o600, modified: 0, change: change)
                for block in change.blocks { try pages[Int(block)].withUnsafeBytes { try next.content($0) } }
                try next.endFile()
            } else {
                try example.write(Content(file.path, pages.flatMap(\.self)), to: next)
            }
            let summary = try next.finish()
            #expect(summary.badPages == row.came.map { .init(path: file.path, block: $0 + file.first) })
            #expect(summary.carriedBadPages == row.stayed.map { .init(path: file.path, block: $0 + file.first) })
        }
    }
}
