import PostgresModel
@testable import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("The collection of garbage, where something is wrong")
struct CollectionFaultTests {
    typealias Content = RepositoryExample.Content

    /// Two full backups, and two on them, so that most of the full ones' packs is dead as soon as they go.
    static func pairs(_ example: RepositoryExample, blocks: Int) throws -> BackupHistory {
        let history = BackupHistory(example, Seed(value: 5))
        var files = (0..<2).map { Content("base/5/\($0)", history.random.bytes(blocks * 8192)) }
        for number in 0..<2 {
            history.set([files[number]])
            try history.take(.full)
        }
        for number in 0..<2 {
            for block in 0..<blocks where block % 5 != 0 { files[number].bytes[block * 8192] ^= 1 }
            history.set([files[number]])
            try history.take(.compared, on: history.backups[number])
        }
        return history
    }

    /// Shows the paths of the full ones' packs too.
    static func with(_ body: (RepositoryExample, BackupHistory, [FilePath]) throws -> Void) throws {
        try RepositoryExample.with { example in
            let history = try pairs(example, blocks: 200)
            try body(example, history, history.backups.prefix(2).map { example.packPath("\($0.id)-0") })
        }
    }

    static func leftovers(_ example: RepositoryExample) throws -> [String] {
        try (Directory.names(in: example.repository.packs) ?? []).filter { !$0.hasSuffix(".pack") }
    }

    @Test("leaves a pack alone that has a damaged frame, and goes on with the others", arguments: Surgery.FramePart.allCases)
    func damagedFrame(part: Surgery.FramePart) throws {
        try Self.with { example, history, packs in
            try example.flip(.init(pack: "\(history.backups[0].id)-0", frame: 2), part)
            let inodes = try packs.map(Surgery.inode)
            let bytes = try SmallFile.read(packs[0])
            let result = try history.delete(Array(history.backups.prefix(2)))
            #expect(result.rewrittenPacks == 1 && result.removedPacks == 0)
            #expect(try Surgery.inode(packs[0]) == inodes[0] && SmallFile.read(packs[0]) == bytes)
            #expect(try Surgery.inode(packs[1]) != inodes[1])
            #expect(try Self.leftovers(example) == [])
            #expect(try example.contents(history.backups[1].record).map(\.content.bytes) == history.backups[1].files.map(\.bytes))
        }
    }

    @Test("leaves a pack alone whose index is damaged, and is not stopped by one that is missing", arguments: [true, false])
    func damagedPack(isThere: Bool) throws {
        try Self.with { example, history, packs in
            let inodes = try packs.map(Surgery.inode)
            if isThere {
                try VerificationTests.flip(packs[0], at: try #require(try Directory.status(packs[0])).size - 1)
            } else {
                try Directory.remove(packs[0])
            }
            #expect(try history.delete(Array(history.backups.prefix(2))).rewrittenPacks == 1)
            if isThere { #expect(try Surgery.inode(packs[0]) == inodes[0]) }
            #expect(try Surgery.inode(packs[1]) != inodes[1])
        }
    }

    @Test("keeps all packs of a backup whose map cannot be read, as they are", arguments: [true, false])
    func damagedMap(isThere: Bool) throws {
        try Self.with { example, history, packs in
            let map = example.reader(history.backups[2].record).mapPath
            if isThere { try VerificationTests.flip(map, at: 30) } else { try Directory.remove(map) }
            let inodes = try packs.map(Surgery.inode)
            let result = try history.delete(Array(history.backups.prefix(2)))
            #expect(result.rewrittenPacks == 1 && result.removedPacks == 0)
            #expect(try Surgery.inode(packs[0]) == inodes[0])
            #expect(try Surgery.inode(packs[1]) != inodes[1])
        }
    }

    @Test("removes nothing where a backup's list of packs cannot be read", arguments: [true, false])
    func damagedList(isThere: Bool) throws {
        try Self.with { example, history, _ in
            let list = example.reader(history.backups[2].record).packListPath
            if isThere { try VerificationTests.flip(list, at: 3) } else { try Directory.remove(list) }
            let before = try StoredPacks(example)
            let failure = try #require(throws: Failure.self) { try history.delete([history.backups[1]]) }
            #expect(failure.code == .damaged)
            #expect(try StoredPacks(example) == before)
        }
    }

    /// An unmounted disk is not an empty repository.
    @Test("removes nothing where the directory of the backups is not there, or is empty", arguments: [true, false])
    func noBackups(isEmpty: Bool) throws {
        try Self.with { example, history, packs in
            try Directory.rename(example.repository.backups, to: example.directory.appending("elsewhere"))
            // A new file system has this.
            if isEmpty { try Directory.create(example.repository.backups.appending("lost+found")) }
            let before = try StoredPacks(example)
            for collect in [
                { _ = try history.delete([]) }, { _ = try example.catalogue.collectLeftovers() },
            ] as [() throws -> Void] {
                let failure = try #require(throws: Failure.self) { try collect() }
                #expect(failure.code == .repositoryUnreachable)
                #expect(try StoredPacks(example) == before)
            }
        }
    }

    @Test("removes nothing where a backup's folder was given another name")
    func renamedBackup() throws {
        try Self.with { example, history, _ in
            let directory = example.catalogue.directory(of: history.backups[2].id)
            try Directory.rename(directory, to: example.repository.backups.appending("aside"))
            let before = try StoredPacks(example)
            #expect(try #require(throws: Failure.self) { try history.delete([]) }.code == .damaged)
            #expect(try StoredPacks(example) == before)
            try Directory.rename(example.repository.backups.appending("aside"), to: directory)
            _ = try history.delete([])
            try history.check()
        }
    }

    @Test("removes nothing where a backup was moved to a disk that is not there")
    func movedBackup() throws {
        try Self.with { example, history, packs in
            let directory = example.catalogue.directory(of: history.backups[2].id)
            try Directory.rename(directory, to: example.directory.appending("disk"))
            try Directory.link("\(example.directory)/disk", at: directory)
            _ = try history.delete([])
            try history.check("while the disk is there")
            try Directory.rename(example.directory.appending("disk"), to: example.directory.appending("unmounted"))
            let before = try StoredPacks(example)
            #expect(try #require(throws: Failure.self) { try history.delete([]) }.code == .damaged)
            #expect(try StoredPacks(example) == before && Directory.linkTarget(directory) != nil)
        }
    }

    // MARK: Interrupted

    /// What is in the repository, by path.
    static func state(_ example: RepositoryExample) throws -> [String: UInt32] {
        var state: [String: UInt32] = [:]
        for root in [example.repository.packs, example.repository.backups] {
            for path in try CatalogueTests.listing(root) {
                let name = String(path.dropFirst(example.directory.string.utf8.count))
                let isFile = try Directory.status(FilePath(path))?.kind == .file
                state[name] = isFile ? CRC32C(try SmallFile.read(FilePath(path)) ?? []).value : 0
            }
        }
        return state
    }

    /// Backups of which three are to go: of the packs of two some blocks are needed, that of the third goes.
    static func history(_ example: RepositoryExample) throws -> (history: BackupHistory, gone: [BackupHistory.Backup]) {
        let history = try pairs(example, blocks: 70)
        history.change()
        try history.take(.full)
        return (history, [history.backups[0], history.backups[1], history.backups[4]])
    }

    static let expected = Result {
        try RepositoryExample.with { example in
            let (history, gone) = try history(example)
            let result = try history.delete(gone)
            try history.check()
            return (state: try state(example), result: result)
        }
    }

    /// Before the first record is renamed nothing has changed; after that nobody is told so.
    @Test("is stopped by an interrupt before it changes anything, and later cut short, for the next one to complete")
    func ticks() throws {
        let expected = try Self.expected.get()
        #expect(expected.result.removedPacks > 0 && expected.result.rewrittenPacks > 1)
        var isCutShort = true
        var count = 0
        while isCutShort {
            try RepositoryExample.with { example in
                let (history, gone) = try Self.history(example)
                let before = try Self.state(example)
                var ticks = 0
                let result = Result {
                    try example.catalogue.delete(gone.map(\.id), level: .standard) {
                        ticks += 1
                        if ticks > count { throw Failure(.interrupted, "interrupted") }
                    }
                }
                if count == 0 {
                    #expect((try #require(throws: Failure.self) { try result.get() }).code == .interrupted)
                    #expect(try Self.state(example) == before)
                } else {
                    let result = try result.get()
                    isCutShort = result.isCutShort
                    #expect(result.removedPacks == expected.result.removedPacks)
                    for backup in gone { #expect(throws: Failure.self) { try example.catalogue.find(backup.id) } }
                    for backup in history.backups where !gone.contains(where: { $0.id == backup.id }) {
                        let found = try example.contents(backup.record)
                        #expect(found.map(\.content.bytes) == backup.files.map(\.bytes), "\(count) ticks")
                    }
                }
                _ = try history.delete(gone)
                #expect(try Self.state(example) == expected.state, "\(count) ticks")
            }
            count += 1
        }
        #expect(count > 5)
    }

    @Test("is completed by the next one where the program was killed", arguments: 0..<5)
    func killed(step: Int) throws {
        let expected = try Self.expected.get()
        try RepositoryExample.with { example in
            let (history, gone) = try Self.history(example)
            for backup in gone {
                let directory = example.catalogue.directory(of: backup.id)
                try Directory.rename(directory.appending("backup.json"), to: directory.appending("backup.json.deleted"))
            }
            #expect(try example.catalogue.records().count == 2)
            if step > 0 {
                for name in try Directory.names(in: example.repository.packs) ?? []
                where expected.state["/repository/main/packs/\(name)"] == nil {
                    try Directory.remove(example.repository.packs.appending(name))
                }
            }
            if step > 1 { try Directory.remove(example.catalogue.directory(of: gone[0].id).appending("map.zst")) }
            if step > 2 { try Directory.removeTree(example.catalogue.directory(of: gone[0].id)) }
            if step > 3 {
                let pack = try #require(try Directory.names(in: example.repository.packs)?.first)
                try SmallFile.write("half a pack", to: example.repository.packs.appending(pack + ".tmp"))
            }
            _ = try history.delete(gone)
            try history.check()
            #expect(try Self.state(example) == expected.state)
        }
    }

    /// Else packs without a directory would be left of the last backup, and those are never taken for garbage.
    @Test("removes packs before directories")
    func order() throws {
        try RepositoryExample.with { example in
            let record = try example.backup([Content("a", [1])])
            let obstacle = example.repository.packs.appending("x.pack")
            try Directory.create(obstacle)
            #expect(throws: Failure.self) { try example.catalogue.delete([record.id], level: .standard) }
            #expect(try Directory.names(in: example.repository.backups) == [record.id])
            try Directory.removeTree(obstacle)
            try example.catalogue.collectLeftovers()
            for place in [example.repository.packs, example.repository.backups] {
                #expect(try Directory.names(in: place) == [])
            }
        }
    }

    @Test("has a quick part, which writes no pack anew")
    func leftovers() throws {
        try RepositoryExample.with { example in
            let (history, gone) = try Self.history(example)
            for backup in gone { try Directory.remove(example.catalogue.directory(of: backup.id).appending("backup.json")) }
            let before = try StoredPacks(example)
            #expect(try example.catalogue.collectLeftovers().rawValue > 0)
            let after = try StoredPacks(example)
            #expect(after.packs.count < before.packs.count && after.packs.allSatisfy { before.packs[$0.key] == $0.value })
            _ = try history.delete(gone)
            #expect(try Self.state(example) == Self.expected.get().state)
        }
    }
}
