import PostgresModel
@testable import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A backup on an earlier one")
struct BackupHistoryTests {
    typealias Content = RepositoryExample.Content

    /// The blocks that a backup's own packs hold.
    static func storedBlocks(_ example: RepositoryExample, _ record: BackupRecord) throws -> Int {
        let names = try Directory.names(in: example.repository.packs) ?? []
        var blocks: [Int] = []
        for name in names where name.hasPrefix(record.id) {
            let pack = try PackReader(example.repository.packs.appending(name))
            blocks += try pack.frames.map { try pack.blockCount($0) }
        }
        #expect(blocks.dropLast().allSatisfy { $0 == Frame.blockCapacity }, "all frames but the last are full")
        return blocks.reduce(0, +)
    }

    @Test("is whole by itself, and stores nothing that the earlier one has", arguments: Seed.some(6))
    func histories(seed: Seed) throws {
        try RepositoryExample.with { example in
            let history = BackupHistory(example, seed)
            for generation in 0..<10 {
                history.change()
                let way: BackupHistory.Way =
                    history.backups.isEmpty ? .full : Bool.random(using: &history.random) ? .compared : .changes
                // Mostly the newest, sometimes any.
                let reference = history.random.below(4) == 0 ? history.backups.randomElement(using: &history.random) : nil
                let (backup, blocks) = try history.take(way, on: reference)
                #expect(try Self.storedBlocks(example, backup.record) == blocks, "generation \(generation), \(way)")
                try history.check("after generation \(generation)")
                if history.random.below(3) == 0 {
                    let gone = history.backups.shuffled(using: &history.random).prefix(1 + history.random.below(3))
                    _ = try history.delete(Array(gone))
                    try history.check("after a deletion in generation \(generation)")
                }
            }
        }
    }

    @Test("that has no change has no pack and the earlier one's checksums", arguments: BackupHistory.Way.allCases.dropFirst())
    func unchanged(way: BackupHistory.Way) throws {
        try RepositoryExample.with { example in
            let history = BackupHistory(example, Seed(value: 3))
            history.set((0..<20).map { Content("base/5/\($0)", history.content(blocks: 2 * $0)) })
            try history.take(.full)
            // What a server sends unasked is stored.
            let blocks = try history.take(way).blocks
            #expect(way == .changes || blocks == 0)
            #expect(try Directory.names(in: example.repository.packs)?.count == (blocks == 0 ? 1 : 2))
            try history.check()
        }
    }
}
