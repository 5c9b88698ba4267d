import PostgresModel
@testable import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("The index of a map")
struct MapIndexTests {
    static func entries(_ count: Int, _ random: inout SeededGenerator) -> [MapEntry] {
        (0..<count).map { number in
            let path = "\(random.path(0...40))\(number)"
            switch random.below(4) {
            case 0: return MapEntry(path: path, mode: 0o700, modified: 5, kind: .directory)
            case 1:
                return MapEntry(
                    path: "pg_tblspc/\(number)", mode: 0o777, modified: 0, kind: .link(target: random.text(0...9, of: "/x")))
            default: return file(path, extents: random.below(5))
            }
        }
    }

    static func file(_ path: String, extents: Int) -> MapEntry {
        let extents = (0..<extents).map { Extent(blocks: 1 + $0 % 3, pack: $0 % 2, frame: $0 % 2048, block: $0 % 60) }
        return MapEntry(
            path: path, mode: 0o600, modified: 1_795_359_845,
            kind: .file(size: extents.blocks * 8192, checksum: 0x0102_0304, extents: extents))
    }

    static func with(_ entries: [MapEntry], _ body: (MapIndex) throws -> Void) throws {
        try withScratchDirectory { directory in
            let map = try MapWriter(directory.appending("map.zst"))
            for entry in entries { try map.append(entry) }
            try map.commit()
            var seen: [MapEntry] = []
            let index = try MapIndex(directory.appending("map.zst"), scratch: directory.appending("scratch")) { seen.append($0) }
            #expect(seen == entries)
            #expect(try Directory.names(in: directory) == ["map.zst"], "the scratch file has no name")
            try body(index)
        }
    }

    @Test("finds what is asked for in the map's order, with gaps", arguments: Seed.some(3))
    func inOrder(seed: Seed) throws {
        var random = seed.generator
        let entries = Self.entries(500, &random)
        try Self.with(entries) { (index) throws in
            for entry in entries where random.below(10) > 0 { #expect(try index.entry(entry.path) == entry) }
        }
    }

    @Test("finds 5,000 entries in any order, again and again, and nothing else", arguments: Seed.some(2))
    func anyOrder(seed: Seed) throws {
        var random = seed.generator
        let entries = Self.entries(5000, &random)
        try Self.with(entries) { (index) throws in
            for entry in entries.shuffled(using: &random) {
                #expect(try index.entry(entry.path) == entry)
                if random.below(20) == 0 { #expect(try index.entry(entry.path + "x") == nil) }
            }
            for entry in entries.reversed().prefix(100) { #expect(try index.entry(entry.path) == entry) }
            for entry in entries.prefix(100) { #expect(try index.entry(entry.path) == entry) }
        }
    }

    @Test("has nothing of paths that the map does not have, and goes on", arguments: ["", "a", "base/5/1259x", "größe"])
    func missing(path: String) throws {
        let entries = ["base", "base/5", "base/5/1259", "ü"].map { Self.file($0, extents: 1) }
        try Self.with(entries) { (index) throws in
            #expect(try index.entry(path) == nil)
            for entry in entries {
                #expect(try index.entry(entry.path) == entry)
                #expect(try index.entry(path) == nil)
            }
        }
        try Self.with([]) { (index) throws in #expect(try index.entry(path) == nil) }
    }

    @Test("finds an entry of 100,000 extents, and those beside it", arguments: [true, false])
    func large(isInOrder: Bool) throws {
        let entries = [Self.file("a", extents: 1), Self.file("large", extents: 100_000), Self.file("z", extents: 2)]
        try Self.with(entries) { (index) throws in
            for entry in isInOrder ? entries : [entries[2], entries[1], entries[0], entries[1]] {
                #expect(try index.entry(entry.path) == entry)
            }
        }
    }

    @Test("has the entry with an empty path")
    func emptyPath() throws {
        let entries = [Self.file("a", extents: 1), Self.file("", extents: 2)]
        try Self.with(entries) { (index) throws in
            #expect(try index.entry("") == entries[1])
            #expect(try index.entry("a") == entries[0])
        }
    }

    @Test("of a damaged map is none, and leaves no scratch file", arguments: [0.0, 0.5, 0.99])
    func damaged(place: Double) throws {
        try withScratchDirectory { directory in
            let path = directory.appending("map.zst")
            let map = try MapWriter(path)
            for number in 0..<100 { try map.append(Self.file("\(number)", extents: 3)) }
            try map.commit()
            try VerificationTests.flip(path, at: Int(Double(try #require(try Directory.status(path)).size) * place))
            let failure = try #require(throws: Failure.self) { try MapIndex(path, scratch: directory.appending("scratch")) }
            #expect(failure.code == .damaged)
            #expect(try Directory.names(in: directory) == ["map.zst"])
        }
    }
}
