import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("Segments that lie ready for a recovery")
struct PrefetchTests {
    static let size = RepositoryExample.system.walSegmentSize

    static func segment(_ number: UInt64, _ timeline: UInt32 = 1) -> WALSegment {
        RepositoryExample.segment(number, timeline: timeline)
    }

    @Test("are so many behind the last one that was asked for, and follow it")
    func window() throws {
        var window = try #require(PrefetchWindow(after: Self.segment(5), size: Self.size))
        for number in 6...13 as ClosedRange<UInt64> {
            #expect(window.next == Self.segment(number))
            window.didPrepare(Self.segment(number))
        }
        #expect(window.next == nil && !window.isExhausted)
        #expect(window.didRequest(Self.segment(7)) == [Self.segment(6), Self.segment(7)])
        #expect(window.next == Self.segment(14))
        #expect(window.didRequest(Self.segment(9, 2)).count == 6)
        #expect(window.next == Self.segment(10, 2))
        window.cannotPrepare(Self.segment(10, 2))
        #expect(window.next == nil && window.isExhausted)
        _ = window.didRequest(Self.segment(10, 2))
        #expect(window.next == Self.segment(11, 2))
    }

    @Test("are fewer where segments are large", arguments: [(16, 8), (64, 4), (256, 1), (512, 0)])
    func large(megabytes: Int, count: Int) throws {
        var window = PrefetchWindow(after: Self.segment(5), size: WALSegmentSize(bytes: megabytes << 20)!)
        for number in 0..<UInt64(count) { window?.didPrepare(Self.segment(6 + number)) }
        #expect(window?.next == nil)
        #expect((window == nil) == (count == 0))
        #expect(window.map { $0.ready.count } ?? 0 == count)
    }

    /// A pg_wal beside a repository with segments from 2 on.
    static func with(
        segments: ClosedRange<UInt64>, _ body: (RepositoryExample, WALPrefetch, FilePath) throws -> Void
    ) throws {
        try RepositoryExample.with { example in
            for number in segments { try example.putArchived(segment(number)) }
            let folder = example.directory.appending("pg_wal")
            try Directory.create(folder)
            try body(example, WALPrefetch(example.archive, beside: folder), folder)
        }
    }

    static func start(_ prefetch: WALPrefetch, after segment: WALSegment) throws -> WorkerThread<Void> {
        let prefetcher = try #require(WALPrefetcher(prefetch, after: segment))
        return WorkerThread("prefetch") {
            var prefetcher = prefetcher
            try prefetcher.run()
        }
    }

    @Test("are taken one after the other, and nothing is left when there are no more")
    func all() throws {
        try Self.with(segments: 2...30) { example, prefetch, folder in
            let target = folder.appending("RECOVERYXLOG")
            let thread = try Self.start(prefetch, after: Self.segment(2))
            for number in 3...30 as ClosedRange<UInt64> {
                try eventually("segment \(number) lies ready") { try prefetch.take(Self.segment(number), to: target) }
                let isRight = try SmallFile.read(target) == RepositoryExample.wal(Self.segment(number))
                #expect(isRight)
                try prefetch.didDeliver(Self.segment(number)) { _ in Issue.record("somebody prefetches already") }
            }
            try thread.join()
            #expect(try Directory.names(in: folder) == ["RECOVERYXLOG"])
        }
    }

    @Test("are prefetched by one process only, and what a killed one left is taken away")
    func leftovers() throws {
        try Self.with(segments: 2...4) { example, prefetch, folder in
            let left = folder.appending(WALPrefetch.directoryName)
            try Directory.create(left.appending("abc"))
            try SmallFile.write("x", to: left.appending("abc").appending("000000010000000000000003"))
            let first = try Self.start(prefetch, after: Self.segment(2))
            let target = folder.appending("RECOVERYXLOG")
            try eventually("segment 4 lies ready") {
                try Directory.exists(prefetch.readyPath(Self.segment(4)))
            }
            #expect(try !Directory.exists(left.appending("abc")))
            try Self.start(prefetch, after: Self.segment(2)).join()
            for number in [3, 4] as [UInt64] {
                #expect(try prefetch.take(Self.segment(number), to: target))
                try prefetch.didDeliver(Self.segment(number)) { _ in Issue.record("somebody prefetches already") }
            }
            try first.join()
            #expect(try Directory.names(in: folder) == ["RECOVERYXLOG"])
        }
    }

    @Test("are not taken where they are not whole or not what they should be, nor those of another repository")
    func checked() throws {
        try Self.with(segments: 2...3) { example, prefetch, folder in
            let target = folder.appending("RECOVERYXLOG"), wanted = Self.segment(3)
            func lay(_ content: [UInt8], _ prefetch: WALPrefetch) throws {
                try Directory.create(prefetch.readyPath(wanted).removingLastComponent())
                try SmallFile.write(content, to: prefetch.readyPath(wanted))
            }
            let right = RepositoryExample.wal(wanted)
            for wrong in [
                right.dropLast(), RepositoryExample.wal(Self.segment(4)),
                RepositoryExample.wal(wanted, system: SystemIdentifier(rawValue: 3)), [UInt8](repeating: 0, count: right.count),
            ] as [[UInt8]] {
                try lay(Array(wrong), prefetch)
                #expect(try !prefetch.take(wanted, to: target))
            }
            let other = Repository(root: example.repository.root, cluster: "other")
            let otherArchive = WALArchive(other, system: try other.prepare(for: RepositoryExample.system))
            try lay(right, WALPrefetch(otherArchive, beside: folder))
            try Directory.remove(prefetch.readyPath(wanted))
            #expect(try !prefetch.take(wanted, to: target))
            try lay(right, prefetch)
            #expect(try prefetch.take(wanted, to: target))
        }
    }

    @Test("are only for what a server in recovery asks for", arguments: ["pg_wal/RECOVERYXLOG", "pg_wal/x", "RECOVERYXLOG"])
    func place(path: String) throws {
        try RepositoryExample.with { example in
            let prefetch = try WALPrefetch(example.archive, for: example.directory.pushing(FilePath(path)))
            #expect((prefetch != nil) == (path == "pg_wal/RECOVERYXLOG"))
        }
    }

    @Test("are not begun where the next one is not archived, only received")
    func nothingNext() throws {
        try Self.with(segments: 2...3) { example, prefetch, _ in
            try example.putPartial(Self.segment(4), bytes: 100_000)
            var started = 0
            try prefetch.didDeliver(Self.segment(3)) { _ in started += 1 }
            #expect(started == 0)
            try prefetch.didDeliver(Self.segment(2)) { _ in started += 1 }
            #expect(started == 1)
        }
    }

    @Test("are not begun where the directory that they are for is gone")
    func directoryGoes() throws {
        try Self.with(segments: 2...30) { example, prefetch, folder in
            try Directory.removeTree(folder)
            try Self.start(prefetch, after: Self.segment(2)).join()
            #expect(try !Directory.exists(folder))
        }
    }
}
