import PostgresModel
@testable import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

/// What the consumers of a scan saw, together.
private final class Seen: Sendable {
    struct State {
        var files: [String: [UInt8]] = [:]
        var blocks: [String: [Int]] = [:]
        var jobs = 0
        var consumers = 0
    }

    let state = Monitor(State())

    /// Writes a piece into its file, as a restore does.
    func add(_ job: FrameScan.Job, _ frames: FrameReader) throws {
        for piece in job.pieces {
            let entry = job.batch.files[piece.file]
            guard case .file(let size, _, _) = entry.kind else { continue }
            let bytes = Array(try frames.blocks(piece.extent)[..<job.batch.count(piece)])
            state.change { state in
                let start = piece.position * 8192
                state.files[entry.path, default: [UInt8](repeating: 0xEE, count: size)]
                    .replaceSubrange(start..<(start + bytes.count), with: bytes)
                state.blocks[entry.path, default: []] += piece.position..<(piece.position + piece.extent.blocks)
            }
            #expect(piece.extent.pack == job.pack && piece.extent.frame == job.frame)
        }
    }
}

private struct Reading: FrameScan.Consumer {
    let seen: Seen
    /// Throws at the job of this number.
    var failing: Int?

    func take(_ job: FrameScan.Job, _ frames: FrameReader) throws {
        let number = seen.state.change { state in
            defer { state.jobs += 1 }
            return state.jobs
        }
        if let failing, number >= failing { throw Failure(.noSpace, "there is no room") }
        try seen.add(job, frames)
    }
}

@Suite("A scan of frames")
struct FrameScanTests {
    typealias Content = RepositoryExample.Content

    @discardableResult
    static func scan(
        _ reader: BackupReader, threads: Int, mostPieces: Int = FrameScan.mostPieces, failing: Int? = nil,
        tick: () throws -> Void = {}
    ) throws -> Int {
        let seen = Seen()
        let scan = try FrameScan(reader, threads: threads, mostPieces: mostPieces) {
            seen.state.change { $0.consumers += 1 }
            return Reading(seen: seen, failing: failing)
        }
        do {
            try reader.entries { try scan.add($0) }
            try scan.finish(tick: tick)
        } catch {
            scan.cancel()
            throw error
        }
        try expect(seen, reader)
        #expect(seen.state.read { $0.consumers } == threads)
        return seen.state.read { $0.jobs }
    }

    /// Every block of every file once, and together they are the files.
    private static func expect(_ seen: Seen, _ reader: BackupReader) throws {
        let state = seen.state.read { $0 }
        var files = 0
        try reader.entries { entry in
            guard case .file(let size, let checksum, _) = entry.kind, size > 0 else { return }
            files += 1
            #expect(state.blocks[entry.path]?.sorted() == Array(0..<MapEntry.blocks(ofSize: size)), "\(entry.path)")
            #expect(state.files[entry.path].map { CRC32C($0).value } == checksum, "\(entry.path)")
        }
        #expect(state.files.count == files)
    }

    @Test("shows every piece of every file once, whatever the threads", arguments: [1, 2, 5], Seed.some(2))
    func pieces(threads: Int, seed: Seed) throws {
        try RepositoryExample.with { example in
            let history = BackupHistory(example, seed)
            for way in [.full, .compared, .changes, .compared] as [BackupHistory.Way] {
                history.change()
                try history.take(way)
            }
            for backup in history.backups {
                let frames = Set(try example.parts(backup.record).map(\.place)).count
                let jobs = try Self.scan(example.reader(backup.record), threads: threads)
                #expect((frames...frames * threads).contains(jobs), "each frame once for each thread at the most")
            }
        }
    }

    @Test("shows the only block there is, and nothing of nothing", arguments: [1, 3])
    func little(threads: Int) throws {
        try RepositoryExample.with { example in
            let one = try example.backup([Content("empty", []), Content("a", [1])], .example(id: "20261121T000000Z"))
            #expect(try Self.scan(example.reader(one), threads: threads) == 1)
            let none = try example.backup([Content("empty", [])], .example(id: "20261122T000000Z"))
            #expect(try Self.scan(example.reader(none), threads: threads) == 0)
        }
    }

    /// More files than a batch holds.
    @Test("goes through any number of files")
    func manyFiles() throws {
        try RepositoryExample.with { example in
            let contents = (0..<5000).map { number -> Content in
                Content("f\(number)", number % 7 == 0 ? [] : [UInt8(number & 0xFF), UInt8(number >> 8)])
            }
            let record = try example.backup(contents)
            #expect(try Self.scan(example.reader(record), threads: 2) > 60)
        }
    }

    /// A backup of one file, in a pack of so many frames of one block.
    static func reader(_ example: RepositoryExample, frames: Int, extents: [Extent], checksum: UInt32) throws -> BackupReader {
        var record = BackupRecord.example()
        let pipeline = FramePipeline(
            threads: 2, level: .standard, backupBegin: .zero, packName: { "x-\($0)" }, packPath: { example.packPath($0) })
        for number in 0..<frames {
            let slot = try pipeline.acquire().slot
            slot.content[..<8192].initializeMemory(as: UInt8.self, repeating: UInt8(number & 0xFF))
            slot.blocks = 1
            pipeline.submit()
        }
        _ = try pipeline.finish()
        try Directory.create(example.catalogue.directory(of: record.id))
        try SmallFile.write("x-0\n", to: example.reader(record).packListPath)
        record.packs = try BackupWriter.describe(example.reader(record).packListPath)
        let map = try MapWriter(example.reader(record).mapPath)
        let kind = MapEntry.Kind.file(size: extents.blocks * 8192 - 5000, checksum: checksum, extents: extents)
        try map.append(MapEntry(path: "a", mode: 0o600, modified: 0, kind: kind))
        try map.commit()
        return example.reader(record)
    }

    /// More pieces than a batch holds, of one file, in a few frames by turns.
    @Test("goes through a file of any number of pieces")
    func manyPieces() throws {
        try RepositoryExample.with { example in
            let extents = (0..<40_000).map { Extent(blocks: 1, pack: 0, frame: $0 * 7 % 10, block: 0) }
            var checksum = CRC32C()
            for (number, extent) in extents.enumerated() {
                let count = number < 39_999 ? 8192 : 8192 - 5000
                [UInt8](repeating: UInt8(extent.frame), count: count).withUnsafeBytes { checksum.add($0) }
            }
            let reader = try Self.reader(example, frames: 10, extents: extents, checksum: checksum.value)
            #expect(try Self.scan(reader, threads: 3, mostPieces: 1000) == 10)
        }
    }

    static func manyFrames(_ example: RepositoryExample) throws -> BackupReader {
        try reader(
            example, frames: 300, extents: (0..<300).map { Extent(blocks: 1, pack: 0, frame: $0, block: 0) }, checksum: 0)
    }

    /// More jobs than may wait, so that the caller has to wait too.
    @Test("ends with what a consumer threw, wherever that was", arguments: [1, 4], [0, 1, 50, 200, 299])
    func failure(threads: Int, job: Int) throws {
        try RepositoryExample.with { example in
            let reader = try Self.manyFrames(example)
            let failure = try #require(throws: Failure.self) { try Self.scan(reader, threads: threads, failing: job) }
            #expect(failure.code == .noSpace)
        }
    }

    @Test("ends with what making a consumer threw")
    func noConsumer() throws {
        try RepositoryExample.with { example in
            let reader = try Self.manyFrames(example)
            let scan = try FrameScan(reader, threads: 2) { throw Failure(.noSpace, "there is no room") }
            let failure = try #require(throws: Failure.self) {
                try reader.entries { try scan.add($0) }
                try scan.finish {}
            }
            #expect(failure.code == .noSpace)
            scan.cancel()
        }
    }

    @Test("ends where its caller ends it, and with a damaged frame")
    func ended() throws {
        try RepositoryExample.with { example in
            let reader = try Self.manyFrames(example)
            let ended = try #require(throws: Failure.self) {
                try Self.scan(reader, threads: 2) { throw Failure(.interrupted, "interrupted") }
            }
            #expect(ended.code == .interrupted)
            try example.flip(.init(pack: "x-0", frame: 70), .payload)
            let damaged = try #require(throws: Failure.self) { try Self.scan(reader, threads: 2) }
            #expect(damaged.code == .damaged && damaged.message.contains("frame 70"))
        }
    }
}
