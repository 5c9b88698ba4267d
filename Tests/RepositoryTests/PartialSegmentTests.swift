import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A segment that is being received")
struct PartialSegmentTests {
    static let segment = RepositoryExample.segment(3)
    static let start = segment.start(size: RepositoryExample.system.walSegmentSize)

    /// WAL as it is on disk, of which the last `zeros` bytes are zero.
    static func wal(_ count: Int, zeros: Int = 0, of segment: WALSegment = segment) -> [UInt8] {
        RepositoryExample.wal(segment).prefix(count - zeros) + [UInt8](repeating: 0, count: zeros)
    }

    private func write(_ bytes: some Collection<UInt8>, at offset: Int, to partial: PartialSegment) throws {
        try Array(bytes).withUnsafeBytes { try partial.write($0, at: offset) }
    }

    /// Receives `bytes` in small batches, as commits do.
    @discardableResult
    private func receive(_ bytes: [UInt8], _ example: RepositoryExample, batch: Int = 9000) throws -> PartialSegment {
        let partial = try example.archive.openPartial(Self.segment)
        var offset = 0
        while offset < bytes.count {
            let end = min(offset + batch, bytes.count)
            try write(bytes[offset..<end], at: offset, to: partial)
            try partial.synchronize(received: end)
            try partial.makeRoom(received: end)
            offset = end
        }
        return partial
    }

    private func path(_ example: RepositoryExample) -> FilePath { example.archive.partialPath(Self.segment) }
    private func markPath(_ example: RepositoryExample) -> FilePath { example.archive.incoming.appending("00000001.received") }
    private func size(_ example: RepositoryExample) throws -> Int { try #require(try Directory.status(path(example))).size }

    private func expect(_ count: Int, _ bytes: [UInt8], _ example: RepositoryExample) throws {
        let archive = example.archive
        #expect(try archive.place(of: Self.segment) == .partial(bytes: count))
        #expect(try archive.frontier()?.position == Self.start + count)
        var content: [UInt8] = []
        try archive.read(Self.segment) { content += $0 }
        #expect(content == Array(bytes.prefix(count)))
    }

    @Test("has room ahead, which nobody takes for WAL; zeros that were received count", arguments: [1, 8192, 20_000, 100_007])
    func room(count: Int) throws {
        try RepositoryExample.with { example in
            let bytes = Self.wal(count, zeros: min(7, count - 1))
            try receive(bytes, example)
            #expect(try size(example) > count + RoomAhead.least)
            try expect(count, bytes, example)
        }
    }

    @Test("ends with its last byte when the stream ends in order, and goes on from there")
    func ends() throws {
        try RepositoryExample.with { example in
            let bytes = Self.wal(50_000, zeros: 5)
            try receive(bytes, example).end(received: 50_000)
            #expect(try size(example) == 50_000)
            try expect(50_000, bytes, example)
            // Received anew, and cut short: what was there stays.
            try receive(Array(bytes.prefix(30_000)), example).end(received: 30_000)
            #expect(try size(example) == 50_000)
            try expect(50_000, bytes, example)
        }
    }

    @Test("of a killed receiver is cut to what was received when the next one begins")
    func killed() throws {
        try RepositoryExample.with { example in
            let bytes = Self.wal(50_000, zeros: 5)
            try receive(bytes, example)
            try example.archive.removeLeftovers()
            #expect(try size(example) == 50_000)
            try expect(50_000, bytes, example)
        }
    }

    @Test("shows all of it after a power cut took the mark back", arguments: [1, 8191, 8192, 8200, 40_000])
    func staleMark(marked: Int) throws {
        try RepositoryExample.with { example in
            let bytes = Self.wal(50_000)
            try receive(Array(bytes.prefix(marked)), example, batch: marked)
            let old = try #require(try SmallFile.read(markPath(example)))
            try receive(bytes, example)
            try overwrite(markPath(example), old)
            try expect(50_000, bytes, example)
        }
    }

    @Test("is looked through where the mark is damaged", arguments: [0, 9, 30])
    func damagedMark(place: Int) throws {
        try RepositoryExample.with { example in
            let bytes = Self.wal(50_000)
            try receive(bytes, example)
            var mark = try #require(try SmallFile.read(markPath(example)))
            mark[place] ^= 1
            try overwrite(markPath(example), mark)
            try expect(50_000, bytes, example)
            try overwrite(markPath(example), [])
            try expect(50_000, bytes, example)
        }
    }

    @Test("counts nothing behind a page that is missing after a power cut")
    func hole() throws {
        try RepositoryExample.with { example in
            let bytes = Self.wal(50_000)
            let partial = try receive(Array(bytes.prefix(10_000)), example, batch: 10_000)
            try write(bytes[24_576..<50_000], at: 24_576, to: partial)
            try expect(10_000, bytes, example)
        }
    }

    @Test("has what lies in front of a page that was never synced, where none was marked yet", arguments: [0, 1, 3])
    func unsyncedHole(page: Int) throws {
        try RepositoryExample.with { example in
            var bytes = Self.wal(40_000)
            for place in page * 8192..<(page + 1) * 8192 { bytes[place] = 0 }
            try SmallFile.write(bytes, to: path(example))
            #expect(try example.archive.place(of: Self.segment) == .partial(bytes: page * 8192))
            try example.archive.removeLeftovers()
            #expect(try size(example) == page * 8192)
        }
    }

    @Test("has its size where no mark names it: a mark of another one says nothing")
    func otherMark() throws {
        try RepositoryExample.with { example in
            try receive(Self.wal(50_000), example)
            let other = RepositoryExample.segment(5)
            try SmallFile.write(Self.wal(1000, zeros: 10, of: other), to: example.archive.partialPath(other))
            #expect(try example.archive.place(of: other) == .partial(bytes: 1000))
        }
    }

    @Test("never marks less than was marked before")
    func forward() throws {
        try RepositoryExample.with { example in
            let bytes = Self.wal(50_000, zeros: 9)
            try receive(bytes, example)
            try receive(Array(bytes.prefix(20_000)), example)
            try expect(50_000, bytes, example)
        }
    }

    @Test("that was received whole becomes a complete one, without a byte more")
    func whole() throws {
        try RepositoryExample.with { example in
            let all = Self.wal(RepositoryExample.system.walSegmentSize.bytes)
            try receive(all, example)
            try example.archive.complete(Self.segment)
            #expect(try SmallFile.read(example.archive.completePath(Self.segment)) == all)
            try example.archive.archive(Self.segment, level: .standard)
            #expect(try example.archive.place(of: Self.segment) == .archived)
        }
    }

    @Test("is the begin of what a server archives, room or not; another one is not")
    func archivedMeanwhile() throws {
        try RepositoryExample.with { example in
            let all = Self.wal(RepositoryExample.system.walSegmentSize.bytes)
            try receive(Array(all.prefix(50_000)), example)
            let source = example.repository.root.appending("source")
            var other = all
            other[49_999] ^= 1
            try SmallFile.write(other, to: source)
            let failure = try #require(throws: Failure.self) {
                try example.archive.archive(Self.segment, from: File(source, .read), level: .standard)
            }
            #expect(failure.code == .walConflict)
            try SmallFile.write(all, to: source)
            #expect(try example.archive.archive(Self.segment, from: File(source, .read), level: .standard) == .stored)
            try example.archive.removeLeftovers()
            #expect(try !Directory.exists(path(example)))
        }
    }
}

@Suite("A mark of what was received")
struct ReceivedMarkTests {
    @Test("is read as it was written, in 35 characters")
    func text() throws {
        let text = "00000003 0000000A00FF0168 "
        let sum = CRC32C(Array(text.utf8.prefix(25))).value
        let digits = String(sum, radix: 16, uppercase: true)
        let bytes = Array("\(text)\(String(repeating: "0", count: 8 - digits.count))\(digits)\n".utf8)
        let mark = try #require(ReceivedMark(bytes))
        #expect(mark == ReceivedMark(timeline: TimelineID(rawValue: 3), position: LSN("A/FF0168")!))
        for place in bytes.indices {
            var damaged = bytes
            damaged[place] ^= 4
            #expect(ReceivedMark(damaged) == nil, "\(place)")
        }
        #expect(ReceivedMark(bytes.dropLast()) == nil && ReceivedMark(bytes + [10]) == nil && ReceivedMark([]) == nil)
    }
}
