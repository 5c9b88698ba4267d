package import PostgresModel
import Storage
package import SystemPackage

/// What the server left out of an increment cannot be taken from the earlier backup: reading everything does without it.
package struct ReferenceDamage: Error, Sendable {
    package let failure: Failure

    init(_ message: String, _ record: BackupRecord) {
        failure = Failure(.damaged, message, details: ["backup \(record.id)"])
    }
}

/// An earlier backup, as a new one refers to it: where its files' blocks are, and their sums.
///
/// Used by one thread.
package final class BackupReference {
    package let record: BackupRecord
    /// Some of what it refers to is known to be damaged, so not every block of it may be referred to.
    package let isDamaged: Bool
    let packs: [String]
    private let index: MapIndex
    private let set: PackSet
    private let damage: DamagedFrames
    private let badBlocks: [String: [Int]]
    private var cache: [(pack: Int, frame: Int, sums: [BlockSum])?]

    /// Sums of so many frames stay in memory: blocks of one file are in the frames of several backups, by turns.
    private static let cachedFrames = 64

    /// `scratch` is a path where nothing is. Throws `damaged` where the backup's map or list of packs is.
    package init(_ catalogue: Catalogue, _ record: BackupRecord, scratch: FilePath) throws {
        let reader = BackupReader(catalogue: catalogue, record: record)
        try reader.requireUndamaged(reader.mapPath, record.map)
        self.record = record
        packs = try reader.packs()
        set = PackSet(packs.map { catalogue.packPath($0) })
        damage = try DamagedFrames(catalogue, packs: packs)
        badBlocks = Dictionary(grouping: record.badPages, by: \.path).mapValues { $0.map(\.block) }
        cache = Array(repeating: nil, count: Self.cachedFrames)
        var isDamaged = false
        index = try MapIndex(reader.mapPath, scratch: scratch) { [damage, packs] entry in
            try BackupReader.requireConsistent(entry, packs: packs.count)
            guard !damage.isEmpty, case .file(_, _, let extents) = entry.kind else { return }
            isDamaged = isDamaged || extents.contains { damage.contains(pack: $0.pack, frame: $0.frame) }
        }
        self.isDamaged = isDamaged
    }

    /// Nil where it has no file of that path.
    func file(_ path: String) throws -> MapEntry? {
        guard let entry = try index.entry(path), case .file = entry.kind else { return nil }
        return entry
    }

    /// Nil for a block that must not be referred to, because its frame is damaged.
    func sum(_ location: Extent) throws -> BlockSum? {
        if damage.contains(pack: location.pack, frame: location.frame) { return nil }
        let place = (location.pack &* 31 &+ location.frame) % Self.cachedFrames
        if cache[place]?.pack != location.pack || cache[place]?.frame != location.frame {
            cache[place] = (location.pack, location.frame, try readSums(location.pack, location.frame))
        }
        let sums = cache[place]!.sums
        return location.block < sums.count ? sums[location.block] : nil
    }

    /// Empty where the frame cannot be read: then its blocks are not referred to.
    private func readSums(_ pack: Int, _ frame: Int) throws -> [BlockSum] {
        try withUnsafeTemporaryAllocation(byteCount: Frame.sumsCount(contentCount: Frame.capacity), alignment: 8) { bytes in
            do {
                let count = try set.reader(of: pack).readSums(frame, into: bytes)
                return (0..<count).map { BlockSum(stored: UnsafeRawBufferPointer(bytes), at: $0 * BlockSum.storedSize) }
            } catch let failure as Failure where failure.code == .damaged {
                return []
            }
        }
    }

    /// Blocks of a file whose pages were bad when they were stored, by their number in the file.
    func badBlocks(_ path: String) -> Set<Int> {
        guard let blocks = badBlocks[path], let first = RelationFile.firstBlock(ofPath: path) else { return [] }
        return Set(blocks.map { $0 &- Int(first) })
    }
}
