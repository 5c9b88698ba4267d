import PostgresModel
import Storage
import TestSupport
import Testing

@Suite("Reading WAL")
struct WALRecordReaderTests {
    // MARK: Landmarks

    @Test("yields the ends of transactions and the restore points, of every version", arguments: WALBuilder.formats)
    func landmarks(format: UInt16) {
        var wal = WALBuilder(format: format)
        wal.commit(740, 1)
        wal.filler(300)
        wal.abort(741, 2)
        wal.restorePoint("before the upgrade", 3)
        wal.restorePoint(String(repeating: "n", count: 63), 4)
        wal.commit(742, 5, more: .littleEndian(UInt32(1 << 1)) + .littleEndian(UInt32(900)) + [UInt8](repeating: 9, count: 3600))
        for items in [0, 1, 2, 300] {
            wal.prepared(750, 6, isCommit: true, items: items)
            wal.prepared(751, 7, isCommit: false, items: items, gid: String(repeating: "g", count: 199))
        }
        let reading = WALReading(wal)
        #expect(reading.landmarks == wal.landmarks)
        #expect(reading.landmarks.count == 13)
        #expect(reading.reader.lastRecord == wal.previous)
        #expect(reading.reader.end == nil)
    }

    @Test("yields the begin of a timeline, by either of the records that end a recovery, and no ordinary shutdown")
    func timelineBegins() {
        var builder = WALBuilder()
        builder.timeline = 3
        builder.shutdownCheckpoint(3, before: 3, 1)
        builder.endOfRecovery(3, 2)
        builder.shutdownCheckpoint(3, before: 2, 3)
        builder.commit(800, 4)
        let reading = WALReading(builder)
        #expect(reading.landmarks == builder.landmarks)
        #expect(
            reading.landmarks.map(\.kind) == [
                .timeline(.init(rawValue: 3)), .timeline(.init(rawValue: 3)), .commit(.init(rawValue: 800)),
            ])
    }

    @Test("finds the main data behind blocks, images and origins")
    func blocks() {
        var wal = WALBuilder()
        let place = [UInt8](repeating: 3, count: 12), number: [UInt8] = .littleEndian(UInt32(9))
        let plain = [0, 0x20] + .littleEndian(UInt16(10)) + place + number
        let image =
            [1, 0x10] + .littleEndian(UInt16(0)) + .littleEndian(UInt16(500)) + .littleEndian(UInt16(80)) + [0x03] + place
            + number
        let compressed =
            [32, 0xB0] + .littleEndian(UInt16(7)) + .littleEndian(UInt16(400)) + .littleEndian(UInt16(80)) + [0x0B]
            + .littleEndian(UInt16(200)) + number
        let origin: [UInt8] = [253, 1, 0], top: [UInt8] = [252, 5, 0, 0, 0]
        wal.restorePoint("a", headers: plain + image + compressed + origin + top, blocks: [UInt8](repeating: 255, count: 917))
        #expect(WALReading(wal).landmarks == wal.landmarks)
    }

    @Test(
        "of other records yields nothing",
        arguments: [(0, 0x00), (0, 0x60), (1, 0x10), (1, 0x50), (1, 0x60), (2, 0x70), (128, 0x00)])
    func others(resourceManager: UInt8, info: UInt8) {
        var wal = WALBuilder()
        wal.record(resourceManager, info, WALBuilder.main([UInt8](repeating: 0, count: 72)))
        wal.commit(3)
        #expect(WALReading(wal).landmarks == wal.landmarks)
    }

    // MARK: Pages and segments

    @Test("finds the first record behind one that began before", arguments: [1, 8, 500, 8151, 8152, 8153, 20_000, 1 << 20])
    func beginsWithin(rest: Int) {
        var wal = WALBuilder()
        wal.rest(of: rest)
        wal.commit(740)
        wal.restorePoint("x")
        #expect(WALReading(wal).landmarks == wal.landmarks)
        #expect(wal.landmarks.count == 2)
    }

    @Test("goes on at a record's every distance from a page's end", arguments: Array(stride(from: 0, through: 120, by: 8)))
    func crossesPages(distance: Int) {
        var wal = WALBuilder()
        wal.filler(8192 - 40 - 24 - distance)
        wal.restorePoint("across")
        wal.commit(740)
        #expect(WALReading(wal).landmarks == wal.landmarks)
        #expect(WALReading(wal, piece: { 1 }).landmarks == wal.landmarks)
    }

    @Test("goes on in the next segment after a switch", arguments: [0, 5000, 8192 - 40 - 24 - 24, 8192 - 40 - 24 - 8])
    func switches(filler: Int) {
        var wal = WALBuilder()
        wal.filler(filler)
        wal.segmentSwitch()
        #expect(wal.bytes.count == WALBuilder.size.bytes)
        wal.commit(740)
        wal.segmentSwitch()
        wal.commit(741)
        let reading = WALReading(wal)
        #expect(reading.landmarks == wal.landmarks)
        #expect(reading.landmarks.count == 2)
    }

    @Test("leaves out a record that a crash cut and another overwrote", arguments: [20_000, 12, 100])
    func overwritten(distance: Int) {
        var wal = WALBuilder()
        wal.commit(740)
        wal.filler(8192 - wal.bytes.count - 24 - (distance > 8000 ? 400 : distance / 8 * 8))
        wal.record(10, 0x10, [UInt8](repeating: 1, count: 30_000), cut: distance > 8000 ? 10_000 : 30_024 - distance / 8 * 8)
        wal.zeros()
        wal.header(.overwrites)
        wal.record(0, 0xD0, WALBuilder.main([UInt8](repeating: 0, count: 16)))
        wal.commit(741)
        let reading = WALReading(wal)
        #expect(reading.landmarks == wal.landmarks)
        #expect(reading.landmarks.count == 2)
    }

    @Test("follows the WAL onto a new timeline, and never back to an older one")
    func timelines() {
        var wal = WALBuilder()
        wal.commit(740)
        wal.filler(9000)
        wal.timeline = 2
        wal.filler(9000)
        wal.commit(741)
        #expect(WALReading(wal).landmarks == wal.landmarks)
        wal.timeline = 1
        wal.filler(9000)
        wal.commit(742)
        #expect(WALReading(wal).landmarks == Array(wal.landmarks.prefix(2)))
    }

    // MARK: The end

    @Test("ends at zeros, and says where", arguments: [16, 5000])
    func zeros(count: Int) {
        var wal = WALBuilder()
        wal.commit(740)
        let end = wal.position
        let reading = WALReading(wal.bytes + [UInt8](repeating: 0, count: count), from: wal.start)
        #expect(reading.landmarks == wal.landmarks)
        #expect(reading.reader.frontier == end)
        #expect((reading.reader.end == .noMoreRecords) == (count >= 24))
    }

    enum Damage: CaseIterable, Sendable { case checksum, previous, address, continuation }

    @Test("ends before what does not belong there", arguments: Damage.allCases)
    func ends(damage: Damage) {
        var wal = WALBuilder()
        wal.commit(740)
        let end = wal.position
        switch damage {
        case .checksum:
            wal.filler(100)
            wal.commit(741)
        case .previous: wal.record(1, 0, WALBuilder.main([UInt8](repeating: 0, count: 8)), previous: LSN(rawValue: 8))
        case .address, .continuation:
            wal.filler(8192 - wal.bytes.count - 24 - 8)
            wal.zeros()
            damage == .address ? wal.header(address: LSN("0/1000000")!) : wal.header(.continues, continued: 100)
        }
        wal.commit(742)
        var bytes = wal.bytes
        if damage == .checksum { bytes[(end - wal.start) + 60] ^= 1 }
        let reading = WALReading(bytes, from: wal.start)
        #expect(reading.landmarks == Array(wal.landmarks.prefix(1)))
        #expect(reading.reader.end == .noMoreRecords)
        if damage == .checksum || damage == .previous { #expect(reading.reader.frontier == end) }
    }

    @Test("says which format it does not know")
    func unknownFormat() {
        var wal = WALBuilder(format: 0xD201)
        wal.commit(740)
        #expect(WALReading(wal).landmarks.isEmpty)
        #expect(WALReading(wal).reader.end == .unknownFormat(0xD201))
    }

    // MARK: Properties

    /// Some segments of records of all kinds.
    static func random(_ random: inout SeededGenerator) -> WALBuilder {
        var wal = WALBuilder(format: WALBuilder.formats.randomElement(using: &random)!)
        if Bool.random(using: &random) { wal.rest(of: Int.random(in: 1...20_000, using: &random)) }
        var transaction: UInt32 = 740
        while wal.bytes.count < 5 << 19 {
            transaction += 1
            let number = Int(transaction)
            switch Int.random(in: 0..<40, using: &random) {
            case 0: wal.segmentSwitch()
            case 1: wal.restorePoint(random.text(1...31, of: "abc äö"), number)
            case 2: wal.filler(Int.random(in: 0...300_000, using: &random))
            case 3...8: wal.commit(transaction, number)
            case 9: wal.abort(transaction, number)
            case 10:
                wal.prepared(
                    transaction, number, isCommit: Bool.random(using: &random), items: Int.random(in: 0...50, using: &random))
            default: wal.filler(Int.random(in: 0...2000, using: &random))
            }
        }
        return wal
    }

    @Test("in pieces of any length finds the same", arguments: Seed.some(4))
    func pieces(seed: Seed) {
        var random = seed.generator
        let wal = Self.random(&random)
        let whole = WALReading(wal)
        #expect(whole.landmarks == wal.landmarks)
        for most in [7, 100, 8192, 100_000] {
            let reading = WALReading(wal, piece: { Int.random(in: 1...most, using: &random) })
            #expect(reading.landmarks == wal.landmarks)
            #expect(reading.reader.frontier == whole.reader.frontier)
        }
    }

    @Test("cut anywhere finds what is complete before the cut", arguments: Seed.some(4))
    func truncated(seed: Seed) {
        var random = seed.generator
        let wal = Self.random(&random)
        for _ in 0..<50 {
            let length = Int.random(in: 0...wal.bytes.count, using: &random)
            let found = WALReading(Array(wal.bytes.prefix(length)), from: wal.start).landmarks
            #expect(found == Array(wal.landmarks.prefix(found.count)))
            let complete = wal.landmarks.prefix { $0.end <= wal.start + length }.count
            #expect(found.count == complete || found.count == complete + 1)  // the padding behind a record may be cut off
        }
    }

    @Test("damaged anywhere finds nothing that is not there", arguments: Seed.some(6))
    func flipped(seed: Seed) {
        var random = seed.generator
        let wal = Self.random(&random)
        for _ in 0..<40 {
            var bytes = wal.bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            }
            // Where the first page's header is damaged, reading may begin later: what is found is still in order and true.
            var known = wal.landmarks[...]
            for landmark in WALReading(bytes, from: wal.start).landmarks {
                known = known.drop { $0 != landmark }
                #expect(known.popFirst() == landmark)
            }
        }
    }

    @Test("of random content under a right checksum never ends the program", arguments: Seed.some(6))
    func fuzz(seed: Seed) {
        var random = seed.generator
        var wal = WALBuilder(format: WALBuilder.formats.randomElement(using: &random)!)
        for _ in 0..<3000 {
            var body = random.bytes(Int.random(in: 0...120, using: &random))
            // Small numbers lead further than random ones.
            for i in body.indices where Int.random(in: 0..<3, using: &random) > 0 {
                body[i] = [0, 1, 32, 252, 253, 254, 255].randomElement(using: &random)!
            }
            if Bool.random(using: &random) { body = WALBuilder.main(body, isLong: Bool.random(using: &random)) }
            wal.record(
                [0, 1].randomElement(using: &random)!, [0x70, 0, 0x20, 0x30, 0x40, 0xB0, 0xC0].randomElement(using: &random)!,
                body)
        }
        let first = WALReading(wal).landmarks
        #expect(WALReading(wal, piece: { Int.random(in: 1...999, using: &random) }).landmarks == first)
    }

    @Test("of random bytes never ends the program", arguments: Seed.some(6))
    func noise(seed: Seed) {
        var random = seed.generator
        for _ in 0..<50 {
            var wal = WALBuilder()
            wal.header(Bool.random(using: &random) ? .continues : [], continued: Int.random(in: 0...10_000, using: &random))
            #expect(WALReading(wal.bytes + random.bytes(20_000), from: wal.start).landmarks.isEmpty)
        }
    }
}
