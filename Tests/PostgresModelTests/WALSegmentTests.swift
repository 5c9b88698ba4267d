import FoundationEssentials
import PostgresModel
import TestSupport
import Testing

@Suite("A WAL segment")
struct WALSegmentTests {
    static let sizes = [1 << 20, 16 << 20, 64 << 20, 1 << 30].map { WALSegmentSize(bytes: $0)! }
    static let usual = WALSegmentSize(bytes: 16 << 20)!

    /// What pg_walfile_name says for servers of these segment sizes.
    @Test(
        "has the name that PostgreSQL gives it",
        arguments: [
            (1 << 20, "0/3000168", "000000010000000000000030"), (16 << 20, "0/3000168", "000000010000000000000003"),
            (64 << 20, "0/FFFFFFFF", "00000001000000000000003F"), (1 << 30, "0/FFFFFFFF", "000000010000000000000003"),
            (16 << 20, "1/0", "000000010000000100000000"), (16 << 20, "0/FFFFFFFF", "0000000100000000000000FF"),
            (1 << 20, "A/FFFFFFFF", "000000010000000A00000FFF"), (1 << 30, "ABCDEF01/40000000", "00000001ABCDEF0100000001"),
        ] as [(Int, String, String)])
    func names(bytes: Int, position: String, name: String) {
        let size = WALSegmentSize(bytes: bytes)!
        let segment = WALSegment(timeline: .first, holding: LSN(position)!, size: size)
        #expect(segment.name(size: size) == name)
        #expect(WALSegment(name: name, size: size) == segment)
    }

    @Test("comes back from its name, and holds exactly what lies between its ends", arguments: sizes, Seed.some(5))
    func roundTrip(size: WALSegmentSize, seed: Seed) {
        var random = seed.generator
        for _ in 0..<200 {
            let position = LSN(rawValue: random.next() >> UInt64.random(in: 1..<40, using: &random))
            let timeline = TimelineID(rawValue: UInt32.random(in: 1...UInt32.max, using: &random))
            let segment = WALSegment(timeline: timeline, holding: position, size: size)
            #expect(WALSegment(name: segment.name(size: size), size: size) == segment)
            #expect(segment.start(size: size) <= position && position < segment.end(size: size))
            #expect(segment.start(size: size) == size.start(of: position))
            #expect(segment.start(size: size) + size.offset(of: position) == position)
            #expect(segment.next.start(size: size) == segment.end(size: size))
            #expect(segment.name(size: size).count == 24)
        }
    }

    @Test("that an end on a boundary needs is the one before the boundary", arguments: sizes)
    func endingAt(size: WALSegmentSize) {
        let boundary = LSN(rawValue: UInt64(size.bytes) * 7)
        func number(_ end: LSN) -> UInt64 { WALSegment(timeline: .first, endingAt: end, size: size).number }
        #expect(number(boundary) == 6)
        #expect(number(boundary + 1) == 7)
        #expect(number(LSN(rawValue: boundary.rawValue - 1)) == 6)
        #expect(number(.zero) == 0)
    }

    @Test(
        "is not made of another file's name",
        arguments: [
            "", "00000001", "00000002.history", "00000001000000000000000", "0000000100000000000000030",
            "00000001000000000000000g",
            "0000000100000000000000ab", "000000000000000000000003", "000000010000000000000100", "+00000010000000000000003",
            "000000010000000000000003.partial", "00000001000000000000000３",
        ])
    func refusesNames(name: String) {
        #expect(WALSegment(name: name, size: Self.usual) == nil)
    }

    @Test("is not the very last one, whose end would be no position", arguments: sizes)
    func refusesTheLast(size: WALSegmentSize) {
        let last = "00000001FFFFFFFF" + hexadecimal(UInt32(size.segmentsPerLogFile - 1))
        let before = "00000001FFFFFFFF" + hexadecimal(UInt32(size.segmentsPerLogFile - 2))
        #expect(WALSegment(name: last, size: size) == nil)
        #expect(WALSegment(name: before, size: size)?.end(size: size) == LSN(rawValue: UInt64.max - UInt64(size.bytes) + 1))
    }

    @Test("name that is random never ends the program", arguments: Seed.some(10))
    func fuzz(seed: Seed) {
        var random = seed.generator
        for _ in 0..<500 {
            let name = random.text(20...26, of: "0123456789ABCDEFabF +-.")
            for size in Self.sizes {
                if let segment = WALSegment(name: name, size: size) { #expect(segment.name(size: size) == name) }
            }
        }
    }
}

@Suite("The size of WAL segments")
struct WALSegmentSizeTests {
    @Test(
        "is read from what SHOW wal_segment_size prints",
        arguments: [("1MB", 1 << 20), ("16MB", 16 << 20), ("1024kB", 1 << 20), ("1GB", 1 << 30), ("1024MB", 1 << 30)])
    func reads(setting: String, bytes: Int) {
        #expect(WALSegmentSize(setting: setting)?.bytes == bytes)
    }

    @Test(
        "is refused where it cannot be one",
        arguments: [
            "", "MB", "16", "16 MB", "16mb", "3MB", "512kB", "2GB", "-16MB", "0MB", "9223372036854775807GB", "16TB", "1.5MB",
        ])
    func refuses(setting: String) {
        #expect(WALSegmentSize(setting: setting) == nil)
    }

    @Test(
        "is a power of two from 1 MiB to 1 GiB",
        arguments: [
            (1 << 20, true), (1 << 30, true), (1 << 19, false), (1 << 31, false), (3 << 20, false), (0, false), (-1, false),
        ])
    func bounds(bytes: Int, isOne: Bool) {
        #expect((WALSegmentSize(bytes: bytes) != nil) == isOne)
    }

    @Test("is a number in JSON, and refused there as anywhere")
    func json() throws {
        let size = WALSegmentSize(bytes: 16 << 20)!
        #expect(try JSONEncoder().encode([size]) == Data("[16777216]".utf8))
        #expect(try JSONDecoder().decode([WALSegmentSize].self, from: Data("[16777216]".utf8)) == [size])
        #expect(throws: DecodingError.self) { try JSONDecoder().decode([WALSegmentSize].self, from: Data("[17]".utf8)) }
    }
}
