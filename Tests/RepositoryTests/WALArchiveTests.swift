import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("The WAL archive")
struct WALArchiveTests {
    typealias Range = WALArchive.Range

    static let size = RepositoryExample.system.walSegmentSize.bytes
    static func segment(_ number: UInt64, _ timeline: UInt32 = 1) -> WALSegment {
        RepositoryExample.segment(number, timeline: timeline)
    }

    static func content(_ path: FilePath) throws -> [UInt8] {
        var content: [UInt8] = []
        try CompressedFile.read(path) { content += $0 }
        return content
    }

    /// Timeline, first and last position of each range.
    static func ranges(_ example: RepositoryExample) throws -> [String] {
        try example.archive.ranges().map { "\($0.timeline): \($0.from) to \($0.to)" }
    }

    // MARK: Places

    @Test("moves a segment from partial to complete to archived")
    func places() throws {
        try RepositoryExample.with { example in
            let archive = example.archive
            let segment = Self.segment(3)
            #expect(try archive.place(of: segment) == nil)
            try example.putPartial(segment, bytes: 1000)
            #expect(try archive.place(of: segment) == .partial(bytes: 1000))
            try overwrite(archive.partialPath(segment), RepositoryExample.wal(segment))
            try archive.complete(segment)
            #expect(try archive.place(of: segment) == .complete)
            #expect(try archive.waiting() == [segment])
            try archive.archive(segment, level: .standard)
            #expect(try archive.place(of: segment) == .archived)
            #expect(try Directory.names(in: example.archive.incoming) == [])
            #expect(try Self.content(archive.archivedPath(segment)) == RepositoryExample.wal(segment))
            #expect(archive.archivedPath(segment).string.hasSuffix("/wal/0000000100000000/000000010000000000000003.zst"))
        }
    }

    @Test("tells a segment's most complete form where it has several")
    func severalPlaces() throws {
        try RepositoryExample.with { example in
            let segment = Self.segment(3)
            try example.putPartial(segment, bytes: 5)
            try example.putComplete(segment)
            #expect(try example.archive.place(of: segment) == .complete)
            #expect(try example.archive.segments().map(\.place) == [.complete])
            try example.archive.archive(segment, level: .standard)
            try example.putComplete(segment)
            #expect(try example.archive.place(of: segment) == .archived)
            #expect(try example.archive.segments().map(\.place) == [.archived])
        }
    }

    @Test("takes the same segment again, and then its raw form goes")
    func archiveAgain() throws {
        try RepositoryExample.with { example in
            let segment = Self.segment(3)
            try example.putArchived(segment)
            try example.putComplete(segment)
            try example.archive.archive(segment, level: CompressionLevel(19)!)
            #expect(try Directory.names(in: example.archive.incoming) == [])
        }
    }

    @Test("refuses another segment of the same name, and keeps both", arguments: [40, 5000, size - 1])
    func conflict(place: Int) throws {
        try RepositoryExample.with { example in
            let segment = Self.segment(3)
            try example.putArchived(segment)
            var other = RepositoryExample.wal(segment)
            other[place] ^= 1
            try example.putComplete(segment, other)
            let failure = try #require(throws: Failure.self) { try example.archive.archive(segment, level: .standard) }
            #expect(failure.code == .walConflict)
            #expect(try Self.content(example.archive.archivedPath(segment)) == RepositoryExample.wal(segment))
            #expect(try SmallFile.read(example.archive.completePath(segment)) == other)
        }
    }

    @Test("refuses a segment that is too short, and leaves nothing of it in the archive", arguments: [0, 100, size - 1])
    func short(count: Int) throws {
        try RepositoryExample.with { example in
            let segment = Self.segment(3)
            try example.putComplete(segment, Array(RepositoryExample.wal(segment).prefix(count)))
            let failure = try #require(throws: Failure.self) { try example.archive.archive(segment, level: .standard) }
            #expect(failure.code == .damaged)
            #expect(try Directory.names(in: example.archive.archivedPath(segment).removingLastComponent()) == [])
            #expect(try Directory.exists(example.archive.completePath(segment)))
        }
    }

    // MARK: Ranges

    @Test("shows contiguous stretches of each timeline, with gaps between them")
    func ranges() throws {
        try RepositoryExample.with { example in
            try example.putArchived(
                Self.segment(2), Self.segment(3), Self.segment(6), Self.segment(4, 2), Self.segment(0x1000, 2))
            try example.putComplete(Self.segment(4))
            try example.putPartial(Self.segment(7), bytes: 0x100)
            try example.putPartial(Self.segment(5, 2), bytes: 0)
            #expect(
                try Self.ranges(example) == [
                    "1: 0/200000 to 0/500000", "1: 0/600000 to 0/700100", "2: 0/400000 to 0/500000", "2: 1/0 to 1/100000",
                ])
            #expect(try example.archive.ranges().map(\.segments) == [3, 2, 2, 1])
        }
    }

    @Test("tells what the segments of a timeline take, in whatever form they are")
    func storedBytes() throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2), Self.segment(3), Self.segment(4, 2))
            try example.putComplete(Self.segment(4))
            try example.putPartial(Self.segment(5), bytes: 0x100)
            let archived = try [Self.segment(2), Self.segment(3), Self.segment(4, 2)].map {
                try Directory.status(example.archive.archivedPath($0))?.size ?? 0
            }
            #expect(archived.allSatisfy { $0 > 0 })
            #expect(
                try example.archive.storedBytes(of: example.archive.segments()) == [
                    TimelineID(rawValue: 1): archived[0] + archived[1] + Self.size + 0x100, TimelineID(rawValue: 2): archived[2],
                ])
        }
    }

    @Test("sees only segments, not what else lies there")
    func strangers() throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2))
            let folder = example.archive.archivedPath(Self.segment(2)).removingLastComponent()
            for name in [
                "000000010000000000000003.zst.tmp", "000000010000000000000003", "x.zst", "00000001000000000000100000.zst",
            ] {
                try SmallFile.write("x", to: folder.appending(name))
            }
            try SmallFile.write("x", to: example.archive.incoming.appending("frontier.json"))
            try SmallFile.write("x", to: example.archive.incoming.appending("000000010000000000000004.partial.tmp"))
            try SmallFile.write("1\t0/300000\tx\n", to: example.archive.historyPath(TimelineID(rawValue: 2)))
            #expect(try example.archive.segments().map(\.segment) == [Self.segment(2)])
        }
    }

    @Test("of a random set of segments shows ranges that hold exactly these", arguments: Seed.some(8))
    func property(seed: Seed) throws {
        var random = seed.generator
        try RepositoryExample.with { example in
            let numbers = Set((0..<25).map { _ in UInt64.random(in: 0xFF0...0x1010, using: &random) })
            for number in numbers { try overwrite(example.archive.completePath(Self.segment(number)), []) }
            var found: Set<UInt64> = []
            let ranges = try example.archive.ranges()
            for range in ranges {
                let first = range.from.rawValue / UInt64(Self.size), end = range.to.rawValue / UInt64(Self.size)
                #expect(range.segments == Int(end - first))
                found.formUnion(first..<end)
            }
            #expect(found == numbers)
            #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.to < $1.from })
        }
    }

    @Test(
        "tells how far WAL reaches from a position without a gap",
        arguments: [
            ("0/200000", 1, "0/400000"), ("0/3FFFFF", 1, "0/400000"), ("0/400000", 1, "0/400000"), ("0/400001", 1, nil),
            ("0/1FFFFF", 1, nil),
            ("0/600000", 1, "0/600010"), ("0/200000", 2, nil),
        ] as [(String, UInt32, String?)])
    func reach(start: String, timeline: UInt32, end: String?) throws {
        try RepositoryExample.with { example in
            try example.putComplete(Self.segment(2))
            try example.putComplete(Self.segment(3))
            try example.putPartial(Self.segment(6), bytes: 16)
            let reach = try example.archive.reach(from: LSN(start)!, on: TimelineID(rawValue: timeline))
            #expect(reach == end.map { LSN($0)! })
        }
    }

    @Test("has its frontier at the end of the newest timeline")
    func frontier() throws {
        try RepositoryExample.with { example in
            #expect(try example.archive.frontier() == nil)
            try example.putComplete(Self.segment(9))
            #expect(try example.archive.frontier()?.position == LSN("0/A00000"))
            try example.putComplete(Self.segment(2, 2))
            try example.putPartial(Self.segment(3, 2), bytes: 100)
            let frontier = try #require(try example.archive.frontier())
            #expect(frontier.timeline == TimelineID(rawValue: 2) && frontier.position == LSN("0/300064"))
        }
    }

    // MARK: Histories and moments

    @Test("stores a history once, and refuses another one of the same timeline")
    func histories() throws {
        try RepositoryExample.with { example in
            let archive = example.archive, second = TimelineID(rawValue: 2)
            #expect(try archive.history(of: second) == nil)
            #expect(try archive.history(of: .first) == TimelineHistory(of: .first))
            try archive.store(history: "1\t0/300000\treason\n", of: second)
            try archive.store(history: "1\t0/300000\treason\n", of: second)
            let failure = try #require(throws: Failure.self) { try archive.store(history: "1\t0/300008\treason\n", of: second) }
            #expect(failure.code == .walConflict)
            #expect(try archive.history(of: second)?.begin == LSN("0/300000"))
            try archive.store(history: "1\t0/300000\tx\n2\t0/400000\tx\n", of: TimelineID(rawValue: 0x1F))
            #expect(try archive.timelinesWithHistory() == [second, TimelineID(rawValue: 0x1F)])
        }
    }

    @Test("stores no history that cannot be read")
    func damagedHistory() throws {
        try RepositoryExample.with { example in
            let second = TimelineID(rawValue: 2)
            #expect(throws: Failure.self) { try example.archive.store(history: "garbage\n", of: second) }
            #expect(try example.archive.history(of: second) == nil)
            try SmallFile.write("garbage", to: example.archive.historyPath(second))
            let failure = try #require(throws: Failure.self) { try example.archive.history(of: second) }
            #expect(failure.code == .damaged)
        }
    }

    @Test("remembers up to which moment everything is here")
    func moment() throws {
        try RepositoryExample.with { example in
            #expect(try example.archive.moment() == nil)
            let moment = WALArchive.Moment(
                timeline: TimelineID(rawValue: 2), durableLSN: LSN("0/300100")!,
                time: Timestamp(microseconds: 1_795_359_845_000_007))
            try example.archive.note(moment)
            #expect(try example.archive.moment() == moment)
        }
    }

    @Test("knows whether somebody receives")
    func receiving() throws {
        try RepositoryExample.with { example in
            #expect(try !example.archive.isReceiving())
            let lock = try LockFile.take(example.repository.receiveLock, purpose: "pgark wal receive")
            #expect(try example.archive.isReceiving())
            withExtendedLifetime(lock) {}
        }
    }

    // MARK: Reading

    @Test("shows a segment's bytes from wherever it is")
    func read() throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(1))
            try example.putComplete(Self.segment(2))
            try example.putPartial(Self.segment(3), bytes: 300_000)
            for (number, count) in [(1, Self.size), (2, Self.size), (3, 300_000)] as [(UInt64, Int)] {
                var bytes: [UInt8] = []
                try example.archive.read(Self.segment(number)) { bytes += $0 }
                #expect(bytes == Array(RepositoryExample.wal(Self.segment(number)).prefix(count)))
            }
            let failure = try #require(throws: Failure.self) { try example.archive.read(Self.segment(4)) { _ in } }
            #expect(failure.code == .segmentMissing)
        }
    }
}
