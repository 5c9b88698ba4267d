import CLinux
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A backup's content")
struct BackupRoundTripTests {
    typealias Content = RepositoryExample.Content

    static let sizes = [
        0, 1, 8191, 8192, 8193, 16_384, Frame.capacity - 1, Frame.capacity, Frame.capacity + 1, 3 * Frame.capacity + 17, 5 << 20,
    ]

    static func contents(_ random: inout SeededGenerator) -> [Content] {
        (sizes + (0..<40).map { _ in Int.random(in: 0...200_000, using: &random) }).shuffled(using: &random).enumerated().map {
            number, size in
            let noise = random.bytes(min(size, 5000))
            return Content("base/5/file-\(number)", noise + [UInt8](repeating: UInt8(number), count: size - noise.count))
        }
    }

    @Test("comes back, in its order and with its checksums, whatever the sizes and the pieces", arguments: Seed.some(4))
    func roundTrip(seed: Seed) throws {
        var random = seed.generator
        try RepositoryExample.with { example in
            let contents = Self.contents(&random)
            let writer = try example.writer("20261122T150405Z", threads: Int.random(in: 1...4, using: &random))
            for content in contents {
                let most = max(1, content.bytes.count / Int.random(in: 1...20, using: &random))
                try example.write(content, to: writer) { Int.random(in: 1...most, using: &random) }
            }
            let summary = try writer.finish()
            var record = BackupRecord.example()
            record.packs = summary.packs
            try writer.commit(record)

            let found = try example.contents(record)
            #expect(found.map(\.content.path) == contents.map(\.path))
            for (found, sent) in zip(found, contents) {
                #expect(found.content.bytes == sent.bytes, "\(sent.path) of \(sent.bytes.count) bytes")
                #expect(found.checksum == CRC32C(sent.bytes).value)
            }
            #expect(summary.files == contents.count)
            #expect(summary.dataBytes == contents.reduce(0) { $0 + $1.bytes.count })
            #expect(summary.badPages == [])
            let packs = try #require(try Directory.names(in: example.repository.packs))
            #expect(packs == (try example.packs(record)).map { $0 + ".pack" })
        }
    }

    @Test("keeps directories, links, modes and times in the order in which they came")
    func entries() throws {
        try RepositoryExample.with { example in
            let writer = try example.writer("20261122T150405Z")
            let sent = [
                MapEntry(path: "base", mode: 0o700, modified: 1_795_359_845, kind: .directory),
                MapEntry(path: "pg_tblspc/16384", mode: 0o777, modified: 0, kind: .link(target: "/srv/größe")),
                MapEntry(path: "größe", mode: 0o7777, modified: 1 << 40, kind: .directory),
                MapEntry(path: "", mode: 0, modified: 0, kind: .directory),
            ]
            for entry in sent { try writer.add(entry) }
            try writer.beginFile(path: "empty", mode: 0o640, modified: 5, size: 0)
            try writer.endFile()
            let summary = try writer.finish()
            var record = BackupRecord.example()
            record.packs = summary.packs
            var found: [MapEntry] = []
            try example.reader(record).entries { found.append($0) }
            #expect(
                found == sent + [
                    MapEntry(path: "empty", mode: 0o640, modified: 5, kind: .file(size: 0, checksum: 0, extents: []))
                ])
            #expect(summary.packs.bytes == 0)
        }
    }

    @Test("shares frames: a file begins at the next block, wherever that is")
    func frames() throws {
        try RepositoryExample.with { example in
            let record = try example.backup([
                Content("a", [1, 2, 3]), Content("empty", []), Content("b", [UInt8](repeating: 1, count: 8193)),
                Content("large", [UInt8](repeating: 2, count: Frame.capacity + 1)), Content("c", [4]), Content("d", [5]),
            ])
            var places: [String: [[Int]]] = [:]
            try example.reader(record).entries { entry in
                guard case .file(_, _, let extents) = entry.kind else { return }
                places[entry.path] = extents.map { [$0.blocks, $0.pack, $0.frame, $0.block] }
            }
            #expect(
                places == [
                    "a": [[1, 0, 0, 0]], "empty": [], "b": [[2, 0, 0, 1]], "large": [[61, 0, 0, 3], [4, 0, 1, 0]],
                    "c": [[1, 0, 1, 4]], "d": [[1, 0, 1, 5]],
                ])
        }
    }

    @Test("of a file that is shorter or longer than announced is refused", arguments: [0, 9, 11, 200_000])
    func wrongSize(count: Int) throws {
        try RepositoryExample.with { example in
            let writer = try example.writer("20261122T150405Z")
            try writer.beginFile(path: "a", mode: 0o600, modified: 0, size: 10)
            try [UInt8](repeating: 0, count: count).withUnsafeBytes { try writer.content($0) }
            let failure = try #require(throws: Failure.self) { try writer.endFile() }
            #expect(failure.code == .protocolViolation)
            writer.cancel()
            try example.catalogue.collectLeftovers()
        }
    }

    @Test("that is given up leaves no pack and no backup", arguments: [0, 1, 1000, 3 << 20])
    func discard(bytes: Int) throws {
        try RepositoryExample.with { example in
            let kept = try example.backup([Content("a", [1])], .example(id: "20261121T000000Z"))
            let writer = try example.writer("20261122T150405Z")
            try example.write(Content("a", [UInt8](repeating: 1, count: bytes)), to: writer)
            writer.cancel()
            try example.catalogue.collectLeftovers()
            #expect(try Directory.names(in: example.repository.packs) == ["\(kept.id)-0.pack"])
            #expect(try Directory.names(in: example.repository.backups) == [kept.id])
            #expect(try example.contents(kept).map(\.content.bytes) == [[1]])
        }
    }

    @Test("that cannot be written ends with the reason, not with a wait for ever")
    func writeFails() throws {
        try RepositoryExample.with { example in
            let writer = try example.writer("20261122T150405Z")
            try SmallFile.write("in the way", to: example.packPath("20261122T150405Z-0"))
            let failure = try #require(throws: Failure.self) {
                for number in 0..<100 {
                    try example.write(Content("\(number)", [UInt8](repeating: 1, count: Frame.capacity)), to: writer)
                }
                _ = try writer.finish()
            }
            #expect(failure.code == .inputOutput && failure.message.contains("20261122T150405Z-0.pack"))
            writer.cancel()
            try example.catalogue.collectLeftovers()
        }
    }

    @Test("is invisible until it is committed")
    func commit() throws {
        try RepositoryExample.with { example in
            let writer = try example.writer("20261122T150405Z")
            try example.write(Content("a", [1]), to: writer)
            _ = try writer.finish()
            #expect(try example.catalogue.records().isEmpty)
            try writer.commit(.example())
            #expect(try example.catalogue.records().map(\.id) == ["20261122T150405Z"])
        }
    }

    @Test("has an identifier that no other backup has")
    func identifiers() throws {
        try RepositoryExample.with { example in
            let time = Timestamp(seconds: 1_795_359_845)
            #expect(try BackupWriter.newIdentifier(in: example.catalogue, at: time) == "20261122T150405Z")
            try Directory.create(example.catalogue.directory(of: "20261122T150405Z"))
            try Directory.create(example.catalogue.directory(of: "20261122T150406Z"))
            #expect(try BackupWriter.newIdentifier(in: example.catalogue, at: time) == "20261122T150407Z")
        }
    }

    @Test("has no identifier of a deleted backup to whose packs another one refers")
    func identifiersOfPacks() throws {
        try RepositoryExample.with { example in
            let time = Timestamp(seconds: 1_795_359_845)
            let deleted = try example.backup([Content("a", [1, 2, 3])], .example(id: time.compactText))
            try example.backup(
                [Content("a", [1, 2, 3])], .example(id: "20261122T150406Z", end: "0/300000"), on: deleted)
            _ = try example.catalogue.delete([deleted.id], level: .standard)
            #expect(try BackupWriter.newIdentifier(in: example.catalogue, at: time) == "20261122T150407Z")
        }
    }

    // MARK: Pages

    /// A page with the checksum of its block, and the LSN 0/1000000.
    static func page(block: UInt32, _ random: inout SeededGenerator) -> [UInt8] {
        var page = random.bytes(RelationFile.pageSize)
        page.replaceSubrange(0..<8, with: [0, 0, 0, 0, 0, 0, 0, 1])
        page[15] |= 1  // pd_upper is not zero
        let checksum = page.withUnsafeBytes { pgark_page_checksum($0.baseAddress, block) }
        page[8] = UInt8(truncatingIfNeeded: checksum)
        page[9] = UInt8(truncatingIfNeeded: checksum >> 8)
        return page
    }

    @Test("tells exactly the pages that are bad, wherever they lie in a frame", arguments: Seed.some(4))
    func badPages(seed: Seed) throws {
        var random = seed.generator
        try RepositoryExample.with { example in
            var contents: [Content] = []
            var bad: Set<BackupRecord.BadPage> = []
            for number in 0..<60 {
                if number % 3 == 0 {
                    contents.append(Content("base/5/PG_VERSION", random.bytes(Int.random(in: 1...9000, using: &random))))
                }
                let pages = number % 20 == 7 ? 150 : Int.random(in: 0...17, using: &random)
                let first: UInt32 = number % 5 == 0 ? 131_072 : 0
                var content = Content("base/5/\(16384 + number)\(first > 0 ? ".1" : "")", [])
                for block in first..<(first + UInt32(pages)) {
                    var page = Self.page(block: block, &random)
                    if Int.random(in: 0..<10, using: &random) == 0 {
                        page[Int.random(in: 16..<8192, using: &random)] ^= 0x10
                        bad.insert(.init(path: content.path, block: Int(block)))
                    }
                    content.bytes += page
                }
                contents.append(content)
            }
            // No page is newer than this, whatever its bytes say.
            let writer = try example.writer("20261122T150405Z", checksPages: true, backupBegin: LSN(rawValue: .max))
            for content in contents { try example.write(content, to: writer) { Int.random(in: 1...70_000, using: &random) } }
            let summary = try writer.finish()
            #expect(Set(summary.badPages) == bad)
            #expect(summary.badPages.count == bad.count)
        }
    }

    @Test("has no bad pages where the server has no checksums, and none in files that are no relations")
    func uncheckedPages() throws {
        try RepositoryExample.with { example in
            let noise = [UInt8](repeating: 0x55, count: 8192)
            for (checks, expected) in [(false, 0), (true, 1)] {
                let writer = try example.writer(
                    "2026112\(expected)T150405Z", checksPages: checks, backupBegin: LSN("FFFFFFFF/0")!)
                for path in ["base/5/1259", "base/5/PG_VERSION", "pg_xact/0000"] {
                    try example.write(Content(path, noise), to: writer)
                }
                try example.write(Content("base/5/1260", noise + [1]), to: writer)
                #expect(try writer.finish().badPages.count == expected)
            }
        }
    }
}
