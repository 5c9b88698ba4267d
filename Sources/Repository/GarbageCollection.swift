package import PostgresModel
package import Storage
import SystemPackage

/// Gives back what no complete backup refers to.
///
/// Three steps, each safe to be cut short at any point: packs that no backup names go, then directories without a record,
/// and packs that are mostly dead are written anew without their dead blocks, under the same name, by one rename. No map
/// changes. All of it only while no backup runs and nobody reads: the caller holds the locks.
///
/// Packs before directories: were it the other way round, the last backup's deletion cut short would leave packs and no
/// directory, and that is what a disk that is not mounted looks like.
package struct GarbageCollection {
    /// What was or would be given back.
    package struct Result: Sendable, Equatable {
        package var removedPacks = 0
        package var rewrittenPacks = 0
        package var freed = ByteCount(0)
        /// Packs that are mostly dead are left for the next collection.
        package var isCutShort = false

        package init() {}
    }

    private let catalogue: Catalogue
    private let level: CompressionLevel
    private let records: [BackupRecord]
    private let deleted: [Catalogue.Entry]
    /// Not backups yet: nothing of theirs is garbage.
    private let running: [String]
    private let dryRun: Bool
    private var repository: Repository { catalogue.repository }

    /// A pack is written anew when less than this share of it is alive.
    private static let mostAlive = 0.5
    /// Packs of which it is known at one time which blocks are alive; 16 KiB each.
    private static let packsAtATime = 1024

    /// `deleting` are backups to be taken as gone already; with `dryRun` nothing is changed.
    package init(_ catalogue: Catalogue, level: CompressionLevel, deleting: [Catalogue.Entry] = [], dryRun: Bool = false) throws {
        self.catalogue = catalogue
        self.level = level
        self.deleted = deleting
        self.dryRun = dryRun
        let gone = Set(deleting.map(\.id))
        _ = try catalogue.directoryNames()  // throws where every pack would look unused, because the backups are not there
        // Who deletes holds the lock that tells a running backup from a failed one.
        running = try dryRun ? catalogue.entries().filter { $0.status == .running }.map(\.id) : []
        records = try catalogue.records(without: gone)
    }

    /// Everything that can be given back. `tick` is called between packs.
    package func run(tick: () throws -> Void = {}) throws -> Result {
        var result = try removeLeftovers()
        try rewriteMostlyDead(&result, tick)
        return result
    }

    /// As `run`, for who cannot go back any more: an interrupt leaves the slow part for the next collection.
    fileprivate func runAsFarAsWanted(tick: () throws -> Void) throws -> Result {
        var result = try removeLeftovers()
        do {
            try rewriteMostlyDead(&result, tick)
        } catch let failure as Failure where failure.code == .interrupted {
            result.isCutShort = true
        }
        return result
    }

    /// The quick part: what is gone as a whole.
    package func removeLeftovers() throws -> Result {
        var result = Result()
        try removeUnused(try usedPacks(), &result)
        try removeDirectories(&result)
        return result
    }

    private static func packName(_ file: String) -> String? {
        file.hasSuffix(Catalogue.packSuffix) ? String(file.dropLast(Catalogue.packSuffix.count)) : nil
    }

    /// A pack, or what was to become one.
    private static func isOurs(_ file: String) -> Bool { file.hasSuffix(Catalogue.packSuffix) || file.hasSuffix(".tmp") }

    // MARK: What is gone as a whole

    fileprivate func usedPacks() throws -> Set<String> {
        try records.reduce(into: []) { used, record in
            used.formUnion(try BackupReader(catalogue: catalogue, record: record).packs())
        }
    }

    private func removeUnused(_ used: Set<String>, _ result: inout Result) throws {
        for name in try Directory.names(in: repository.packs) ?? [] {
            guard Self.isOurs(name), Self.packName(name).map({ !used.contains($0) }) ?? true else { continue }
            if running.contains(where: { name.hasPrefix($0 + "-") }) { continue }
            let path = repository.packs.appending(name)
            result.freed = ByteCount(result.freed.rawValue + (try Directory.status(path)?.size ?? 0))
            result.removedPacks += 1
            if !dryRun { try Directory.remove(path) }
        }
        if !dryRun { try Directory.synchronize(repository.packs) }
    }

    private func removeDirectories(_ result: inout Result) throws {
        let alive = Set(records.map(\.id))
        for name in try catalogue.directoryNames() where !alive.contains(name) && !running.contains(name) {
            let directory = catalogue.directory(of: name)
            guard let kind = try Directory.status(directory)?.kind, kind == .directory || kind == .symbolicLink else { continue }
            let hasRecord = try Directory.exists(directory.appending(Catalogue.recordName))
            // Only what is to be deleted may have a record.
            if hasRecord, !dryRun || !deleted.contains(where: { $0.id == name }) { continue }
            for file in try Directory.names(in: directory) ?? [] {
                result.freed = ByteCount(result.freed.rawValue + (try Directory.status(directory.appending(file))?.size ?? 0))
            }
            if !dryRun { try Directory.removeTree(directory) }
        }
        if !dryRun { try Directory.synchronize(repository.backups) }
    }

    // MARK: What is mostly dead

    /// Which blocks of a pack's frames some backup refers to: a bit for each, by frame number.
    private typealias LiveBlocks = [UInt64]

    private func rewriteMostlyDead(_ result: inout Result, _ tick: () throws -> Void) throws {
        let used = try usedPacks()
        let present = try Directory.names(in: repository.packs) ?? []
        let candidates = present.compactMap { Self.packName($0) }.filter { used.contains($0) }
        for start in stride(from: 0, to: candidates.count, by: Self.packsAtATime) {
            let some = Array(candidates[start..<min(start + Self.packsAtATime, candidates.count)])
            try rewriteMostlyDead(some, &result, tick)
        }
    }

    private func rewriteMostlyDead(_ packs: [String], _ result: inout Result, _ tick: () throws -> Void) throws {
        var alive: [String: LiveBlocks] = [:]
        for pack in packs { alive[pack] = Array(repeating: 0, count: Pack.capacity) }
        for record in records {
            try tick()
            try mark(record, &alive)
        }
        for (pack, blocks) in alive.sorted(by: { $0.key < $1.key }) {
            try tick()
            let path = catalogue.packPath(pack)
            do {
                let reader = try PackReader(path)
                // Of a pack with a damaged index nothing is believed; it stays as it is.
                guard !reader.isIndexDamaged, try Self.isMostlyDead(reader, blocks) else { continue }
                let size = try Directory.status(path)?.size ?? 0
                let newSize = try rewrite(path, reader, blocks)
                result.freed = ByteCount(result.freed.rawValue + max(0, size - newSize))
                result.rewrittenPacks += 1
            } catch let failure as Failure where failure.code == .damaged {
                continue  // what cannot be read is not touched: `verify` names it
            }
        }
    }

    /// Takes a pack out of `alive` where it cannot be told what a backup needs of it.
    private func mark(_ record: BackupRecord, _ alive: inout [String: LiveBlocks]) throws {
        let reader = BackupReader(catalogue: catalogue, record: record)
        let names = try reader.packs()
        guard names.contains(where: { alive[$0] != nil }) else { return }
        // By number, so that no name is looked up for each extent.
        var marks = names.map { alive.removeValue(forKey: $0) }
        do {
            try reader.entries { entry in
                guard case .file(_, _, let extents) = entry.kind else { return }
                for extent in extents where marks[extent.pack] != nil { marks[extent.pack]![extent.frame] |= extent.bits }
            }
        } catch let failure as Failure where failure.code == .damaged {
            return
        }
        for (name, blocks) in zip(names, marks) { if let blocks { alive[name] = blocks } }
    }

    private static func isMostlyDead(_ reader: PackReader, _ alive: LiveBlocks) throws -> Bool {
        guard try isMostlyDead(reader, alive, blocks: { try reader.blockCount($0) }) else { return false }
        // Dead blocks that are zeros already give nothing back. Only the sums tell, so they are read only now.
        return try withUnsafeTemporaryAllocation(byteCount: Frame.sumsCount(contentCount: Frame.capacity), alignment: 8) { sums in
            try isMostlyDead(reader, alive) { frame in
                let blocks = try reader.readSums(frame, into: sums)
                let zeros = (0..<blocks).count {
                    alive[frame] & (1 << UInt64($0)) == 0
                        && BlockSum(stored: UnsafeRawBufferPointer(sums), at: $0 * BlockSum.storedSize) == .zeros
                }
                return blocks - zeros
            }
        }
    }

    /// `blocks` says how many of a frame's blocks take space. It is asked only of frames that have live ones.
    private static func isMostlyDead(_ reader: PackReader, _ alive: LiveBlocks, blocks: (Int) throws -> Int) throws -> Bool {
        var (live, total) = (0.0, 0.0)
        for frame in reader.frames {
            let bytes = Double(try reader.frameCount(frame))
            total += bytes
            if alive[frame] != 0 { live += bytes * Double(alive[frame].nonzeroBitCount) / Double(max(1, try blocks(frame))) }
        }
        return live < total * mostAlive
    }

    /// Writes a pack anew: frames without a live block are left out, dead blocks become zeros, which take no space. Durable
    /// under its old name when it returns. Returns the new size; with `dryRun` an estimate.
    private func rewrite(_ path: FilePath, _ reader: PackReader, _ alive: LiveBlocks) throws -> Int {
        let temporary = FilePath("\(path).tmp")
        let buffer = FrameBuffer()
        let decompressor = try Decompressor()
        let encoder = try FrameEncoder(level)
        let writer = dryRun ? nil : try PackWriter(temporary)
        var size = 0
        do {
            for frame in reader.frames where alive[frame] != 0 {
                let blocks = try reader.blockCount(frame)
                if alive[frame].nonzeroBitCount == blocks || dryRun {
                    size += try reader.frameCount(frame) * alive[frame].nonzeroBitCount / blocks
                    let header = try reader.readStored(frame, into: buffer)
                    try writer?.append(UnsafeRawBufferPointer(rebasing: buffer.stored[..<header.frameCount]), header)
                } else {
                    try append(frame, alive[frame], reader, buffer, decompressor, encoder, to: writer!)
                }
            }
            guard let writer else { return size }
            try writer.finish()
            try Directory.rename(temporary, to: path)
            return writer.size
        } catch {
            if !dryRun { try? Directory.remove(temporary) }  // else the next collection does it
            throw error
        }
    }

    private func append(
        _ frame: Int, _ alive: UInt64, _ reader: PackReader, _ buffer: borrowing FrameBuffer, _ decompressor: Decompressor,
        _ encoder: FrameEncoder, to writer: PackWriter
    ) throws {
        let count = try reader.read(frame, into: buffer, decompressor: decompressor)
        var sums = [UInt8](repeating: 0, count: Frame.sumsCount(contentCount: count))
        _ = try sums.withUnsafeMutableBytes { try reader.readSums(frame, into: $0) }
        for block in 0..<(count / Frame.blockSize) where alive & (1 << UInt64(block)) == 0 {
            let place = block * Frame.blockSize
            UnsafeMutableRawBufferPointer(rebasing: buffer.content[place..<(place + Frame.blockSize)])
                .initializeMemory(as: UInt8.self, repeating: 0)
            sums.withUnsafeMutableBytes { BlockSum.zeros.store(in: $0, at: block * BlockSum.storedSize) }
        }
        let header = try sums.withUnsafeBytes {
            try encoder.encode(
                number: frame, content: UnsafeRawBufferPointer(rebasing: buffer.content[..<count]), sums: $0,
                into: buffer.stored)
        }
        try writer.append(UnsafeRawBufferPointer(rebasing: buffer.stored[..<header.frameCount]), header)
    }
}

extension Catalogue {
    /// Deletes backups: first they stop being any, then their content goes. Content that others refer to stays. Interrupted
    /// at any point, the rest is garbage. `tick` may throw that it is interrupted: before anything is changed that is thrown on,
    /// later the result says that it was cut short. The caller holds the write lock and the lock against readers.
    package func delete(_ ids: [String], level: CompressionLevel, tick: () throws -> Void = {}) throws -> GarbageCollection.Result
    {
        // What would stop the collection is found before anything is changed.
        let collection = try GarbageCollection(self, level: level, deleting: entries().filter { ids.contains($0.id) })
        _ = try collection.usedPacks()
        try tick()
        for id in ids {
            let record = directory(of: id).appending(Self.recordName)
            if try Directory.exists(record) {
                try Directory.rename(record, to: directory(of: id).appending(Self.tombstoneName))
            }
        }
        return try collection.runAsFarAsWanted(tick: tick)
    }

    /// Removes what interrupted writers left. The caller holds the write lock.
    @discardableResult
    package func collectLeftovers() throws -> ByteCount {
        try GarbageCollection(self, level: .standard).removeLeftovers().freed
    }

    /// The directories of all backups, whole or not. A backup's is made before its packs, and goes after them: packs without
    /// any show that something else is wrong.
    func directoryNames() throws -> [String] {
        let names = try identifiers()
        let packs = try Directory.names(in: repository.packs) ?? []
        guard let names, !names.isEmpty || !packs.contains(where: { $0.hasSuffix(Self.packSuffix) }) else {
            throw Failure(
                .repositoryUnreachable,
                "could not collect garbage: \(repository.backups) is \(names == nil ? "missing" : "empty"), "
                    + "so nothing says what is in use",
                hint: "Is a disk not mounted? Nothing was removed.")
        }
        try requireNoneRenamed()
        return names
    }

    /// A backup's folder under another name is none of ours, but somebody's who may want its packs again.
    private func requireNoneRenamed() throws {
        for name in try Directory.names(in: repository.backups) ?? [] where !Self.isIdentifier(name) {
            let record = repository.backups.appending(name).appending(Self.recordName)
            // What we may not look into, as lost+found, is no backup of ours.
            guard (try? Directory.exists(record)) == true else { continue }
            throw Failure(
                .damaged, "could not collect garbage: \(repository.backups.appending(name)) is a backup under another name",
                hint: "Give the folder its backup's name back, or move it to another place. Nothing was removed.")
        }
    }
}
