import PostgresModel
@testable import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

/// Backups whose files' blocks lie in the frames of several backups by turns.
@Suite("Verification of backups on earlier ones")
struct FragmentedVerificationTests {
    typealias Content = RepositoryExample.Content
    typealias Place = DamageReport.Frame

    struct Found: Equatable {
        var files: [String]
        var blocks: [Int?]
        var frames: [Place]

        init(_ report: Verification.Report) {
            files = report.problems.map(\.file)
            blocks = report.problems.map(\.block)
            frames = report.frames
        }

        /// Of each file with a block in `place` the first one.
        init(_ example: RepositoryExample, _ record: BackupRecord, damaged place: Place) throws {
            var first: [String: Int?] = [:]
            for part in try example.parts(record) where part.place == place {
                if let known = first[part.path], (known ?? 0) <= part.reportedBlock ?? 0 { continue }
                first[part.path] = part.reportedBlock
            }
            let sorted = first.sorted { $0.key < $1.key }
            files = sorted.map(\.key)
            blocks = sorted.map(\.value)
            frames = sorted.isEmpty ? [] : [place]
        }

        static let nothing = Found(Verification.Report())
    }

    /// Several generations, with the WAL that they need.
    static func with(_ seed: Seed, _ body: (RepositoryExample, BackupHistory) throws -> Void) throws {
        try RepositoryExample.with { example in
            try example.putPartial(RepositoryExample.segment(2), bytes: 0x100)
            let history = BackupHistory(example, seed)
            for way in [.full, .compared, .changes, .changes, .compared] as [BackupHistory.Way] {
                history.change()
                try history.take(way)
            }
            try body(example, history)
        }
    }

    static func verify(
        _ example: RepositoryExample, _ backup: BackupHistory.Backup, deep: Bool, checked: CheckedFrames = CheckedFrames()
    ) throws -> Found {
        Found(try Verification(example.reader(backup.record), deep: deep, threads: 3, checked: checked).run { _ in })
    }

    @Test("finds nothing in what is whole", arguments: [true, false], Seed.some(2))
    func whole(deep: Bool, seed: Seed) throws {
        try Self.with(seed) { (example, history) throws in
            let checked = CheckedFrames()
            for backup in history.backups.reversed() {
                #expect(try Self.verify(example, backup, deep: deep) == .nothing)
                #expect(try Self.verify(example, backup, deep: deep, checked: checked) == .nothing)
            }
        }
    }

    @Test("names each file with its first block in a damaged frame, and the frame", arguments: Seed.some(8))
    func damaged(seed: Seed) throws {
        try Self.with(seed) { (example, history) throws in
            let place = try #require(
                try example.parts(history.backups.randomElement(using: &history.random)!.record)
                    .randomElement(using: &history.random)
            ).place
            let part = Surgery.FramePart.allCases.randomElement(using: &history.random)!
            try example.flip(place, part)
            for deep in [true, false] {
                let checked = CheckedFrames()
                for backup in history.backups.reversed() {
                    let expected = try Found(example, backup.record, damaged: place)
                    #expect(try Self.verify(example, backup, deep: deep) == expected, "\(part) of \(place)")
                    #expect(try Self.verify(example, backup, deep: deep, checked: checked) == expected, "with what is known")
                }
            }
        }
    }

    /// Two blocks of a frame that two files of the newest backup have, and that differ.
    static func pair(_ example: RepositoryExample, _ history: BackupHistory) throws -> (place: Place, blocks: [Int]) {
        let parts = try example.parts(history.backups.last!.record)
        let contents = try StoredPacks(example)
        for a in parts.shuffled(using: &history.random) {
            for b in parts where a.place == b.place && a.path != b.path {
                let frame = contents.packs[a.place.pack]!.frames[a.place.frame]!
                let blocks = [a.blocks.lowerBound, b.blocks.upperBound - 1]
                if frame.block(blocks[0]) != frame.block(blocks[1]) { return (a.place, blocks) }
            }
        }
        throw TestFailure("no frame is shared by two files")
    }

    /// The stored checksums are right, and the frame's length is: only the sums of the blocks tell.
    @Test("finds swapped blocks in depth, and only so", arguments: Seed.some(3))
    func swapped(seed: Seed) throws {
        try Self.with(seed) { (example, history) throws in
            let (place, blocks) = try Self.pair(example, history)
            try example.replace(place) { content, _ in Surgery.swap(&content, blocks[0], blocks[1], size: 8192) }
            let checked = CheckedFrames()
            for backup in history.backups.reversed() {
                let expected = try Found(example, backup.record, damaged: place)
                #expect(try Self.verify(example, backup, deep: true) == expected)
                #expect(try Self.verify(example, backup, deep: true, checked: checked) == expected)
                #expect(try Self.verify(example, backup, deep: false) == .nothing)
            }
        }
    }

    /// A frame that is whole by itself, and not the one that was stored: only the files' checksums tell.
    @Test("finds blocks that were swapped with their sums, in the files that have them", arguments: Seed.some(3))
    func swappedWithSums(seed: Seed) throws {
        try Self.with(seed) { (example, history) throws in
            let (place, blocks) = try Self.pair(example, history)
            try example.replace(place) { content, sums in
                Surgery.swap(&content, blocks[0], blocks[1], size: 8192)
                Surgery.swap(&sums, blocks[0], blocks[1], size: 12)
            }
            let checked = CheckedFrames()
            for backup in history.backups.reversed() {
                let files = Set(
                    try example.parts(backup.record).filter { part in
                        part.place == place && blocks.contains { part.blocks.contains($0) }
                    }.map(\.path)
                ).sorted()
                for found in [
                    try Self.verify(example, backup, deep: true), try Self.verify(example, backup, deep: true, checked: checked),
                ] {
                    #expect(found.files == files && found.blocks.allSatisfy { $0 == nil } && found.frames == [])
                }
                #expect(try Self.verify(example, backup, deep: false) == .nothing)
            }
        }
    }

    /// Another backup has other blocks of the same frame, and their pages are another matter.
    @Test("finds a bad page in a frame whose other blocks were looked at before", arguments: [true, false])
    func badPage(isNewestFirst: Bool) throws {
        try RepositoryExample.with { example in
            try example.putPartial(RepositoryExample.segment(2), bytes: 0x100)
            var random = Seed(value: 1).generator
            var pages = (0..<5).map { BackupRoundTripTests.page(block: $0, &random) }
            pages[3][5000] ^= 1
            func backup(_ id: String, on reference: BackupRecord?) throws -> BackupRecord {
                var record = BackupRecord.example(id: id)
                // Newer than the pages, or a torn one would be no wonder.
                (record.beginLSN, record.endLSN) = (LSN("0/2000000")!, LSN("0/2000100")!)
                return try example.backup([Content("base/5/1261", pages.flatMap(\.self))], record, on: reference)
            }
            try example.putPartial(RepositoryExample.segment(0x20), bytes: 0x100)
            let first = try backup("20261121T000000Z", on: nil)
            pages[3] = BackupRoundTripTests.page(block: 3, &random)
            let second = try backup("20261122T000000Z", on: first)
            let checked = CheckedFrames()
            for record in isNewestFirst ? [second, first] : [first, second] {
                let report = try Verification(example.reader(record), deep: true, checked: checked).run { _ in }
                #expect(report.problems.map(\.block) == (record.id == first.id ? [3] : []))
            }
        }
    }
}
