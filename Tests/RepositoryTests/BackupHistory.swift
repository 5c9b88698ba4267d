import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport

/// Backups of files that change at random, each built on an earlier one, and what each of them has to read back as.
final class BackupHistory {
    typealias Content = RepositoryExample.Content

    struct Backup {
        let record: BackupRecord
        let files: [Content]
        var id: String { record.id }
    }

    /// How a backup came.
    enum Way: CaseIterable {
        /// Every file as a whole, without a reference.
        case full
        /// Every file as a whole, compared with the reference.
        case compared
        /// Where that can be, as the blocks that changed.
        case changes
    }

    let example: RepositoryExample
    var random: SeededGenerator
    /// The files as they are now, in the order in which the next backup gets them.
    private(set) var files: [Content] = []
    /// Those that were not deleted, oldest first.
    private(set) var backups: [Backup] = []
    private var taken = 0
    private var created = 0

    init(_ example: RepositoryExample, _ seed: Seed) {
        self.example = example
        random = seed.generator
    }

    // MARK: Files

    /// Between two backups some files are created, dropped, changed here and there, made longer or shorter or empty, or
    /// written anew. Half of the time the server lists them in another order.
    func change() {
        for index in files.indices.reversed() {
            switch random.below(16) {
            case 0..<6: continue
            case 6, 7, 8: rewriteSome(&files[index])
            case 9: grow(&files[index], by: 8192 * (1 + random.below(8)))
            case 10: grow(&files[index], by: random.below(20_000))
            case 11: shrink(&files[index], to: files[index].bytes.count / 8192 / 2 * 8192)
            case 12: shrink(&files[index], to: random.below(files[index].bytes.count + 1))
            case 13: files[index].bytes = content(blocks: files[index].bytes.count / 8192)
            case 14:
                shrink(&files[index], to: random.below(files[index].bytes.count / 8192 + 1) * 8192)
                grow(&files[index], by: 8192 * random.below(6))
            default: files.remove(at: index)
            }
        }
        for _ in 0..<(files.count < 4 ? 6 : random.below(3)) {
            created += 1
            var file = Content("base/5/\(created)", content(blocks: random.below(8) == 0 ? 150 : random.below(30)))
            if random.below(3) == 0 { grow(&file, by: random.below(8192)) }
            files.insert(file, at: random.below(files.count + 1))
        }
        if Bool.random(using: &random) { files.shuffle(using: &random) }
    }

    /// Only for a file that is not there yet, or for a reference that a test damages.
    func set(_ files: [Content]) { self.files = files }

    func content(blocks: Int) -> [UInt8] { (0..<blocks).flatMap { _ in block() } }

    private func block() -> [UInt8] {
        if random.below(6) == 0 { return [UInt8](repeating: 0, count: 8192) }
        return random.bytes(8) + [UInt8](repeating: UInt8(random.below(256)), count: 8184)
    }

    private func rewriteSome(_ file: inout Content) {
        for _ in 0..<(1 + random.below(4)) where file.bytes.count >= 8192 {
            let start = random.below(file.bytes.count / 8192) * 8192
            file.bytes.replaceSubrange(start..<(start + 8192), with: block())
        }
    }

    private func grow(_ file: inout Content, by count: Int) {
        file.bytes += content(blocks: count / 8192) + random.bytes(count % 8192)
    }

    private func shrink(_ file: inout Content, to count: Int) { file.bytes.removeLast(file.bytes.count - count) }

    // MARK: Backups

    /// Takes a backup of the files as they are. Returns it with the number of blocks that it may store: no more and no less.
    @discardableResult
    func take(_ way: Way, on reference: Backup? = nil) throws -> (backup: Backup, blocks: Int) {
        taken += 1
        let reference = way == .full ? nil : reference ?? backups.last
        let record = BackupRecord.example(
            id: "202611\(taken < 10 ? "0" : "")\(taken)T000000Z", ended: Timestamp(seconds: 1_795_359_845 + Int64(taken)))
        let writer = try example.writer(record.id, threads: 1 + random.below(3), on: reference?.record)
        let old = Dictionary(uniqueKeysWithValues: (reference?.files ?? []).map { ($0.path, $0.bytes) })
        var blocks = 0
        for file in files {
            let earlier = old[file.path]
            if way == .changes, let earlier, file.bytes.count % 8192 == 0, random.below(4) > 0 {
                blocks += try writeChanges(file, since: earlier, to: writer)
            } else {
                let most = 1 + random.below(20_000)
                try example.write(file, to: writer) { 1 + random.below(most) }
                blocks += Self.blocks(file.bytes).enumerated().count { number, block in
                    earlier.map { Self.block($0, number) } != block
                }
            }
        }
        let backup = Backup(record: try example.complete(writer, record, on: reference?.record), files: files)
        backups.append(backup)
        return (backup, blocks)
    }

    /// Sends a file as a server may: all blocks that have to come, and some more. Below `minimum` what does not come is as it
    /// was, or zeros where nothing was; from there on it is zeros.
    private func writeChanges(_ file: Content, since old: [UInt8], to writer: BackupWriter) throws -> Int {
        let blocks = Self.blocks(file.bytes)
        let oldBlocks = MapEntry.blocks(ofSize: old.count)
        let minimum = Bool.random(using: &random) ? blocks.count : random.below(blocks.count + 1)
        var zeros = 0
        var change = FileChange(blocks: [], minimumBlocks: minimum)
        for (number, block) in blocks.enumerated() {
            let isKept = number < min(minimum, oldBlocks)
            let mayStayAway = isKept ? Self.block(old, number) == block : block.allSatisfy { $0 == 0 }
            // Of blocks beyond the minimum the last one comes, or the file would be shorter.
            if mayStayAway, number < minimum || number < blocks.count - 1, random.below(8) > 0 {
                if !isKept { zeros += 1 }
            } else {
                change.blocks.append(UInt32(number))
            }
        }
        try writer.beginIncrement(path: file.path, mode: 0o600, modified: 1_795_359_845, change: change)
        let sent = change.blocks.flatMap { blocks[Int($0)] }
        var rest = sent[...]
        while !rest.isEmpty {
            let piece = rest.prefix(1 + random.below(20_000))
            try Array(piece).withUnsafeBytes { try writer.content($0) }
            rest = rest.dropFirst(piece.count)
        }
        guard try writer.endFile() == CRC32C(sent).value else {
            throw TestFailure("\(file.path): the checksum of what came is another")
        }
        return change.blocks.count + zeros
    }

    static func blocks(_ bytes: [UInt8]) -> [[UInt8]] {
        (0..<MapEntry.blocks(ofSize: bytes.count)).map { block(bytes, $0)! }
    }

    /// A file's block, filled up with zeros; nil beyond its end.
    static func block(_ bytes: [UInt8], _ number: Int) -> [UInt8]? {
        guard number * 8192 < bytes.count else { return nil }
        let block = bytes[(number * 8192)..<min(bytes.count, (number + 1) * 8192)]
        return block + [UInt8](repeating: 0, count: 8192 - block.count)
    }

    func delete(_ some: [Backup]) throws -> GarbageCollection.Result {
        let ids = some.map(\.id)
        backups.removeAll { ids.contains($0.id) }
        return try example.catalogue.delete(ids, level: .standard)
    }

    /// Throws unless every backup is what it was when it was taken.
    func check(_ comment: String = "") throws {
        for backup in backups {
            let found = try example.contents(backup.record)
            guard found.map(\.content.path) == backup.files.map(\.path) else {
                throw TestFailure("backup \(backup.id) has other files \(comment)")
            }
            for (found, expected) in zip(found, backup.files) {
                guard found.content.bytes == expected.bytes, found.checksum == CRC32C(expected.bytes).value else {
                    throw TestFailure("\(expected.path) of backup \(backup.id) is another \(comment)")
                }
            }
        }
    }
}
