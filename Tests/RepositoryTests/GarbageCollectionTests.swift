import PostgresModel
@testable import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

/// The packs of a repository as they are, to be compared with what a collection makes of them.
struct StoredPacks: Equatable {
    struct Frame: Equatable {
        let content: [UInt8]
        let sums: [UInt8]
        /// What it takes in its pack.
        let count: Int
        var blocks: Int { content.count / 8192 }

        func block(_ number: Int) -> ArraySlice<UInt8> { content[(number * 8192)..<((number + 1) * 8192)] }
        func sum(_ number: Int) -> ArraySlice<UInt8> { sums[(number * 12)..<((number + 1) * 12)] }
    }

    struct Pack: Equatable {
        let inode: UInt64
        let bytes: [UInt8]
        var frames: [Int: Frame] = [:]

        /// How much of it is alive, zeros that nobody refers to not counted: they take no space.
        func share(_ alive: [Int: Set<Int>]) -> Double {
            var (live, total) = (0.0, 0.0)
            for (number, frame) in frames {
                let alive = alive[number, default: []]
                let dead = (0..<frame.blocks).count { !alive.contains($0) && frame.block($0).contains { $0 != 0 } }
                total += Double(frame.count)
                if !alive.isEmpty { live += Double(frame.count * alive.count) / Double(alive.count + dead) }
            }
            return live / total
        }
    }

    private(set) var packs: [String: Pack] = [:]

    init(_ example: RepositoryExample) throws {
        let buffer = FrameBuffer()
        let decompressor = try Decompressor()
        for name in try Directory.names(in: example.repository.packs) ?? [] {
            let path = example.repository.packs.appending(name)
            var pack = Pack(inode: try Surgery.inode(path), bytes: try SmallFile.read(path) ?? [])
            let reader = try PackReader(path)
            for number in reader.frames {
                let header = try reader.readStored(number, into: buffer)
                let sums = Array(buffer.sums(header))
                let count = try reader.read(number, into: buffer, decompressor: decompressor)
                pack.frames[number] = Frame(content: Array(buffer.content[..<count]), sums: sums, count: header.frameCount)
            }
            packs[String(name.dropLast(".pack".count))] = pack
        }
    }

    /// The blocks that some of these backups refer to: pack, frame, block.
    static func alive(_ example: RepositoryExample, _ backups: [BackupHistory.Backup]) throws -> [String: [Int: Set<Int>]] {
        var alive: [String: [Int: Set<Int>]] = [:]
        for part in try backups.flatMap({ try example.parts($0.record) }) {
            alive[part.place.pack, default: [:]][part.place.frame, default: []].formUnion(part.blocks)
        }
        return alive
    }
}

@Suite("The collection of garbage")
struct GarbageCollectionTests {
    typealias Content = RepositoryExample.Content

    static func expectRewritten(_ old: StoredPacks.Pack, _ new: StoredPacks.Pack, _ alive: [Int: Set<Int>], _ name: String) {
        #expect(new.inode != old.inode && new.bytes.count < old.bytes.count, "\(name)")
        #expect(Set(new.frames.keys) == Set(alive.keys), "\(name)")
        for (number, frame) in new.frames {
            guard let earlier = old.frames[number], earlier.content.count == frame.content.count else {
                Issue.record("\(name) has another frame \(number)")
                continue
            }
            for block in 0..<frame.blocks {
                let isRight =
                    alive[number]?.contains(block) == true
                    ? frame.block(block) == earlier.block(block) && frame.sum(block) == earlier.sum(block)
                    : frame.block(block).allSatisfy { $0 == 0 }
                        && frame.sum(block).withUnsafeBytes { BlockSum(stored: $0, at: 0) } == .zeros
                #expect(isRight, "\(name) frame \(number) block \(block)")
            }
        }
    }

    /// Removed, written anew, left alone: what happened to each pack, and that it was right to.
    static func expectCollected(_ before: StoredPacks, _ after: StoredPacks, _ alive: [String: [Int: Set<Int>]]) -> (Int, Int) {
        var (removed, rewritten) = (0, 0)
        for (name, pack) in before.packs {
            guard let alive = alive[name] else {
                #expect(after.packs[name] == nil, "nobody refers to \(name)")
                removed += 1
                continue
            }
            guard let now = after.packs[name] else {
                Issue.record("\(name) is gone, and is needed")
                continue
            }
            let share = pack.share(alive)
            if now.inode == pack.inode {
                #expect(share > 0.49 && now == pack, "\(name) of which \(share) is alive was left alone")
            } else {
                #expect(share < 0.51, "\(name) of which \(share) is alive was written anew")
                expectRewritten(pack, now, alive, name)
                rewritten += 1
            }
        }
        #expect(after.packs.keys.allSatisfy { before.packs[$0] != nil })
        return (removed, rewritten)
    }

    @Test("keeps every backup byte for byte, and of packs what is needed of them", arguments: Seed.some(6))
    func histories(seed: Seed) throws {
        try RepositoryExample.with { example in
            let history = BackupHistory(example, seed)
            for _ in 0..<7 {
                history.change()
                try history.take(
                    [.compared, .compared, .changes, .full].randomElement(using: &history.random)!,
                    on: history.backups.suffix(2).randomElement(using: &history.random))
            }
            while history.backups.count > 1 {
                let count = min(1 + history.random.below(2), history.backups.count - 1)
                let gone = Array(history.backups.shuffled(using: &history.random).prefix(count))
                let left = history.backups.filter { backup in !gone.contains { $0.id == backup.id } }
                let before = try StoredPacks(example)
                let alive = try StoredPacks.alive(example, left)
                let entries = try gone.map { try example.catalogue.find($0.id) }
                let dry = try GarbageCollection(example.catalogue, level: .standard, deleting: entries, dryRun: true).run()
                #expect(try StoredPacks(example) == before, "a dry run changes nothing")
                let directories = try gone.reduce(0) { try $0 + Self.size(example.catalogue.directory(of: $1.id)) }

                let result = try history.delete(gone)
                try history.check("after a collection")
                let after = try StoredPacks(example)
                let (removed, rewritten) = Self.expectCollected(before, after, alive)
                #expect(result.removedPacks == removed && result.rewrittenPacks == rewritten)
                #expect(result.freed.rawValue == Self.size(before) - Self.size(after) + directories)
                #expect(dry.removedPacks == removed && dry.rewrittenPacks == rewritten)
                if rewritten == 0 { #expect(dry == result) }
                #expect(try history.delete([]) == GarbageCollection.Result(), "there is nothing left to collect")
            }
        }
    }

    static func size(_ packs: StoredPacks) -> Int { packs.packs.values.reduce(0) { $0 + $1.bytes.count } }

    static func size(_ directory: FilePath) throws -> Int {
        try (Directory.names(in: directory) ?? []).reduce(0) { try $0 + (Directory.status(directory.appending($1))?.size ?? 0) }
    }

    /// A backup of 320 blocks of noise, and one on it that shares some of them with it.
    static func pair(_ example: RepositoryExample, sharing share: Double, seed: UInt64 = 1) throws -> BackupHistory {
        let history = BackupHistory(example, Seed(value: seed))
        var file = Content("base/5/\(seed)", history.random.bytes(320 * 8192))
        history.set([file])
        try history.take(.full)
        for block in 0..<320 where Double.random(in: 0..<1, using: &history.random) > share {
            file.bytes.replaceSubrange((block * 8192)..<(block * 8192 + 64), with: history.random.bytes(64))
        }
        history.set([file])
        try history.take(.compared)
        return history
    }

    @Test("writes a pack anew where less than half of it is alive", arguments: [(0.35, true), (0.65, false)])
    func limit(share: Double, isRewritten: Bool) throws {
        try RepositoryExample.with { example in
            let history = try Self.pair(example, sharing: share)
            let path = example.packPath("\(history.backups[0].id)-0")
            let inode = try Surgery.inode(path)
            let gone = history.backups[0]
            let dry = try GarbageCollection(
                example.catalogue, level: .standard, deleting: [try example.catalogue.find(gone.id)], dryRun: true
            ).run()
            let result = try history.delete([gone])
            try history.check()
            #expect(try (Surgery.inode(path) != inode) == isRewritten)
            #expect(result.rewrittenPacks == (isRewritten ? 1 : 0) && dry.rewrittenPacks == result.rewrittenPacks)
            #expect(try #require(try Directory.status(path)).permissions == 0o640)
            let (said, freed) = (Double(dry.freed.rawValue), Double(result.freed.rawValue))
            #expect(abs(said - freed) < freed * 0.02, "a dry run said \(said), the collection freed \(freed)")
        }
    }

    @Test("that is only tried counts nothing of a backup that is being taken")
    func dryBesideRunning() throws {
        try RepositoryExample.with { example in
            let history = try Self.pair(example, sharing: 0.35)
            let gone = try example.catalogue.find(history.backups[0].id)
            func dry() throws -> GarbageCollection.Result {
                try GarbageCollection(example.catalogue, level: .standard, deleting: [gone], dryRun: true).run()
            }
            let before = try dry()
            let lock = try example.repository.lockForWriting(to: "take a backup")
            let writer = try example.writer("20261201T000000Z")
            try example.write(Content("new", history.random.bytes(100_000)), to: writer)
            _ = try writer.finish()
            #expect(try dry() == before)
            withExtendedLifetime(lock) {}
        }
    }

    @Test("does not write a pack anew again that has nothing more to give back")
    func again() throws {
        try RepositoryExample.with { example in
            let history = try Self.pair(example, sharing: 0.1)
            _ = try history.delete([history.backups[0]])
            let before = try StoredPacks(example)
            #expect(try history.delete([]) == GarbageCollection.Result())
            #expect(try StoredPacks(example) == before)
            try history.check()
        }
    }
}
