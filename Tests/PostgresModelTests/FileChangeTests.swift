import PostgresModel
import TestSupport
import Testing

/// Heads of INCREMENTAL files, as PostgreSQL 17 and newer write them.
@Suite("The head of an incremental file")
struct FileChangeTests {
    static let magic: UInt32 = 0xD3AE_1F0D

    static func head(_ blocks: [UInt32], minimum: UInt32, magic: UInt32 = magic, count: UInt32? = nil) -> [UInt8] {
        var head: [UInt8] = []
        for word in [magic, count ?? UInt32(blocks.count), minimum] + blocks { head += [UInt8].littleEndian(word) }
        if !blocks.isEmpty { head += [UInt8](repeating: 0, count: (8192 - head.count % 8192) % 8192) }
        return head
    }

    /// What a reader takes of these bytes, which come in pieces.
    static func read(_ bytes: [UInt8], size: Int, pieces: () -> Int = { 1 << 20 }) throws -> (
        change: FileChange?, taken: Int, head: [UInt8]
    ) {
        var reader = FileChangeReader(size: size)
        var taken = 0
        return try bytes.raw { bytes in
            while taken < bytes.count {
                let piece = bytes[taken...].prefix(pieces())
                var rest = piece
                let change = try reader.take(&rest)
                taken += piece.count - rest.count
                if let change { return (change, taken, reader.head) }
                #expect(rest.isEmpty, "an incomplete head leaves nothing")
            }
            return (nil, taken, reader.head)
        }
    }

    @Test(
        "is filled up to a multiple of a block, unless it lists none",
        arguments: [
            (0, 12), (1, 8192), (2, 8192), (2044, 8192), (2045, 8192), (2046, 16_384), (4093, 16_384), (4094, 24_576),
            (131_072, 532_480),
        ], Seed.some(2))
    func lengths(row: (blocks: Int, length: Int), seed: Seed) throws {
        let (blocks, length) = row
        var random = seed.generator
        var next: UInt32 = 0
        let list = (0..<blocks).map { _ -> UInt32 in
            defer { next += UInt32(1 + random.below(3)) }
            return next
        }
        let head = Self.head(list, minimum: 77)
        #expect(head.count == length)
        let content = head + [UInt8](repeating: 0xEE, count: 20)
        let found = try Self.read(content, size: length + blocks * 8192) { 1 + random.below(9000) }
        #expect(found.change == FileChange(blocks: list, minimumBlocks: 77))
        #expect(found.taken == length && found.head == head)
    }

    @Test("is read wherever it is split", arguments: [[], [5], [0, 1, 131_071]] as [[UInt32]])
    func splits(blocks: [UInt32]) throws {
        let head = Self.head(blocks, minimum: 9)
        let places = head.count == 12 ? Array(1...12) : Array(1...40) + [8190, 8191, 8192]
        for place in places {
            var pieces = [place, 1 << 20]
            let found = try Self.read(head + [1, 2, 3], size: head.count + blocks.count * 8192) { pieces.removeFirst() }
            #expect(found.change == FileChange(blocks: blocks, minimumBlocks: 9) && found.taken == head.count, "at \(place)")
        }
        #expect(try Self.read(head, size: head.count + blocks.count * 8192) { 1 }.change?.blocks == blocks)
    }

    @Test("that is not all there yet is no change", arguments: [0, 11, 12, 100, 8191])
    func incomplete(count: Int) throws {
        let found = try Self.read(Array(Self.head([3], minimum: 9).prefix(count)), size: 16_384)
        #expect(found.change == nil && found.taken == count)
    }

    @Test(
        "says how many blocks the file has",
        arguments: [([], 0, 0), ([], 5, 5), ([0], 0, 1), ([7], 5, 8), ([3], 10, 10), ([1, 9], 9, 10), ([1, 9], 10, 10)]
            as [([UInt32], Int, Int)])
    func fileBlocks(blocks: [UInt32], minimum: Int, expected: Int) {
        #expect(FileChange(blocks: blocks, minimumBlocks: minimum).fileBlocks == expected)
    }

    static func expectRefusal(_ bytes: [UInt8], size: Int, _ comment: Comment? = nil) {
        do {
            _ = try read(bytes, size: size)
            Issue.record(comment ?? "a head that cannot be was read")
        } catch {
            #expect((error as? Failure)?.code == .protocolViolation, comment)
        }
    }

    @Test("with another magic is refused", arguments: 0..<32)
    func magic(bit: UInt32) {
        Self.expectRefusal(Self.head([1], minimum: 9, magic: Self.magic ^ 1 << bit), size: 16_384)
    }

    /// The numbers are refused before anything is made ready for so many.
    @Test("that lists more blocks than the file can have is refused at once", arguments: [2, 3, 1 << 20, UInt32.max])
    func tooMany(count: UInt32) {
        Self.expectRefusal(Array(Self.head([1], minimum: 9, count: count).prefix(12)), size: 16_383)
    }

    @Test(
        "that lists blocks out of order or twice is refused",
        arguments: [[5, 4], [5, 5], [1, 2, 3, 3], [0, 9, 8, 10]] as [[UInt32]])
    func unsorted(blocks: [UInt32]) {
        Self.expectRefusal(Self.head(blocks, minimum: 9), size: 8192 + blocks.count * 8192)
    }

    @Test(
        "that does not fit the file's size is refused",
        arguments: [([], 0), ([], 11), ([], 13), ([], 8192), ([1], 16_383), ([1], 16_385), ([1], 24_576), ([1, 2], 16_384)]
            as [([UInt32], Int)])
    func wrongSize(blocks: [UInt32], size: Int) {
        Self.expectRefusal(Self.head(blocks, minimum: 9), size: size)
    }

    @Test("that is damaged at random is refused or consistent, never a crash", arguments: Seed.some(10))
    func fuzz(seed: Seed) {
        var random = seed.generator
        for _ in 0..<300 {
            let count = random.below(6)
            let list = (0..<count).map { UInt32($0 * 3) }
            var bytes = Self.head(list, minimum: UInt32(random.below(20)))
            for _ in 0..<(1 + random.below(4)) { bytes[random.below(min(bytes.count, 40))] = UInt8(random.below(256)) }
            let size = (count > 0 ? 8192 : 12) + (count + random.below(2)) * 8192
            do {
                guard let change = try Self.read(bytes, size: size, pieces: { 1 + random.below(50) }).change else { continue }
                #expect(zip(change.blocks, change.blocks.dropFirst()).allSatisfy { $0 < $1 })
                #expect(change.blocks.count <= size / 8192 && change.fileBlocks >= change.minimumBlocks)
            } catch {
                #expect((error as? Failure)?.code == .protocolViolation)
            }
        }
    }
}
