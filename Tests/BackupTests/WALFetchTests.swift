import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("What a server in recovery asks for")
struct WALFetchTests {
    static let size = RepositoryExample.system.walSegmentSize

    static func segment(_ number: UInt64, _ timeline: UInt32 = 1) -> WALSegment {
        RepositoryExample.segment(number, timeline: timeline)
    }
    static func name(_ number: UInt64, _ timeline: UInt32 = 1) -> String { segment(number, timeline).name(size: size) }

    static func fetch(_ example: RepositoryExample, _ name: String) throws -> WALFetch.Outcome {
        try WALFetch(example.archive).run(name, to: target(example))
    }

    static func target(_ example: RepositoryExample) -> FilePath { example.directory.appending("RECOVERYXLOG") }

    /// Where a failure or absence must leave nothing.
    static func expectNothing(_ example: RepositoryExample) throws {
        #expect(try !Directory.exists(target(example)))
    }

    @Test("is missing, not absent, where it is the history of a timeline that has segments")
    func missingHistory() throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(5), Self.segment(6, 3))
            try example.putPartial(Self.segment(7, 4), bytes: 100)
            for absent in ["00000001.history", "00000002.history", "00000005.history"] {
                let outcome = try Self.fetch(example, absent)
                #expect(outcome == .absent)
            }
            for missing in ["00000003.history", "00000004.history"] {
                let failure = try #require(throws: Failure.self) { try Self.fetch(example, missing) }
                #expect(failure.code == .damaged && failure.message.contains(missing))
            }
            try Self.expectNothing(example)
        }
    }

    @Test("is missing where only its first part is stored and its timeline goes on behind it: no recovery ends there")
    func partialBeforeGap() throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2))
            try example.putPartial(Self.segment(3), bytes: 5000)
            try example.putArchived(Self.segment(5))
            let failure = try #require(throws: Failure.self) { try Self.fetch(example, Self.name(3)) }
            #expect(failure.code == .walGap && failure.message.contains(Self.name(3)), "\(failure)")
            try Self.expectNothing(example)
            // One that ends before what is missing gets what there is.
            let start = Self.segment(3).start(size: Self.size)
            for (until, isEnough) in [(5000, true), (5001, false)] {
                let outcome = try? WALFetch(example.archive, until: start + until).run(Self.name(3), to: Self.target(example))
                #expect(outcome == (isEnough ? .deliveredPartial(bytes: 5000) : nil))
            }
        }
    }

    @Test("is delivered whole from the archive and from incoming")
    func delivered() throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2))
            try example.putComplete(Self.segment(3))
            for number in [2, 3] as [UInt64] {
                let outcome = try Self.fetch(example, Self.name(number))
                #expect(outcome == .delivered)
                #expect(try SmallFile.read(Self.target(example)) == RepositoryExample.wal(Self.segment(number)))
            }
        }
    }

    @Test("is delivered whole from several frames, by one thread or more", arguments: [1, 3])
    func frames(threads: Int) throws {
        try RepositoryExample.with { example in
            let wal = RepositoryExample.wal(Self.segment(2)), path = example.archive.archivedPath(Self.segment(2))
            try Directory.create(path.removingLastComponent())
            let content = wal.enumerated().map { $0 < 4096 ? $1 : UInt8(truncatingIfNeeded: $0 / 977) }
            let frames = try stride(from: 0, to: content.count, by: 1 << 17).map {
                try Self.compressed(content[$0..<min($0 + 1 << 17, content.count)])
            }
            try overwrite(path, frames.flatMap(\.self))
            func fetch() throws -> WALFetch.Outcome {
                try WALFetch(example.archive, threads: threads).run(Self.name(2), to: Self.target(example))
            }
            let outcome = try fetch()
            #expect(outcome == .delivered)
            let isRight = try SmallFile.read(Self.target(example)) == content
            #expect(isRight)
            var damaged = frames
            damaged[5][damaged[5].count - 1] ^= 1
            for wrong in [damaged, Array(frames.dropLast()), frames + [frames[0]]] {
                try overwrite(path, wrong.flatMap(\.self))
                let failure = try #require(throws: Failure.self) { try fetch() }
                #expect(failure.code == .damaged)
                try Self.expectNothing(example)
            }
        }
    }

    private static func compressed(_ content: ArraySlice<UInt8>) throws -> [UInt8] {
        var stored = [UInt8](repeating: 0, count: Compressor.bound(content.count))
        let count = try stored.withUnsafeMutableBytes { target in
            try content.withUnsafeBytes { try Compressor(.standard).compress($0, into: target) }
        }
        return Array(stored[..<count])
    }

    @Test("replaces what lies in its place, which may be longer")
    func replaces() throws {
        try RepositoryExample.with { example in
            try overwrite(Self.target(example), [UInt8](repeating: 9, count: 3 << 20))
            try example.putArchived(Self.segment(2))
            _ = try Self.fetch(example, Self.name(2))
            #expect(try SmallFile.read(Self.target(example)) == RepositoryExample.wal(Self.segment(2)))
        }
    }

    @Test("is delivered from the unfinished end of the WAL, padded with zeros", arguments: [40, 8192, 300_001, (1 << 20) - 1])
    func partial(bytes: Int) throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2))
            try example.putPartial(Self.segment(3), bytes: bytes)
            let outcome = try Self.fetch(example, Self.name(3))
            #expect(outcome == .deliveredPartial(bytes: bytes))
            let wal = RepositoryExample.wal(Self.segment(3)).prefix(bytes) + [UInt8](repeating: 0, count: (1 << 20) - bytes)
            #expect(try SmallFile.read(Self.target(example)) == Array(wal))
        }
    }

    @Test("is absent where its segment was only begun", arguments: [0, 1, 39])
    func begun(bytes: Int) throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2))
            try example.putPartial(Self.segment(3), bytes: bytes)
            let outcome = try Self.fetch(example, Self.name(3))
            #expect(outcome == .absent)
            try Self.expectNothing(example)
        }
    }

    @Test(
        "is absent where nothing says that it should be there",
        arguments: [(1, 3), (1, 0), (2, 3), (2, 9), (9, 1)] as [(UInt32, UInt64)])
    func absent(timeline: UInt32, number: UInt64) throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(1), Self.segment(2))
            let outcome = try Self.fetch(example, Self.name(number, timeline))
            #expect(outcome == .absent)
            try Self.expectNothing(example)
        }
    }

    @Test("is missing where only its first part is stored and the WAL goes on on a timeline that left it later")
    func partialBeforeSwitch() throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2))
            try example.putPartial(Self.segment(3), bytes: 5000)
            // Timeline 2 began at byte 0x100 of segment 6, timeline 3 right behind; of 2 nothing is stored.
            try example.archive.store(history: "1\t0/600100\tx\n", of: TimelineID(rawValue: 2))
            try example.archive.store(history: "1\t0/600100\tx\n2\t0/800100\ty\n", of: TimelineID(rawValue: 3))
            #expect(try Self.fetch(example, Self.name(3)) == .deliveredPartial(bytes: 5000))
            try Directory.remove(Self.target(example))
            try example.putArchived(Self.segment(8, 3))
            for number in [3, 4, 6] as [UInt64] {
                let failure = try #require(throws: Failure.self) { try Self.fetch(example, Self.name(number)) }
                #expect(failure.code == .walGap, "\(failure)")
            }
            let gaps = try StoredWAL(example.archive).gaps.map { "\($0.timeline) \($0.fromLSN) \($0.toLSN)" }
            #expect(gaps.count == 2 && gaps[0].hasSuffix("0/600000") && gaps[1] == "2 0/600100 0/800000", "\(gaps)")
        }
    }

    @Test("is missing where a receiver had made durable what is not there any more")
    func lostEnd() throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2))
            let start = Self.segment(3).start(size: Self.size)
            func note(_ bytes: Int) throws {
                try example.archive.note(.init(timeline: .first, durableLSN: start + bytes, time: nil))
            }
            try note(0)
            #expect(try Self.fetch(example, Self.name(3)) == .absent)
            try note(5000)
            let failure = try #require(throws: Failure.self) { try Self.fetch(example, Self.name(3)) }
            #expect(failure.code == .walGap)
            try example.putPartial(Self.segment(3), bytes: 4000)
            #expect(throws: Failure.self) { try Self.fetch(example, Self.name(3)) }
            try example.putPartial(Self.segment(3), bytes: 5000)
            #expect(try Self.fetch(example, Self.name(3)) == .deliveredPartial(bytes: 5000))
        }
    }

    @Test("has of an older timeline only what the recovery's own history has of it")
    func givenUpBranch() throws {
        try RepositoryExample.with { example in
            // Timeline 1 was left at byte 0x100 of segment 3, after it had got to segment 5; of timeline 2 only the history is there.
            for number in 2...5 as ClosedRange<UInt64> { try example.putArchived(Self.segment(number)) }
            try example.archive.store(history: "1\t0/300100\tx\n", of: TimelineID(rawValue: 2))
            func fetch(_ number: UInt64, _ timeline: UInt32?) throws -> WALFetch.Outcome {
                try WALFetch(example.archive, timeline: timeline.map { TimelineID(rawValue: $0) })
                    .run(Self.name(number), to: Self.target(example))
            }
            #expect(try fetch(2, 2) == .delivered)
            #expect(try fetch(3, 2) == .deliveredPartial(bytes: 0x100))
            let bytes = try #require(try SmallFile.read(Self.target(example)))
            #expect(bytes.count == Self.size.bytes && bytes[0x100...].allSatisfy { $0 == 0 })
            try Directory.remove(Self.target(example))
            for number in [4, 5] as [UInt64] { #expect(try fetch(number, 2) == .absent) }
            try Self.expectNothing(example)
            // A recovery that stays on timeline 1 gets all of it, and so does one of which nothing is known.
            for timeline in [1, nil] as [UInt32?] {
                for number in 3...5 as ClosedRange<UInt64> { #expect(try fetch(number, timeline) == .delivered) }
            }
            // Where timeline 2 has the segment itself, that is asked for first.
            try example.putArchived(Self.segment(3, 2))
            #expect(try fetch(3, 2) == .delivered)
        }
    }

    @Test("is absent in a gap behind the end of the recovery that asks, and nowhere else")
    func behindEnd() throws {
        try RepositoryExample.with { example in
            for number in [2, 5] as [UInt64] { try example.putArchived(Self.segment(number)) }
            func fetch(_ number: UInt64, until: LSN) throws -> WALFetch.Outcome {
                try WALFetch(example.archive, until: until).run(Self.name(number), to: Self.target(example))
            }
            let end = Self.segment(3).start(size: Self.size)
            #expect(try fetch(3, until: end) == .absent)
            #expect(try fetch(4, until: end) == .absent)
            #expect(try fetch(5, until: end) == .delivered)
            let failure = try #require(throws: Failure.self) { try fetch(3, until: end + 1) }
            #expect(failure.code == .walGap)
        }
    }

    @Test("is missing, not absent, between stored segments", arguments: [(1, 3), (1, 4), (2, 7)] as [(UInt32, UInt64)])
    func gap(timeline: UInt32, number: UInt64) throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(1), Self.segment(2), Self.segment(5), Self.segment(6, 2), Self.segment(8, 2))
            try example.archive.store(history: "1\t0/600100\tx\n", of: TimelineID(rawValue: 2))
            let failure = try #require(throws: Failure.self) { try Self.fetch(example, Self.name(number, timeline)) }
            #expect(failure.code == .walGap && failure.message.contains(Self.name(number, timeline)))
            try Self.expectNothing(example)
        }
    }

    @Test(
        "is missing where a timeline's first segments are, and absent before the timeline began",
        arguments: [(5, true), (6, false), (7, false)] as [(UInt64, Bool)])
    func beginningOfTimeline(number: UInt64, isAbsent: Bool) throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(5), Self.segment(8, 2))
            try example.archive.store(history: "1\t0/600100\tx\n", of: TimelineID(rawValue: 2))
            do {
                let outcome = try Self.fetch(example, Self.name(number, 2))
                #expect(isAbsent && outcome == .absent)
            } catch let failure as Failure {
                #expect(!isAbsent && failure.code == .walGap)
            }
        }
    }

    /// Timeline 2 left timeline 1 at 4096 bytes into the segment. As long as it has no copy, PostgreSQL would take what
    /// follows for its WAL.
    @Test("is of an unfinished segment only what the timeline has that left it there", arguments: [(false, 4096), (true, 5000)])
    func partialOfParent(hasCopy: Bool, bytes: Int) throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2))
            try example.putPartial(Self.segment(3), bytes: 5000)
            try example.archive.store(history: "1\t0/301000\tx\n", of: TimelineID(rawValue: 2))
            if hasCopy { try example.putComplete(Self.segment(3, 2)) }
            let outcome = try Self.fetch(example, Self.name(3))
            #expect(outcome == .deliveredPartial(bytes: bytes))
            let found = try #require(try SmallFile.read(Self.target(example)))
            #expect(found[..<bytes].elementsEqual(RepositoryExample.wal(Self.segment(3))[..<bytes]))
            #expect(found[bytes...].allSatisfy { $0 == 0 } && found.count == 1 << 20)
        }
    }

    @Test("is refused where it is another system's, another timeline's or another place's")
    func foreign() throws {
        let other = SystemIdentifier(rawValue: 5)
        let cases: [(content: [UInt8], reason: String)] = [
            (RepositoryExample.wal(Self.segment(2), system: other), "it belongs to system 5"),
            (RepositoryExample.wal(Self.segment(3)), "it begins at 0/300000"),
            (RepositoryExample.wal(Self.segment(2, 2)), "it is of timeline 2"),
            ([UInt8](repeating: 0, count: 1 << 20), "it does not begin with a WAL page"),
        ]
        for (content, reason) in cases {
            for archived in [false, true] {
                try RepositoryExample.with { example in
                    if archived {
                        try example.putArchived(Self.segment(2), content: content)
                    } else {
                        try example.putComplete(Self.segment(2), content)
                    }
                    let failure = try #require(throws: Failure.self) { try Self.fetch(example, Self.name(2)) }
                    #expect(failure.code == .damaged && failure.message.contains(reason))
                    try Self.expectNothing(example)
                }
            }
        }
    }

    @Test("is refused where any byte of its archived form is another", arguments: Seed.some(2))
    func damaged(seed: Seed) throws {
        var random = seed.generator
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2))
            let path = example.archive.archivedPath(Self.segment(2))
            let bytes = try #require(try SmallFile.read(path))
            for place in bytes.indices {
                var damaged = bytes
                damaged[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                try overwrite(path, damaged)
                do {
                    _ = try Self.fetch(example, Self.name(2))
                    // A bit that says nothing: then all is as it was.
                    #expect(try SmallFile.read(Self.target(example)) == RepositoryExample.wal(Self.segment(2)), "byte \(place)")
                    try Directory.remove(Self.target(example))
                } catch {
                    #expect((error as? Failure)?.code == .damaged, "byte \(place)")
                    try Self.expectNothing(example)
                }
            }
        }
    }

    @Test("is refused where it is too short", arguments: [100, 40, (1 << 20) - 1])
    func short(count: Int) throws {
        try RepositoryExample.with { example in
            try example.putComplete(Self.segment(2), Array(RepositoryExample.wal(Self.segment(2)).prefix(count)))
            let failure = try #require(throws: Failure.self) { try Self.fetch(example, Self.name(2)) }
            #expect(failure.code == .damaged)
            try Self.expectNothing(example)
        }
    }

    @Test("may be a history file, which is delivered as it is stored or proved absent")
    func history() throws {
        try RepositoryExample.with { example in
            let text = "1\t0/300000\tno recovery target specified\n"
            try example.archive.store(history: text, of: TimelineID(rawValue: 2))
            #expect(try Self.fetch(example, "00000002.history") == .delivered)
            #expect(try SmallFile.readText(Self.target(example)) == text)
            try Directory.remove(Self.target(example))
            #expect(try Self.fetch(example, "00000003.history") == .absent)
            try Self.expectNothing(example)
        }
    }

    @Test(
        "is refused where it is no such name",
        arguments: ["", "x", "00000000.history", "000000010000000000001000", "../../etc/passwd", "RECOVERYXLOG"])
    func otherNames(name: String) throws {
        try RepositoryExample.with { example in
            let failure = try #require(throws: Failure.self) { try Self.fetch(example, name) }
            #expect(failure.code == .usage)
            try Self.expectNothing(example)
        }
    }

    @Test("is never absent where the repository cannot be read", arguments: ["000000010000000000000003", "00000002.history"])
    func noRepository(name: String) throws {
        try RepositoryExample.with { example in
            try Directory.removeTree(example.repository.root)
            #expect(throws: Failure.self) { try Self.fetch(example, name) }
            try Self.expectNothing(example)
        }
    }
}
