import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

/// Writes maps as docs/repository-format.md says that they are, and as a test wants them damaged.
struct MapBytes {
    private(set) var bytes = Array("PGARKMAP".utf8) + [1]
    private var count: UInt64 = 0

    mutating func variable(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// Four bytes, as they are stored.
    mutating func raw(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }

    mutating func text(_ text: String) {
        variable(UInt64(text.utf8.count))
        bytes += text.utf8
    }

    mutating func begin(_ kind: Character, _ path: String, mode: UInt64 = 0o600, modified: UInt64 = 0) {
        bytes.append(kind.asciiValue!)
        text(path)
        variable(mode)
        variable(modified)
        count += 1
    }

    mutating func file(_ path: String, mode: UInt64 = 0o600, size: UInt64, checksum: UInt32 = 0, extents: [[UInt64]]) {
        begin("F", path, mode: mode)
        variable(size)
        raw(checksum)
        variable(UInt64(extents.count))
        for extent in extents { for field in extent { variable(field) } }
    }

    func ended(count claimed: UInt64? = nil) -> [UInt8] {
        var copy = self
        copy.bytes.append(UInt8(ascii: "E"))
        copy.variable(claimed ?? count)
        copy.raw(CRC32C(copy.bytes).value)
        return copy.bytes
    }
}

@Suite("A map")
struct MapTests {
    /// A backup without content whose map is this file's; `pieces` gives the length of the next zstd frame.
    static func entries(_ example: RepositoryExample, _ content: [UInt8], packs: Int = 1, pieces: (() -> Int)? = nil) throws
        -> [MapEntry]
    {
        var record = BackupRecord.example()
        let list = Array((0..<packs).map { "pack-\($0)\n" }.joined().utf8)
        record.packs = .init(bytes: list.count, checksum: CRC32C(list).value)
        let reader = example.reader(record)
        try Directory.create(reader.mapPath.removingLastComponent())
        try overwrite(reader.packListPath, list)
        var stored: [UInt8] = []
        var rest = content[...]
        repeat {
            let piece = Array(rest.prefix(pieces?() ?? content.count))
            try piece.withUnsafeBytes { try Compressor(CompressionLevel(1)!).stream($0, .finish) { stored += $0 } }
            rest = rest.dropFirst(piece.count)
        } while !rest.isEmpty
        try overwrite(reader.mapPath, stored)
        var entries: [MapEntry] = []
        try reader.entries { entries.append($0) }
        return entries
    }

    static func refused(_ example: RepositoryExample, _ content: [UInt8], _ comment: Comment? = nil) {
        do {
            _ = try entries(example, content)
            Issue.record("a damaged map was read \(comment?.rawValue ?? "")")
        } catch {
            #expect((error as? Failure)?.code == .damaged, comment)
        }
    }

    static func random(_ random: inout SeededGenerator, count: Int) -> (entries: [MapEntry], bytes: [UInt8]) {
        var map = MapBytes()
        var entries: [MapEntry] = []
        for _ in 0..<count {
            var path = random.path(0...300)
            let mode = UInt32.random(in: 0...0o7777, using: &random)
            let modified = Int64.random(in: 0...(1 << 40), using: &random)
            var kind = MapEntry.Kind.directory
            switch Int.random(in: 0..<4, using: &random) {
            case 0: map.begin("D", path, mode: UInt64(mode), modified: UInt64(modified))
            case 1:
                path = "pg_tblspc/5" + path.replacing("/", with: "")
                map.begin("L", path, mode: UInt64(mode), modified: UInt64(modified))
                let target = random.text(0...50, of: "/xyz")
                map.text(target)
                kind = .link(target: target)
            default:
                let extents = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                    let block = Int.random(in: 0..<64, using: &random)
                    return Extent(
                        blocks: Int.random(in: 1...(64 - block), using: &random), pack: Int.random(in: 0..<3, using: &random),
                        frame: Int.random(in: 0..<2048, using: &random), block: block)
                }
                let size = extents.reduce(0) { $0 + $1.blocks * 8192 } - (extents.isEmpty ? 0 : random.below(8192))
                let checksum = UInt32.random(in: 0...UInt32.max, using: &random)
                kind = .file(size: size, checksum: checksum, extents: extents)
                map.begin("F", path, mode: UInt64(mode), modified: UInt64(modified))
                map.variable(UInt64(size))
                map.raw(checksum)
                map.variable(UInt64(extents.count))
                for extent in extents {
                    for field in [extent.blocks, extent.pack, extent.frame, extent.block] { map.variable(UInt64(field)) }
                }
            }
            entries.append(MapEntry(path: path, mode: mode, modified: modified, kind: kind))
        }
        return (entries, map.ended())
    }

    @Test("of the specification is read, wherever its bytes are split", arguments: Seed.some(6))
    func splits(seed: Seed) throws {
        var random = seed.generator
        try RepositoryExample.with { example in
            let map = Self.random(&random, count: 60)
            for most in [1, 7, 100, 100_000] {
                let found = try Self.entries(example, map.bytes, packs: 3) { Int.random(in: 1...most, using: &random) }
                #expect(found == map.entries)
            }
        }
    }

    @Test("that is larger than a reader's buffers is read", arguments: Seed.some(2))
    func large(seed: Seed) throws {
        var random = seed.generator
        try RepositoryExample.with { example in
            let map = Self.random(&random, count: 5000)
            #expect(map.bytes.count > 500_000)
            let found = try Self.entries(example, map.bytes, packs: 3)
            #expect(found == map.entries)
        }
    }

    @Test("that a writer wrote has every byte of the specification")
    func layout() throws {
        try RepositoryExample.with { example in
            let writer = try example.writer("20261122T150405Z")
            try writer.add(MapEntry(path: "base", mode: 0o700, modified: 300, kind: .directory))
            try example.write(.init("base/größe", Array("123456789".utf8)), to: writer)
            _ = try writer.finish()
            var content: [UInt8] = []
            try CompressedFile.read(example.reader(.example()).mapPath) { content += $0 }
            var expected = MapBytes()
            expected.begin("D", "base", mode: 0o700, modified: 300)
            expected.begin("F", "base/größe", modified: 1_795_359_845)
            expected.variable(9)
            expected.raw(0xE306_9283)
            expected.variable(1)
            for field in [1, 0, 0, 0] as [UInt64] { expected.variable(field) }
            #expect(content == expected.ended())
        }
    }

    static func small() -> MapBytes {
        var map = MapBytes()
        map.begin("D", "base", mode: 0o700, modified: 1_795_359_845)
        map.file("base/1", size: 300_000, checksum: 0x0102_0304, extents: [[17, 0, 0, 0], [20, 0, 1, 44]])
        map.begin("L", "pg_tblspc/1")
        map.text("/srv")
        return map
    }

    @Test("with any other byte anywhere is damaged", arguments: Seed.some(2))
    func flipped(seed: Seed) throws {
        var random = seed.generator
        try RepositoryExample.with { example in
            let bytes = Self.small().ended()
            let whole = try Self.entries(example, bytes)
            #expect(whole.count == 3)
            for place in bytes.indices {
                for flip in [0x80, UInt8.random(in: 1...255, using: &random)] {
                    var damaged = bytes
                    damaged[place] ^= flip
                    Self.refused(example, damaged, "byte \(place) ^ \(flip)")
                }
            }
        }
    }

    @Test("that is cut off anywhere is damaged")
    func cut() throws {
        try RepositoryExample.with { example in
            let bytes = Self.small().ended()
            for count in bytes.indices { Self.refused(example, Array(bytes.prefix(count)), "\(count) bytes") }
        }
    }

    @Test("with a right checksum and impossible content is damaged, never a crash", arguments: 0..<27)
    func impossible(number: Int) throws {
        var map = Self.small()
        var count: UInt64?
        switch number {
        case 0: map.begin("D", "mode", mode: 1 << 32)
        case 1: map.begin("D", "mode", mode: UInt64.max >> 1)
        case 2: map.begin("X", "kind")
        case 3: map.file("pack", size: 1, extents: [[1, 1, 0, 0]])
        case 4: map.file("size", size: 8193, extents: [[1, 0, 0, 0]])
        case 5: map.file("size", size: 1, extents: [])
        case 6: map.file("sum", size: 0, extents: [[UInt64.max >> 1, 0, 0, 0], [UInt64.max >> 1, 0, 0, 0], [2, 0, 0, 0]])
        case 7: map.file("block", size: 1, extents: [[1, 0, 0, UInt64.max >> 1]])
        case 8: map.file("frame", size: 1, extents: [[1, 0, UInt64.max >> 1, 0]])
        case 9: map.file("pack", size: 1, extents: [[1, UInt64.max >> 1, 0, 0]])
        case 10: map.begin("D", "long", mode: UInt64.max)
        case 11: count = 4
        case 12: map.file("frame", size: UInt64(Frame.capacity) + 1, extents: [[65, 0, 0, 0]])
        case 13: map.file("block", size: 1, extents: [[1, 0, 0, 64]])
        case 14: map.file("blocks", size: 2 * 8192, extents: [[2, 0, 0, 63]])
        case 15: map.file("nothing", size: 0, extents: [[0, 0, 0, 0]])
        case 16: map.file("size", size: UInt64.max >> 1, extents: [[1, 0, 0, 0]])
        case 17: map.begin("D", "../outside")
        case 18: map.begin("D", "inside/../../outside")
        case 19: map.begin("D", "/absolute")
        case 20: map.begin("D", "double//slash")
        case 21: map.begin("D", "./here")
        case 22: map.begin("D", "a\0b")
        case 23: map.begin("D", "late", modified: 1 << 62)
        case 24, 25:
            map.begin("L", number == 24 ? "base" : "pg_tblspc/5/base")
            map.text("/etc")
        default: map.file("size", size: 8192, extents: [[1, 0, 0, 0], [1, 0, 0, 0]])
        }
        let bytes = map.ended(count: count)
        try RepositoryExample.with { Self.refused($0, bytes, "case \(number)") }
    }

    @Test("of random bytes is damaged, never a crash", arguments: Seed.some(5))
    func fuzz(seed: Seed) throws {
        var random = seed.generator
        try RepositoryExample.with { example in
            for _ in 0..<60 {
                let kinds = "DLFE".utf8.shuffled(using: &random)
                let noise = random.bytes(Int.random(in: 0...80, using: &random)).map {
                    Bool.random(using: &random) ? $0 : $0 & 0x07
                }
                Self.refused(example, Array("PGARKMAP".utf8) + [1, kinds[0]] + noise)
            }
        }
    }

    @Test("that is missing, empty or no zstd file is damaged, and named")
    func noMap() throws {
        try RepositoryExample.with { example in
            let reader = example.reader(.example())
            try Directory.create(reader.mapPath.removingLastComponent())
            try SmallFile.write("", to: reader.packListPath)
            for content in [nil, "something else", ""] {
                if let content { try overwrite(reader.mapPath, content.utf8) }
                let failure = try #require(throws: Failure.self) { try reader.entries { _ in } }
                #expect(failure.code == .damaged && failure.message.contains(reader.mapPath.string))
            }
        }
    }
}
