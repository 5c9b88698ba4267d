import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("What a server archives by itself")
struct WALKeepingTests {
    static let segment = RepositoryExample.segment(5)
    static let level = CompressionLevel(1)!

    static func source(_ example: RepositoryExample, fill: UInt8 = 7, _ name: String = "source") throws -> File {
        let path = example.directory.appending("\(name)-\(fill)")
        try SmallFile.write(RepositoryExample.wal(segment, fill: fill), to: path)
        return try File(path, .read)
    }

    static func stored(_ example: RepositoryExample) throws -> [UInt8] {
        var content: [UInt8] = []
        try example.archive.read(segment) { content += $0 }
        return content
    }

    /// One answer: what would print the difference of two segments where they differ takes for ever.
    static func isStored(_ content: [UInt8], _ example: RepositoryExample) throws -> Bool {
        try stored(example).elementsEqual(content)
    }

    /// Nothing but the segment itself.
    static func names(_ example: RepositoryExample) throws -> [String] {
        try Directory.names(in: example.archive.archivedPath(segment).removingLastComponent()) ?? []
    }

    @Test("is stored once, and found equal the second time")
    func twice() throws {
        try RepositoryExample.with { example in
            let source = try Self.source(example)
            #expect(try example.archive.archive(Self.segment, from: source, level: Self.level) == .stored)
            #expect(try example.archive.archive(Self.segment, from: source, level: Self.level) == .present)
            #expect(try Self.isStored(RepositoryExample.wal(Self.segment), example))
            #expect(try Self.names(example).count == 1)
        }
    }

    @Test(
        "is refused where the archive, or what was received, has other content", arguments: ["archived", "complete", "partial"])
    func conflict(place: String) throws {
        try RepositoryExample.with { example in
            switch place {
            case "archived": try example.putArchived(Self.segment)
            case "complete": try example.putComplete(Self.segment)
            default: try example.putPartial(Self.segment, bytes: 300_000)
            }
            let source = try Self.source(example, fill: 8)
            let failure = try #require(throws: Failure.self) {
                try example.archive.archive(Self.segment, from: source, level: Self.level)
            }
            #expect(failure.code == .walConflict)
            #expect(failure.message.contains("source-8") && failure.message.contains("\(example.archive.segmentName)"))
            #expect(try Self.stored(example).suffix(1) == [7])
        }
    }

    @Test("has exactly one winner where several bring the same name at the same instant")
    func race() throws {
        for round in 0..<20 {
            try RepositoryExample.with { example in
                let sources = try (1...4).map { try Self.source(example, fill: UInt8($0)) }
                let archive = example.archive
                let threads = sources.map { source in
                    WorkerThread("put") { try archive.archive(Self.segment, from: source, level: Self.level) }
                }
                let outcomes = threads.map { thread in Swift.Result { try thread.join() } }
                let winners = outcomes.indices.filter { if case .success = outcomes[$0] { true } else { false } }
                try #require(winners.count == 1, "round \(round): \(outcomes)")
                #expect(try Self.stored(example).last == UInt8(winners[0] + 1))
                for case .failure(let error) in outcomes { #expect((error as? Failure)?.code == .walConflict) }
                #expect(try Self.names(example).count == 1)
            }
        }
    }

    @Test("is equal for all where several bring the same content at the same instant")
    func together() throws {
        try RepositoryExample.with { example in
            let sources = try (0..<4).map { try Self.source(example, "source\($0)") }
            let archive = example.archive
            let threads = sources.map { source in
                WorkerThread("put") { try archive.archive(Self.segment, from: source, level: Self.level) }
            }
            let outcomes = try threads.map { try $0.join() }
            #expect(outcomes.filter { $0 == .stored }.count == 1)
            #expect(try Self.isStored(RepositoryExample.wal(Self.segment), example))
        }
    }

    @Test("is not written over by a receiver that brings other content")
    func received() throws {
        try RepositoryExample.with { example in
            _ = try example.archive.archive(Self.segment, from: Self.source(example, fill: 8), level: Self.level)
            try example.putComplete(Self.segment)
            #expect(throws: Failure.self) { try example.archive.archive(Self.segment, level: Self.level) }
            let direct = try example.archive.beginStoring(Self.segment)
            try Self.append(RepositoryExample.wal(Self.segment), to: direct)
            #expect(throws: Failure.self) { try direct.commit() }
            try Directory.remove(example.archive.completePath(Self.segment))
            #expect(try Self.isStored(RepositoryExample.wal(Self.segment, fill: 8), example))
        }
    }

    @Test("that comes again while it waits to be archived is compared, and may be archived twice")
    func completedAgain() throws {
        try RepositoryExample.with { example in
            let archive = example.archive
            try example.putComplete(Self.segment)
            try overwrite(archive.partialPath(Self.segment), RepositoryExample.wal(Self.segment, fill: 8))
            let failure = try #require(throws: Failure.self) { try archive.complete(Self.segment) }
            #expect(failure.code == .walConflict)
            #expect(try SmallFile.read(archive.completePath(Self.segment)) == RepositoryExample.wal(Self.segment))
            try overwrite(archive.partialPath(Self.segment), RepositoryExample.wal(Self.segment))
            try archive.complete(Self.segment)
            for _ in 0..<2 { try archive.archive(Self.segment, level: Self.level) }
            #expect(try Self.isStored(RepositoryExample.wal(Self.segment), example))
            #expect(try archive.waiting().isEmpty)
        }
    }

    @Test("whose archived form is damaged takes its place; what was there stays beside it")
    func damaged() throws {
        try RepositoryExample.with { example in
            let path = example.archive.archivedPath(Self.segment)
            _ = try example.archive.archive(Self.segment, from: Self.source(example), level: Self.level)
            var rotten = try #require(try SmallFile.read(path))
            rotten[rotten.count / 2] ^= 0xFF
            try overwrite(path, rotten)
            // A part of it that is still here does not stop a receiver.
            try example.putPartial(Self.segment, bytes: 1000)
            try example.archive.removeLeftovers()
            #expect(try Directory.exists(example.archive.partialPath(Self.segment)))
            try example.putComplete(Self.segment)
            try example.archive.archive(Self.segment, level: Self.level)
            #expect(try Self.isStored(RepositoryExample.wal(Self.segment), example))
            #expect(try SmallFile.read(FilePath(path.string + ".damaged")) == rotten)
        }
    }

    @Test("that a killed receiver had whole, but not named so, is complete when the next one begins")
    func wholePartial() throws {
        try RepositoryExample.with { example in
            try overwrite(example.archive.partialPath(Self.segment), RepositoryExample.wal(Self.segment))
            try example.archive.removeLeftovers()
            #expect(try example.archive.waiting() == [Self.segment])
            #expect(try example.archive.place(of: Self.segment) == .complete)
        }
    }

    private static func append(_ content: [UInt8], to segment: StoredSegment) throws {
        var stored = [UInt8](repeating: 0, count: Compressor.bound(content.count))
        let count = try stored.withUnsafeMutableBytes { target in
            try content.withUnsafeBytes { try Compressor(level).compress($0, into: target) }
        }
        try stored[..<count].withUnsafeBytes { try segment.append($0) }
    }

    @Test("takes away what a killed writer of the same file left, and no other")
    func leftovers() throws {
        try RepositoryExample.with { example in
            let path = example.archive.archivedPath(Self.segment)
            try Directory.create(path.removingLastComponent())
            let dead = "\(path.lastComponent!.string).abc.2147483647.tmp"
            let other = "000000010000000000000009.zst.abc.2147483647.tmp"
            for name in [dead, other] { try SmallFile.write("x", to: path.removingLastComponent().appending(name)) }
            _ = try example.archive.archive(Self.segment, from: Self.source(example), level: Self.level)
            #expect(try Self.names(example) == [path.lastComponent!.string, other].sorted())
        }
    }

    @Test("is no segment where it is the unfinished end of a timeline, or a backup's history")
    func others() throws {
        try RepositoryExample.with { example in
            let archive = example.archive
            let source = try Self.source(example)
            let partial = try archive.archive(partial: Self.segment, from: source, level: Self.level)
            #expect(partial == .stored)
            let history = "\(archive.segmentName).00000028.backup"
            for expected in [.stored, .present] as [WALArchive.Kept] {
                let kept = try archive.store(backupHistory: [1, 2, 3], named: history, of: Self.segment)
                #expect(kept == expected)
            }
            #expect(throws: Failure.self) { try archive.store(backupHistory: [1], named: history, of: Self.segment) }
            let segments = try archive.segments(), place = try archive.place(of: Self.segment)
            #expect(segments.isEmpty && place == nil)
            #expect(try Self.names(example) == [history, "\(archive.segmentName).partial.zst"])
        }
    }

    @Test("has one history for a timeline where two bring different ones at the same instant")
    func histories() throws {
        for _ in 0..<20 {
            try RepositoryExample.with { example in
                let archive = example.archive
                let threads = (1...4).map { n in
                    WorkerThread("history") {
                        try archive.store(history: "1\t0/\(n)00000\tx\n", of: TimelineID(rawValue: 2))
                    }
                }
                let outcomes = threads.map { thread in Swift.Result { try thread.join() } }
                #expect(outcomes.filter { if case .success = $0 { true } else { false } }.count == 1)
            }
        }
    }
}

extension WALArchive {
    fileprivate var segmentName: String { WALKeepingTests.segment.name(size: segmentSize) }
}
