import PostgresModel
@testable import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

/// Packs, read and damaged as docs/repository-format.md says that they are.
@Suite("A pack")
struct PackTests {
    typealias Content = RepositoryExample.Content

    static let contents = [
        Content("a", Array("some small content".utf8)), Content("b", [UInt8](repeating: 7, count: 2 * Frame.capacity - 8193)),
        Content("c", Array("more".utf8)),
    ]

    /// What that makes of frames: every file begins at a block, and what its last block lacks is zeros.
    static let frames: [[UInt8]] = {
        var blocks: [UInt8] = []
        for content in contents {
            blocks += content.bytes
            blocks += [UInt8](repeating: 0, count: (8192 - content.bytes.count % 8192) % 8192)
        }
        return [Array(blocks[..<Frame.capacity]), Array(blocks[Frame.capacity..<(2 * Frame.capacity)])]
            + [Array(blocks[(2 * Frame.capacity)...])]
    }()

    static let headerSize = 16, frameHeaderSize = 32, trailerSize = 24

    /// A backup with one pack of three frames.
    static func with(_ body: (RepositoryExample, BackupRecord, FilePath, [UInt8]) throws -> Void) throws {
        try RepositoryExample.with { example in
            let record = try example.backup(contents)
            #expect(try example.packs(record) == ["\(record.id)-0"])
            let path = example.packPath("\(record.id)-0")
            try body(example, record, path, try #require(try SmallFile.read(path)))
        }
    }

    static func content(_ example: RepositoryExample, _ record: BackupRecord, frame: Int) throws -> [UInt8] {
        let frames = try example.reader(record).frames()
        return try withExtendedLifetime(frames) { Array(try frames.content(pack: 0, frame: frame)) }
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
            offset += frameHeaderSize + integer(bytes, offset + 8) + integer(bytes, offset + 12) / 8192 * 12
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
                #expect(Self.integer(bytes, offset + 12) == Self.frames[number].count)
                #expect(Self.integer(bytes, offset + 16) == Int(CRC32C(payload).value))
                #expect(bytes[offset + 20] == 1 && bytes[(offset + 21)..<(offset + 24)].allSatisfy { $0 == 0 })
                #expect(Self.integer(bytes, offset + 28) == Int(CRC32C(Array(bytes[offset..<(offset + 28)])).value))
                let sums = Array(bytes[(offset + 32 + stored)...].prefix(Self.frames[number].count / 8192 * 12))
                #expect(Self.integer(bytes, offset + 24) == Int(CRC32C(sums).value))
                for block in 0..<(sums.count / 12) {
                    let content = Array(Self.frames[number][(block * 8192)..<((block + 1) * 8192)])
                    #expect(Self.integer(sums, block * 12) == Int(CRC32C(content).value))
                }
                var content = [UInt8](repeating: 0, count: Self.frames[number].count)
                try payload.withUnsafeBytes { payload in
                    try content.withUnsafeMutableBytes { try Decompressor().decompress(payload, into: $0) }
                }
                #expect(content == Self.frames[number])
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
                #expect(Self.integer(bytes, entry + 16) == Self.frames[number].count)
            }
        }
    }

    @Test("has the limits of the specification")
    func limits() {
        #expect(Frame.capacity == 524_288 && Frame.blockSize == 8192 && Frame.blockCapacity == 64)
    }

    /// A pack made by hand: one frame whose payload is the content itself.
    @Test("may hold frames that are not compressed, and they are proved as well")
    func stored() throws {
        try Self.with { example, record, path, _ in
            let content = Array("not compressed".utf8) + [UInt8](repeating: 0, count: 8192 - 14)
            let sums = [UInt8](repeating: 0x5A, count: 12)
            var frame = Array("PGFR".utf8)
            func add(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { frame += $0 } }
            for value in [0, UInt32(content.count), UInt32(content.count), CRC32C(content).value] { add(value) }
            frame += [0, 0, 0, 0]
            add(CRC32C(sums).value)
            add(CRC32C(frame).value)
            let pack = Array("PGARKPCK".utf8) + [1, 0, 0, 0, 0, 0, 0, 0] + frame + content + sums
            try overwrite(path, pack)
            #expect(try Self.content(example, record, frame: 0) == content)
            for place in Array(16..<100) + Array((pack.count - 30)..<pack.count) {
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
                    #expect(try Self.content(example, record, frame: frame) == Self.frames[frame], "-\(missing)")
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
                    #expect(try Self.content(example, record, frame: frame) == Self.frames[frame], "byte \(place)")
                }
            }
        }
    }

    @Test("gives no frame whose header, payload or sums have another byte", arguments: Seed.some(2))
    func damagedFrame(seed: Seed) throws {
        var random = seed.generator
        try Self.with { example, record, path, bytes in
            let offsets = Self.frameOffsets(bytes)
            let behind = stride(from: offsets[0] + Self.frameHeaderSize + random.below(5), to: offsets[1], by: 5)
            for place in Array(offsets[0]..<(offsets[0] + Self.frameHeaderSize)) + Array(behind) + [offsets[1] - 1] {
                var damaged = bytes
                damaged[place] ^= UInt8.random(in: 1...255, using: &random)
                try overwrite(path, damaged)
                let failure = try #require(throws: Failure.self, "byte \(place)") { try Self.content(example, record, frame: 0) }
                #expect(failure.code == .damaged)
                #expect(failure.message.hasPrefix("could not read frame 0 of \(path): "))
                #expect(try Self.content(example, record, frame: 2) == Self.frames[2])
            }
        }
    }

    @Test("that ends within a frame still gives those before it")
    func cutFrame() throws {
        try Self.with { example, record, path, bytes in
            let offsets = Self.frameOffsets(bytes)
            for end in Array(stride(from: offsets[2], to: offsets[2] + 32 + 5, by: 3)) + [bytes.count - 24 - 3 * 20 - 1] {
                try overwrite(path, bytes.prefix(end))
                #expect(try Self.content(example, record, frame: 1) == Self.frames[1])
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
            Extent(blocks: 1, pack: 0, frame: 3, block: 0), Extent(blocks: 1, pack: 0, frame: 1 << 31, block: 0),
            Extent(blocks: 1, pack: 1, frame: 0, block: 0),
            Extent(blocks: 2, pack: 0, frame: 2, block: 0), Extent(blocks: 1, pack: 0, frame: 2, block: 1),
            Extent(blocks: 64, pack: 0, frame: 0, block: 1), Extent(blocks: 1, pack: 0, frame: 2, block: 63),
        ])
    func beyond(extent: Extent) throws {
        try Self.with { example, record, _, _ in
            let failure = try #require(throws: Failure.self) { try example.reader(record).frames().blocks(extent) }
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
                        #expect(try Self.content(example, record, frame: frame) == Self.frames[frame])
                    } catch {
                        #expect((error as? Failure)?.code == .damaged)
                    }
                }
            }
        }
    }

    /// The frames of one block: full ones would be a gigabyte.
    @Test("is one of several where there are more frames than one holds")
    func severalPacks() throws {
        try RepositoryExample.with { example in
            let pipeline = FramePipeline(
                threads: 2, level: CompressionLevel(1)!, backupBegin: .zero, packName: { "x-\($0)" },
                packPath: { example.packPath($0) })
            for number in 0..<(2 * Pack.capacity + 2) {
                let (slot, pack, frame) = try pipeline.acquire()
                #expect(pack == number / 2048 && frame == number % 2048)
                slot.content.storeBytes(of: number, as: Int.self)
                slot.blocks = 1
                pipeline.submit()
            }
            let result = try pipeline.finish()
            #expect(result.packs == ["x-0", "x-1", "x-2"])
            let frames = try FrameReader(PackSet(result.packs.map { example.packPath($0) }))
            for number in [0, 1, 2047, 2048, 4095, 4096, 4097] {
                let content = try frames.content(pack: number / 2048, frame: number % 2048)
                #expect(content.count == 8192 && content.load(as: Int.self) == number)
            }
            #expect(throws: Failure.self) { try frames.content(pack: 2, frame: 2) }
        }
    }
}
