import PostgresModel
import Testing

@Suite("The header of a segment's first page")
struct WALPageHeaderTests {
    static let size = WALSegmentSize(bytes: 16 << 20)!
    static let system = SystemIdentifier(rawValue: 7_711_037_898_349_850_975)

    /// XLogLongPageHeaderData: magic, flags, timeline, address, remaining length, padding, system, segment size, block size.
    static func bytes(
        timeline: UInt32 = 2, start: UInt64 = 0x300_0000, system: UInt64 = system.rawValue, segment: UInt32 = 16 << 20,
        flags: UInt16 = 6
    )
        -> [UInt8]
    {
        .littleEndian(UInt16(0xD110)) + .littleEndian(flags) + .littleEndian(timeline) + .littleEndian(start)
            + .littleEndian(UInt64(0)) + .littleEndian(system) + .littleEndian(segment) + .littleEndian(UInt32(8192))
    }

    @Test("says whose WAL it is")
    func reads() throws {
        let header = try #require(Self.bytes().raw { WALPageHeader($0) })
        #expect(header.timeline == TimelineID(rawValue: 2))
        #expect(header.start == LSN("0/3000000"))
        #expect(header.systemIdentifier == Self.system)
        #expect(header.segmentSize == 16 << 20)
    }

    @Test("is refused where it is cut off", arguments: 0..<WALPageHeader.size)
    func short(count: Int) {
        #expect(Array(Self.bytes().prefix(count)).raw { WALPageHeader($0) } == nil)
    }

    @Test("is refused where it is a page within a segment", arguments: [0, 1, 4, 5] as [UInt16])
    func otherPage(flags: UInt16) {
        #expect(Self.bytes(flags: flags).raw { WALPageHeader($0) } == nil)
    }

    @Test(
        "fits its segment, or says why not",
        arguments: [
            (bytes(), nil), (bytes(timeline: 1), nil), (bytes(timeline: 3), "it is of timeline 3, not 2"),
            (bytes(start: 0x400_0000), "it begins at 0/4000000, not at 0/3000000"),
            (bytes(segment: 1 << 20), "its segment size is 1048576, not 16777216"),
            (bytes(system: 5), "it belongs to system 5, not to 7711037898349850975"),
        ] as [([UInt8], String?)])
    func mismatch(bytes: [UInt8], reason: String?) throws {
        let header = try #require(bytes.raw { WALPageHeader($0) })
        let segment = WALSegment(name: "000000020000000000000003", size: Self.size)!
        #expect(header.mismatch(segment: segment, size: Self.size, system: Self.system) == reason)
    }
}
