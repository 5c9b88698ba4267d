import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

/// Packs, read and damaged as docs/repository-format.md says that they are.
@Suite("A pack")
struct PackTests {
    typealias Content = RepositoryExample.Content

    static let contents = [
        Content("a", Array("some small content".utf8)), Content("b", [UInt8](repeating: 7, count: Frame.bundleLimit + 1)),
        Content("c", Array("more".utf8)),
    ]

    static let headerSize = 16, frameHeaderSize = 32, trailerSize = 24

    /// A backup with one pack of three frames.
    static func with(_ body: (RepositoryExample, BackupRecord, FilePath, [UInt8]) throws -> Void) throws {
        try RepositoryExample.with { example in
            let record = try example.backup(contents)
            #expect(record.packs.count == 1)
            let path = example.packPath(record.packs[0])
            try body(example, record, path, try #require(try SmallFile.read(path)))
        }
    }

    static func content(_ example: RepositoryExample, _ record: BackupRecord, frame: Int) throws -> [UInt8] {
        try example.reader(record).frames().content(pack: 0, frame: frame) { Array($0) }
    }

    static func integer(_ bytes: [UInt8], _ offset: Int, _ count: Int = 4) -> Int {
        (0..<count).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }

    /// Where each frame's header begins.
    static func frameOffsets(_ bytes: [UInt8]) -> [Int] {
        var offsets: [Int] = []
        var offset = headerSize
        while bytes[offset...].starts(with: Array("PGFR".utf8)) {
            offsets.append(offset)
            offset += frameHeaderSize + integer(bytes, offset + 8)
        }
        return offsets
    }

    @Test("has every byte of the specification")
    func layout() throws {
        try Self.with { _, _, _, bytes in
            #expect(Array(bytes[..<8]) == Array("PGARKPCK".utf8))
            #expect(Self.integer(bytes, 8) == 1 && Self.integer(bytes, 12) == 0)
            let offsets = Self.frameOffsets(bytes)
            #expect(offsets.count == 3)
            for (number, offset) in offsets.enumerated() {
                let stored = Self.integer(bytes, offset + 8)
                let payload = Array(bytes[(offset + 32)..<(offset + 32 + stored)])
                #expect(Self.integer(bytes, offset + 4) == number)
                #expect(Self.integer(bytes, offset + 12) == Self.contents[number].bytes.count)
                #expect(Self.integer(bytes, offset + 16) == Int(CRC32C(payload).value))
                #expect(bytes[offset + 20] == 1 && bytes[(offset + 21)..<(offset + 28)].allSatisfy { $0 == 0 })
                #expect(Self.integer(bytes, offset + 28) == Int(CRC32C(Array(bytes[offset..<(offset + 28)])).value))
                var content = [UInt8](repeating: 0, count: Self.contents[number].bytes.count)
                try payload.withUnsafeBytes { payload in
                    try content.withUnsafeMutableBytes { try Decompressor().decompress(payload, into: $0) }
                }
                #expect(content == Self.contents[number].bytes)
            }
            let trailer = bytes.count - Self.trailerSize
            let index = trailer - 3 * 20
            #expect(Array(bytes[trailer..<(trailer + 8)]) == Array("PGARKIDX".utf8))
            #expect(Self.integer(bytes, trailer + 8, 8) == index && Self.integer(bytes, trailer + 16) == 3)
            #expect(Self.integer(bytes, trailer + 20) == Int(CRC32C(Array(bytes[index..<trailer])).value))
            for (number, offset) in offsets.enumerated() {
                let entry = index + number * 20
                #expect(Self.integer(bytes, entry) == number && Self.integer(bytes, entry + 4, 8) == offset)
                #expect(Self.integer(bytes, entry + 12) == Self.integer(bytes, offset + 8))
                #expect(Self.integer(bytes, entry + 16) == Self.contents[number].bytes.count)
            }
        }
    }

    @Test("has the limits of the specification")
    func limits() {
        #expect(Frame.capacity == 524_288 && Frame.bundleLimit == 131_072)
    }

    /// A pack made by hand: one frame whose payload is the content itself.
    @Test("may hold frames that are not compressed, and they are proved as well")
    func stored() throws {
        try Self.with { example, record, path, _ in
            let content = Array("not compressed".utf8)
            var frame = Array("PGFR".utf8)
            func add(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { frame += $0 } }
            for value in [0, UInt32(content.count), UInt32(content.count), CRC32C(content).value] { add(value) }
            frame += [UInt8](repeating: 0, count: 8)
            add(CRC32C(frame).value)
            let pack = Array("PGARKPCK".utf8) + [1, 0, 0, 0, 0, 0, 0, 0] + frame + content
            try overwrite(path, pack)
            #expect(try Self.content(example, record, frame: 0) == content)
            for place in 16..<pack.count {
                var damaged = pack
                damaged[place] ^= 0x40
                try overwrite(path, damaged)
                let failure = try #require(throws: Failure.self, "byte \(place)") { try Self.content(example, record, frame: 0) }
                #expect(failure.code == .damaged)
            }
        }
    }

    @Test("is read without its index where any part of that was cut off")
    func cutIndex() throws {
        try Self.with { example, record, path, bytes in
            for missing in 1...(Self.trailerSize + 3 * 20) {
                try overwrite(path, bytes.dropLast(missing))
                for frame in 0..<3 {
                    #expect(try Self.content(example, record, frame: frame) == Self.contents[frame].bytes, "-\(missing)")
                }
            }
        }
    }

    @Test("is read whatever byte of its index or trailer is another", arguments: Seed.some(2))
    func damagedIndex(seed: Seed) throws {
        var random = seed.generator
        try Self.with { example, record, path, bytes in
            for place in (bytes.count - Self.trailerSize - 3 * 20)..<bytes.count {
                var damaged = bytes
                damaged[place] ^= UInt8.random(in: 1...255, using: &random)
                try overwrite(path, damaged)
                for frame in 0..<3 {
                    #expect(try Self.content(example, record, frame: frame) == Self.contents[frame].bytes, "byte \(place)")
                }
            }
        }
    }

    @Test("gives no frame whose header or payload has another byte", arguments: Seed.some(2))
    func damagedFrame(seed: Seed) throws {
        var random = seed.generator
        try Self.with { example, record, path, bytes in
            let offsets = Self.frameOffsets(bytes)
            for place in offsets[0]..<offsets[1] {
                var damaged = bytes
                damaged[place] ^= UInt8.random(in: 1...255, using: &random)
                try overwrite(path, damaged)
                let failure = try #require(throws: Failure.self, "byte \(place)") { try Self.content(example, record, frame: 0) }
                #expect(failure.code == .damaged)
                #expect(failure.message.hasPrefix("could not read frame 0 of \(path): "))
                #expect(try Self.content(example, record, frame: 2) == Self.contents[2].bytes)
            }
        }
    }

    @Test("that ends within a frame still gives those before it")
    func cutFrame() throws {
        try Self.with { example, record, path, bytes in
            let offsets = Self.frameOffsets(bytes)
            for end in stride(from: offsets[2], to: offsets[2] + 32 + 5, by: 3) {
                try overwrite(path, bytes.prefix(end))
                #expect(try Self.content(example, record, frame: 1) == Self.contents[1].bytes)
                #expect(throws: Failure.self) { try Self.content(example, record, frame: 2) }
            }
        }
    }

    @Test(
        "that is missing, empty or another file is damaged",
        arguments: [nil, "", "PGARKPCK", "something else, which is no pack at all"])
    func noPack(content: String?) throws {
        try Self.with { example, record, path, _ in
            if let content { try SmallFile.write(content, to: path) } else { try Directory.remove(path) }
            let failure = try #require(throws: Failure.self) { try Self.content(example, record, frame: 0) }
            #expect(failure.code == .damaged && failure.message.contains(path.string))
        }
    }

    @Test(
        "is asked in vain for what it does not have",
        arguments: [
            Extent(length: 1, pack: 0, frame: 3, offset: 0), Extent(length: 1, pack: 0, frame: 1 << 32, offset: 0),
            Extent(length: 1, pack: 0, frame: Int.max, offset: 0), Extent(length: 1, pack: 1, frame: 0, offset: 0),
            Extent(length: 5, pack: 0, frame: 2, offset: 0), Extent(length: 1, pack: 0, frame: 2, offset: 4),
            Extent(length: Int.max, pack: 0, frame: 2, offset: 1), Extent(length: 1, pack: 0, frame: 2, offset: Int.max),
        ])
    func beyond(extent: Extent) throws {
        try Self.with { example, record, _, _ in
            let failure = try #require(throws: Failure.self) { try example.reader(record).frames().bytes(extent) { $0.count } }
            #expect(failure.code == .damaged)
        }
    }

    @Test("of random bytes is damaged, never a crash", arguments: Seed.some(5))
    func fuzz(seed: Seed) throws {
        var random = seed.generator
        try Self.with { example, record, path, bytes in
            for _ in 0..<40 {
                var damaged = bytes
                let start = Int.random(in: 0..<damaged.count, using: &random)
                let count = min(Int.random(in: 1...60, using: &random), damaged.count - start)
                damaged.replaceSubrange(
                    start..<(start + count), with: random.bytes(Bool.random(using: &random) ? count : count / 2))
                try overwrite(path, damaged)
                for frame in 0..<3 {
                    do {
                        #expect(try Self.content(example, record, frame: frame) == Self.contents[frame].bytes)
                    } catch {
                        #expect((error as? Failure)?.code == .damaged)
                    }
                }
            }
        }
    }

    @Test("is one of several where there are more frames than one holds")
    func severalPacks() throws {
        try RepositoryExample.with { example in
            // Each of these files has a frame of its own; 2048 fill a pack.
            let large = [UInt8](repeating: 3, count: Frame.bundleLimit + 1)
            let writer = try example.writer("20261122T150405Z")
            for number in 0..<2050 { try example.write(Content("\(number)", large), to: writer) { 1 << 20 } }
            let summary = try writer.finish()
            #expect(summary.packs == ["20261122T150405Z-0", "20261122T150405Z-1"])
            var record = BackupRecord.example()
            record.packs = summary.packs
            let frames = try example.reader(record).frames()
            var number = 0
            try example.reader(record).entries { entry in
                guard case .file(_, let checksum, let extents) = entry.kind else { return }
                #expect(extents == [Extent(length: large.count, pack: number / 2048, frame: number % 2048, offset: 0)])
                if number % 100 == 0 || number > 2040 {
                    let found = try frames.bytes(extents[0]) { CRC32C($0).value }
                    #expect(found == checksum)
                }
                number += 1
            }
            #expect(number == 2050)
        }
    }
}
