import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("Verification")
struct VerificationTests {
    typealias Content = RepositoryExample.Content

    static let contents = [
        Content("PG_VERSION", Array("15\n".utf8)), Content("base/5/1259", noise(20 * 8192, 1)), Content("base/5/1259.1", noise(90 * 8192, 2)),
        Content("base/5/1260", noise(8192, 3)), Content("empty", []),
    ]

    static func noise(_ count: Int, _ seed: UInt64) -> [UInt8] {
        var random = Seed(value: seed).generator
        return random.bytes(count)
    }

    static func with(_ body: (RepositoryExample, BackupRecord) throws -> Void) throws {
        try RepositoryExample.with { try body($0, try $0.backup(contents)) }
    }

    static func problems(_ example: RepositoryExample, _ record: BackupRecord, deep: Bool) throws -> [Verification.Problem] {
        try Verification(example.reader(record), deep: deep).run { _ in }.problems
    }

    static func flip(_ path: FilePath, at offset: Int) throws {
        let file = try File(path, .update)
        var byte = try file.bytes(at: offset, count: 1)
        byte[0] ^= 0x20
        try byte.withUnsafeBytes { try file.write($0, at: offset) }
    }

    @Test("of a whole backup finds nothing, and has seen everything", arguments: [false, true])
    func whole(deep: Bool) throws {
        try Self.with { example, record in
            let ticks = Monitor(0)
            let report = try Verification(example.reader(record), deep: deep).run { _ in ticks.change { $0 += 1 } }
            #expect(report.problems == [])
            #expect(report.files == Self.contents.count && ticks.read { $0 } == Self.contents.count)
            #expect(report.bytes == Self.contents.reduce(0) { $0 + $1.bytes.count })
        }
    }

    @Test("finds another byte in any frame, and names the file and its first block", arguments: [false, true])
    func frames(deep: Bool) throws {
        try Self.with { example, record in
            let path = example.packPath(record.packs[0])
            let bytes = try #require(try SmallFile.read(path))
            let offsets = PackTests.frameOffsets(bytes)
            // PG_VERSION; 1259 by itself; 1259.1 in two frames; 1260.
            #expect(offsets.count == 5)
            let expected: [[(String, Int?)]] = [
                [("PG_VERSION", nil)], [("base/5/1259", 0)], [("base/5/1259.1", 131_072)], [("base/5/1259.1", 131_072 + 64)],
                [("base/5/1260", 0)],
            ]
            for (frame, offset) in offsets.enumerated() {
                for place in [0, 4, 20, 28, 32, 40] {
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

    @Test("finds another byte in the manifest and in a saved configuration file", arguments: ["manifest", "config/0-pg_hba.conf"])
    func otherFiles(name: String) throws {
        try Self.with { example, record in
            try Self.flip(example.catalogue.directory(of: record.id).appending(FilePath(name).components), at: 3)
            let problems = try Self.problems(example, record, deep: false)
            #expect(problems.map(\.file) == [name])
        }
    }

    @Test("finds a missing file", arguments: ["manifest", "map.zst", "config/0-pg_hba.conf"])
    func missing(name: String) throws {
        try Self.with { example, record in
            try Directory.remove(example.catalogue.directory(of: record.id).appending(FilePath(name).components))
            #expect(try Self.problems(example, record, deep: false).contains { $0.file == name })
        }
    }

    @Test("finds every file of a pack that is missing")
    func missingPack() throws {
        try Self.with { example, record in
            try Directory.remove(example.packPath(record.packs[0]))
            let problems = try Self.problems(example, record, deep: false)
            #expect(problems.map(\.file) == ["PG_VERSION", "base/5/1259", "base/5/1259.1", "base/5/1260"])
        }
    }

    /// Whole frames of another file in the place of the right ones: only the content's own checksum tells.
    @Test("that is deep finds content that is whole and not the right one")
    func swapped() throws {
        try RepositoryExample.with { example in
            let first = try example.backup([Content("base/5/1", Self.noise(8192, 1))], .example(id: "20261121T000000Z"))
            let second = try example.backup([Content("base/5/1", Self.noise(8192, 2))], .example(id: "20261122T000000Z"))
            try overwrite(example.packPath(first.packs[0]), try #require(try SmallFile.read(example.packPath(second.packs[0]))))
            #expect(try Self.problems(example, first, deep: true).map(\.file) == ["base/5/1"])
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
