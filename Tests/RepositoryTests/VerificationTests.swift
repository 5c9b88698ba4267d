import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("Verification")
struct VerificationTests {
    typealias Content = RepositoryExample.Content

    static let contents: [Content] = {
        var random = Seed(value: 1).generator
        return [
            Content("PG_VERSION", Array("15\n".utf8)), Content("base/5/1259", pages(0..<20, &random)),
            Content("base/5/1259.1", pages(131_072..<131_162, &random)), Content("base/5/1260", pages(0..<1, &random)),
            Content("empty", []),
        ]
    }()

    /// Pages with their checksums, older than the backup.
    static func pages(_ blocks: Range<UInt32>, _ random: inout SeededGenerator) -> [UInt8] {
        blocks.flatMap { BackupRoundTripTests.page(block: $0, &random) }
    }

    /// From within one WAL segment to within the next.
    static let record = BackupRecord.example(begin: "0/2000028", end: "0/2100100")

    /// A backup with its WAL, of which the last segment is not finished.
    static func with(_ body: (RepositoryExample, BackupRecord) throws -> Void) throws {
        try RepositoryExample.with { example in
            try example.putArchived(RepositoryExample.segment(0x20))
            try example.putPartial(RepositoryExample.segment(0x21), bytes: 0x100)
            try body(example, try example.backup(contents, record))
        }
    }

    static func problems(_ example: RepositoryExample, _ record: BackupRecord, deep: Bool) throws -> [Verification.Problem] {
        try Verification(example.reader(record), deep: deep).run { _ in }.problems
    }

    /// The one pack of a backup that is small and built on no other.
    static func packPath(_ example: RepositoryExample, _ record: BackupRecord) -> FilePath { example.packPath("\(record.id)-0") }

    static func flip(_ path: FilePath, at offset: Int) throws {
        let file = try File(path, .update)
        var byte = try file.bytes(at: offset, count: 1)
        byte[0] ^= 0x20
        try byte.withUnsafeBytes { try file.write($0, at: offset) }
    }

    @Test("of a whole backup finds nothing, and has seen everything", arguments: [false, true])
    func whole(deep: Bool) throws {
        try Self.with { example, record in
            let ticks = Monitor([Int]())
            let report = try Verification(example.reader(record), deep: deep).run { bytes in ticks.change { $0.append(bytes) } }
            #expect(report.problems == [])
            #expect(report.files == Self.contents.count && report.frames == [])
            #expect(report.bytes == Self.contents.reduce(0) { $0 + $1.bytes.count })
            let told = ticks.read { $0 }
            #expect(told.count >= Self.contents.count && told == told.sorted() && told.last! <= report.bytes)
        }
    }

    @Test("finds another byte in any frame, and names the file and its first block", arguments: [false, true])
    func frames(deep: Bool) throws {
        try Self.with { example, record in
            let path = Self.packPath(example, record)
            let bytes = try #require(try SmallFile.read(path))
            let offsets = PackTests.frameOffsets(bytes)
            // 1259.1 is in both: the first has 64 blocks, of which 21 are other files'.
            #expect(offsets.count == 2)
            let expected: [[(String, Int?)]] = [
                [("PG_VERSION", nil), ("base/5/1259", 0), ("base/5/1259.1", 131_072)],
                [("base/5/1259.1", 131_072 + 43), ("base/5/1260", 0)],
            ]
            let last = [offsets[1] - offsets[0] - 1, bytes.count - 24 - 2 * 20 - offsets[1] - 1]
            for (frame, offset) in offsets.enumerated() {
                // Of the header, the payload and the sums.
                for place in [0, 4, 20, 24, 28, 32, 40, last[frame]] {
                    try overwrite(path, bytes)
                    try Self.flip(path, at: offset + place)
                    let problems = try Self.problems(example, record, deep: deep)
                    #expect(problems.map(\.file) == expected[frame].map(\.0), "frame \(frame), byte \(place)")
                    #expect(problems.map(\.block) == expected[frame].map(\.1), "frame \(frame), byte \(place)")
                    #expect(problems.allSatisfy { $0.backup == record.id && $0.message.contains("frame \(frame) ") })
                }
            }
        }
    }

    @Test("finds another byte anywhere in the map")
    func map() throws {
        try Self.with { example, record in
            let path = example.reader(record).mapPath
            for offset in 0..<(try #require(try Directory.status(path)).size) {
                try Self.flip(path, at: offset)
                let problems = try Self.problems(example, record, deep: false)
                #expect(problems.contains { $0.file == "map.zst" && $0.message.contains(path.string) }, "byte \(offset)")
                try Self.flip(path, at: offset)
            }
            #expect(try Self.problems(example, record, deep: true) == [])
        }
    }

    @Test(
        "finds another byte in the manifest, in the list of packs and in a saved configuration file",
        arguments: ["manifest.zst", "packs", "config/0-pg_hba.conf"])
    func otherFiles(name: String) throws {
        try Self.with { example, record in
            try Self.flip(example.catalogue.directory(of: record.id).appending(FilePath(name).components), at: 3)
            // Without the list of packs the map cannot be followed.
            let problems = try Self.problems(example, record, deep: false)
            #expect(problems.map(\.file) == (name == "packs" ? ["map.zst", "packs"] : [name]))
        }
    }

    @Test("finds a missing file", arguments: ["manifest.zst", "map.zst", "packs", "config/0-pg_hba.conf"])
    func missing(name: String) throws {
        try Self.with { example, record in
            try Directory.remove(example.catalogue.directory(of: record.id).appending(FilePath(name).components))
            #expect(try Self.problems(example, record, deep: false).contains { $0.file == name })
        }
    }

    @Test("finds every file of a pack that is missing")
    func missingPack() throws {
        try Self.with { example, record in
            try Directory.remove(Self.packPath(example, record))
            let problems = try Self.problems(example, record, deep: false)
            #expect(problems.map(\.file) == ["PG_VERSION", "base/5/1259", "base/5/1259.1", "base/5/1260"])
        }
    }

    /// Whole frames of another file in the place of the right ones: only the content's own checksum tells.
    @Test("that is deep finds content that is whole and not the right one")
    func swapped() throws {
        try Self.with { example, record in
            var random = Seed(value: 2).generator
            var other = Self.record
            other.id = "20261121T000000Z"
            other = try example.backup([Content("base/5/1260", Self.pages(0..<1, &random))], other)
            var third = Self.record
            third.id = "20261120T000000Z"
            third = try example.backup([Content("base/5/1260", Self.pages(0..<1, &random))], third)
            try overwrite(Self.packPath(example, other), try #require(try SmallFile.read(Self.packPath(example, third))))
            #expect(try Self.problems(example, other, deep: false) == [])
            #expect(try Self.problems(example, other, deep: true).map(\.file) == ["base/5/1260"])
        }
    }

    enum PageList { case bad, torn }

    @Test(
        "that is deep finds a page that was bad when it came, unless the backup has it on a list",
        arguments: [nil, PageList.bad, .torn])
    func badPage(list: PageList?) throws {
        try Self.with { example, _ in
            var random = Seed(value: 3).generator
            var content = Self.pages(0..<5, &random)
            content[3 * 8192 + 5000] ^= 1
            var record = Self.record
            record.id = "20261121T000000Z"
            record = try example.backup([Content("base/5/1261", content)], record)
            let pages = [.init(path: "base/5/1261", block: 3)] as [BackupRecord.BadPage]
            if list == .bad { record.badPages = pages }
            if list == .torn { record.tornPages = pages }
            #expect(try Self.problems(example, record, deep: false) == [])
            let problems = try Self.problems(example, record, deep: true)
            #expect(problems.map(\.block) == (list == nil ? [3] : []))
            #expect(problems.allSatisfy { $0.file == "base/5/1261" })
        }
    }

    @Test("finds a damaged index, which is no damage to any file")
    func index() throws {
        try Self.with { example, record in
            let path = Self.packPath(example, record)
            try Self.flip(path, at: try #require(try Directory.status(path)).size - 1)
            #expect(try Self.problems(example, record, deep: true).map(\.file) == ["\(record.id)-0.pack"])
        }
    }

    @Test("finds WAL that the backup needs and that is missing, too short or damaged", arguments: 0..<4)
    func wal(number: Int) throws {
        try Self.with { example, record in
            let archive = example.archive
            let first = RepositoryExample.segment(0x20), second = RepositoryExample.segment(0x21)
            switch number {
            case 0: try Directory.remove(archive.archivedPath(first))
            case 1: try Directory.remove(archive.partialPath(second))
            case 2: try File(archive.partialPath(second), .update).truncate(to: 0xFF)
            default: try Self.flip(archive.archivedPath(first), at: 30)
            }
            let name = (number == 0 || number == 3 ? first : second).name(size: archive.segmentSize)
            #expect(try Self.problems(example, record, deep: false).map(\.file) == ["WAL \(name)"])
        }
    }

    @Test("ends where the person ends it")
    func interrupted() throws {
        try Self.with { example, record in
            let failure = try #require(throws: Failure.self) {
                _ = try Verification(example.reader(record), deep: false).run { _ in throw Failure(.interrupted, "interrupted") }
            }
            #expect(failure.code == .interrupted)
        }
    }
}
