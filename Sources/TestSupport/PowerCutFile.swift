import PostgresModel
import Storage
import SystemPackage

/// What a power cut leaves of one file.
struct PowerCutFile {
    private static let page = 4096

    private enum Fate { case durable, unsynced, lost }

    /// A change that was taken back, with what is needed to make it again.
    private struct Undone {
        let offset: Int
        let bytes: [UInt8]
        /// After it, as the file really had it: a write may have failed half-way.
        let size: Int
        let isTruncation: Bool
        let fate: Fate
    }

    private let path: FilePath
    private let changes: [PowerCutJournal.Change]
    private let fates: [Fate]

    /// `changes` are of this file, in their order.
    init(_ path: FilePath, _ changes: [PowerCutJournal.Change], _ syncs: [PowerCutJournal.Sync]) {
        self.path = path
        self.changes = changes
        let own = syncs.filter { sync in
            switch sync.scope {
            case .file(let inode): inode == changes.first?.inode
            case .everything: true
            case .directory: false
            }
        }
        // The first sync after it decides. Where that fails the kernel may have dropped the pages, and later ones find nothing
        // to write.
        fates = changes.map { change in
            guard let sync = own.first(where: { $0.covered > change.position }) else { return .unsynced }
            return sync.failed ? .lost : .durable
        }
    }

    /// Returns how many changes were not durable, whether or not a part of them survives.
    mutating func cut(_ loss: PowerCut.Loss, using generator: inout SeededGenerator) throws -> Int {
        guard let first = fates.firstIndex(where: { $0 != .durable }) else { return 0 }
        let file = try File(path, .update)
        var undone: [Undone] = []
        for index in (first..<changes.count).reversed() { undone.append(try undo(changes[index], fates[index], file)) }
        try redo(undone.reversed(), after: changes[first].oldSize, file, loss, using: &generator)
        return fates.count { $0 != .durable }
    }

    private func undo(_ change: PowerCutJournal.Change, _ fate: Fate, _ file: File) throws -> Undone {
        let size = try file.size
        let end = size > change.oldSize ? size : change.offset + change.oldBytes.count
        let isTruncation = size < change.oldSize
        let bytes = isTruncation ? [] : try file.bytes(at: change.offset, count: max(0, end - change.offset))
        try file.truncate(to: change.oldSize)
        try change.oldBytes.withUnsafeBytes { try file.write($0, at: change.offset) }
        return Undone(offset: change.offset, bytes: bytes, size: size, isTruncation: isTruncation, fate: fate)
    }

    /// Makes again what survives. The size is that of after the last durable change, or of some later moment.
    private func redo(
        _ undone: [Undone], after oldSize: Int, _ file: File, _ loss: PowerCut.Loss, using generator: inout SeededGenerator
    ) throws {
        let durable = undone.lastIndex { $0.fate == .durable } ?? -1
        let last = loss == .everything ? durable : Int.random(in: durable...(undone.count - 1), using: &generator)
        var moments: [Int: Int] = [:]
        for (index, change) in undone.enumerated() {
            if change.isTruncation {
                if change.fate == .durable || index <= last { try file.truncate(to: change.size) }
                continue
            }
            switch change.fate {
            case .durable: try change.bytes.withUnsafeBytes { try file.write($0, at: change.offset) }
            case .lost: break
            case .unsynced:
                if loss == .everything { break }
                for piece in pages(change) {
                    let page = piece.lowerBound / Self.page
                    let moment = moments[page] ?? Int.random(in: 0...undone.count, using: &generator)
                    moments[page] = moment
                    guard index < moment else { continue }
                    let bytes = change.bytes[(piece.lowerBound - change.offset)..<(piece.upperBound - change.offset)]
                    try Array(bytes).withUnsafeBytes { try file.write($0, at: piece.lowerBound) }
                }
            }
        }
        try file.truncate(to: last < 0 ? oldSize : undone[last].size)
    }

    /// A change's bytes, page by page, as positions in the file.
    private func pages(_ change: Undone) -> [Range<Int>] {
        let end = change.offset + change.bytes.count
        return stride(from: change.offset / Self.page * Self.page, to: end, by: Self.page).map {
            max($0, change.offset)..<min($0 + Self.page, end)
        }
    }
}
