import PostgresModel
import Repository
import Storage
import TestSupport
import Testing

@Suite("Where a receiver goes on beside servers that archive by themselves")
struct WALFrontierTests {
    static func segment(_ number: UInt64, _ timeline: UInt32 = 1) -> WALSegment {
        RepositoryExample.segment(number, timeline: timeline)
    }

    static func frontier(_ example: RepositoryExample) throws -> String {
        try example.archive.frontier().map { "\($0.timeline): \($0.position)" } ?? "none"
    }

    @Test("is behind what they archived, where nothing is missing before it")
    func ahead() throws {
        try RepositoryExample.with { example in
            try example.putPartial(Self.segment(3), bytes: 4096)
            #expect(try Self.frontier(example) == "1: 0/301000")
            try example.putArchived(Self.segment(3), Self.segment(4))
            #expect(try Self.frontier(example) == "1: 0/500000")
        }
    }

    @Test("is before a hole, which is still to be received")
    func hole() throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2))
            try example.putPartial(Self.segment(3), bytes: 4096)
            try example.putArchived(Self.segment(7), Self.segment(8))
            #expect(try Self.frontier(example) == "1: 0/301000")
            try example.putArchived(Self.segment(3))
            #expect(try Self.frontier(example) == "1: 0/400000")
        }
    }

    @Test("is behind a hole that is known to be lost")
    func lost() throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(2), Self.segment(7))
            let gap = WALArchive.Gap(
                timeline: .first, fromLSN: LSN("0/300000")!, toLSN: LSN("0/700000")!, fromTime: nil, noticedTime: .now,
                reason: "x")
            try example.archive.note(gap)
            #expect(try Self.frontier(example) == "1: 0/800000")
            try example.putArchived(Self.segment(9))
            #expect(try Self.frontier(example) == "1: 0/800000")
        }
    }

    @Test("is on the old timeline while the end of that is missing, though the new one is archived already")
    func oldTimeline() throws {
        try RepositoryExample.with { example in
            let second = TimelineID(rawValue: 2)
            try example.archive.store(history: "1\t0/600100\tx\n", of: second)
            try example.putArchived(Self.segment(3))
            try example.putPartial(Self.segment(4), bytes: 4096)
            try example.putArchived(Self.segment(6, 2))
            #expect(try Self.frontier(example) == "1: 0/401000")
            try example.putArchived(Self.segment(4), Self.segment(5))
            #expect(try Self.frontier(example) == "2: 0/700000")
        }
    }

    @Test("is not held up by what the old timeline had beyond its end")
    func beyondEnd() throws {
        try RepositoryExample.with { example in
            try example.archive.store(history: "1\t0/400100\tx\n", of: TimelineID(rawValue: 2))
            try example.putArchived(Self.segment(3), Self.segment(4), Self.segment(9), Self.segment(4, 2))
            #expect(try Self.frontier(example) == "2: 0/500000")
        }
    }

    @Test("leaves no part of a segment behind that was archived whole, and none that differs is taken away")
    func parts() throws {
        try RepositoryExample.with { example in
            try example.putArchived(Self.segment(3), Self.segment(4))
            try example.putPartial(Self.segment(3), bytes: 4096)
            try SmallFile.write(
                RepositoryExample.wal(Self.segment(4), fill: 1).prefix(4096), to: example.archive.partialPath(Self.segment(4)))
            try example.putPartial(Self.segment(5), bytes: 4096)
            try example.archive.removeLeftovers()
            #expect(try !Directory.exists(example.archive.partialPath(Self.segment(3))))
            #expect(try Directory.exists(example.archive.partialPath(Self.segment(4))))
            #expect(try Directory.exists(example.archive.partialPath(Self.segment(5))))
        }
    }
}
