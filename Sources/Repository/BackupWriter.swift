package import PostgresModel
package import Storage
package import SystemPackage

/// Writes the content of one backup: entries in the order in which they come, files front to back.
///
/// With a reference, an earlier backup, what it has already is referred to and not stored again: blocks that are equal,
/// or those that the server left out of an increment. Either way the new map is complete in itself.
///
/// The order on disk is what makes it safe: packs durable, then the map and the list of packs; `commit` alone makes it a
/// backup. Until then everything here is garbage that the next writer collects.
package final class BackupWriter {
    package struct Settings: Sendable {
        package var level: CompressionLevel
        /// Threads that compress.
        package var threads: Int
        /// Pages changed since then prove nothing by their checksum.
        package var backupBegin: LSN
        /// The server keeps data checksums.
        package var checksPages: Bool

        package init(level: CompressionLevel, threads: Int, backupBegin: LSN, checksPages: Bool) {
            self.level = level
            self.threads = threads
            self.backupBegin = backupBegin
            self.checksPages = checksPages
        }
    }

    package let id: String
    private let catalogue: Catalogue
    private let settings: Settings
    private let pipeline: FramePipeline
    private let map: MapWriter
    private let reference: BackupReference?

    private var packs: PackTable
    private var open: (slot: FramePipeline.Slot, pack: Int, frame: Int)?
    /// Bytes of the block that is being filled, behind the slot's complete ones.
    private var fill = 0
    private var file: OpenFile?
    private var files = 0
    private var dataBytes = 0
    private var carriedBadPages: [BackupRecord.BadPage] = []

    private struct OpenFile {
        var entry: MapEntry
        /// Bytes that were announced, and those that came.
        let size: Int
        var received = 0
        /// Of what came.
        var checksum: UInt32 = 0
        /// Of the blocks that came.
        var extents: [Extent] = []
        var blocks = 0
        /// The number that its first block has in its fork, where its pages are to be checked.
        let firstBlock: UInt32?
        var earlier: Earlier?
        var increment: Increment?
    }

    /// The file as the reference has it.
    private struct Earlier {
        var cursor: ExtentCursor
        let badBlocks: Set<Int>
    }

    /// Some blocks of a file, the others are the reference's.
    private struct Increment {
        let entry: MapEntry
        let change: FileChange
        /// CRCs of the blocks that came.
        var checksums: [UInt32] = []
    }

    /// The caller holds the write lock.
    package init(catalogue: Catalogue, id: String, settings: Settings, reference: BackupReference? = nil) throws {
        self.catalogue = catalogue
        self.id = id
        self.settings = settings
        self.reference = reference
        packs = PackTable(reference: reference?.packs ?? []) { "\(id)-\($0)" }
        try Directory.create(catalogue.directory(of: id), permissions: Repository.directoryPermissions)
        map = try MapWriter(catalogue.mapPath(id))
        pipeline = FramePipeline(
            threads: settings.threads, level: settings.level, backupBegin: settings.backupBegin,
            packName: { "\(id)-\($0)" }, packPath: { catalogue.packPath($0) })
    }

    /// An identifier that no backup has, and none that was deleted and whose packs others still refer to: the time, made
    /// unique.
    package static func newIdentifier(in catalogue: Catalogue, at time: Timestamp) throws -> String {
        let packs = try Directory.names(in: catalogue.repository.packs) ?? []
        var time = time
        while try Directory.exists(catalogue.directory(of: time.compactText))
            || packs.contains(where: { $0.hasPrefix(time.compactText + "-") })
        {
            time = Timestamp(microseconds: time.microseconds + 1_000_000)
        }
        return time.compactText
    }

    // MARK: Content

    package func add(_ entry: MapEntry) throws { try map.append(entry) }

    /// A whole file. Blocks that the reference has at their place are not stored again.
    package func beginFile(path: String, mode: UInt32, modified: Int64, size: Int) throws {
        var earlier: Earlier?
        if let reference, case .file(_, _, let extents) = try reference.file(path)?.kind {
            earlier = Earlier(cursor: ExtentCursor(extents), badBlocks: reference.badBlocks(path))
        }
        file = OpenFile(
            entry: MapEntry(path: path, mode: mode, modified: modified, kind: .directory), size: size,
            firstBlock: settings.checksPages && size % Frame.blockSize == 0 ? RelationFile.firstBlock(ofPath: path) : nil,
            earlier: earlier)
    }

    /// A file of which only the blocks of `change` come; the reference has the others. Throws
    /// `ReferenceDamage` where it has not.
    package func beginIncrement(path: String, mode: UInt32, modified: Int64, change: FileChange) throws {
        guard let reference else { preconditionFailure("an increment without a reference") }
        guard let entry = try reference.file(path) else {
            throw ReferenceDamage("the earlier backup does not have \(path)", reference.record)
        }
        file = OpenFile(
            entry: MapEntry(path: path, mode: mode, modified: modified, kind: .directory),
            size: change.blocks.count * Frame.blockSize,
            firstBlock: settings.checksPages ? RelationFile.firstBlock(ofPath: path) : nil,
            increment: Increment(entry: entry, change: change))
    }

    package func content(_ bytes: UnsafeRawBufferPointer) throws {
        file!.received += bytes.count
        var offset = 0
        while offset < bytes.count {
            let slot = try slot()
            let count = min(bytes.count - offset, Frame.blockSize - fill)
            UnsafeMutableRawBufferPointer(rebasing: slot.content[(slot.count + fill)...])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)]))
            fill += count
            offset += count
            if fill == Frame.blockSize { try completeBlock(slot) }
        }
    }

    /// The file is complete. Returns the CRC-32C of the content that came.
    @discardableResult
    package func endFile() throws -> UInt32 {
        if fill > 0 {
            let slot = try slot()
            UnsafeMutableRawBufferPointer(rebasing: slot.content[(slot.count + fill)..<(slot.count + Frame.blockSize)])
                .initializeMemory(as: UInt8.self, repeating: 0)
            try completeBlock(slot)
        }
        guard var file else { preconditionFailure("a file ends that did not begin") }
        guard file.received == file.size else {
            throw Failure(
                .protocolViolation,
                "could not store \(file.entry.path): \(file.received) bytes came where \(file.size) were announced")
        }
        let content =
            try file.increment.map { try merged($0, file) }
            ?? (size: file.size, checksum: file.checksum, extents: file.extents)
        file.entry.kind = .file(size: content.size, checksum: content.checksum, extents: content.extents)
        try map.append(file.entry)
        files += 1
        dataBytes += content.size
        self.file = nil
        return file.checksum
    }

    // MARK: Blocks

    private func slot() throws -> FramePipeline.Slot {
        if let open { return open.slot }
        open = try pipeline.acquire()
        return open!.slot
    }

    /// The block behind the slot's complete ones is filled: it is kept, or the reference's is taken in its place.
    private func completeBlock(_ slot: FramePipeline.Slot) throws {
        let block = UnsafeRawBufferPointer(rebasing: slot.content[slot.count..<(slot.count + Frame.blockSize)])
        let sum = BlockSum(block)
        let checksum = fill == Frame.blockSize ? sum.crc : CRC32C(UnsafeRawBufferPointer(rebasing: block[..<fill])).value
        file!.checksum = CRC32C.joined(file!.checksum, checksum, count: fill)
        file!.increment?.checksums.append(sum.crc)
        fill = 0
        let number = file!.blocks
        file!.blocks += 1
        if let location = file!.earlier?.cursor.location(of: number), try reference!.sum(location) == sum {
            file!.extents.extend(referred(location))
            if file!.earlier!.badBlocks.contains(number) { carryBadPage(number) }
            return
        }
        if let first = file!.firstBlock { note(first + UInt32(file!.increment?.change.blocks[number] ?? UInt32(number)), slot) }
        file!.extents.extend(keep(sum))
    }

    /// Where a block of the reference is, by the new map's numbers.
    private func referred(_ extent: Extent) -> Extent {
        var extent = extent
        extent.pack = packs.number(ofReferred: extent.pack)
        return extent
    }

    private func note(_ block: UInt32, _ slot: FramePipeline.Slot) {
        if let last = slot.pages.last, last.range.upperBound == slot.blocks, last.path == file!.entry.path,
            last.block + UInt32(last.range.count) == block
        {
            slot.pages[slot.pages.count - 1].range = last.range.lowerBound..<(slot.blocks + 1)
        } else {
            slot.pages.append(.init(path: file!.entry.path, block: block, range: slot.blocks..<(slot.blocks + 1)))
        }
    }

    /// The block behind the slot's complete ones becomes one of them.
    private func keep(_ sum: BlockSum) -> Extent {
        let (slot, pack, frame) = open!
        sum.store(in: slot.sums, at: slot.blocks * BlockSum.storedSize)
        let extent = Extent(blocks: 1, pack: packs.number(ofOwn: pack), frame: frame, block: slot.blocks)
        slot.blocks += 1
        if slot.blocks == Frame.blockCapacity { submit() }
        return extent
    }

    private func submit() {
        guard let current = open, current.slot.blocks > 0 else { return }
        pipeline.submit()
        open = nil
    }

    /// A page that was bad when the reference was taken, and is still referred to.
    private func carryBadPage(_ block: Int) {
        let first = Int(RelationFile.firstBlock(ofPath: file!.entry.path) ?? 0)
        carriedBadPages.append(.init(path: file!.entry.path, block: first + block))
    }

    // MARK: Increments

    /// The whole file: the reference's with the blocks that came in their places.
    private func merged(_ increment: Increment, _ file: OpenFile) throws -> (size: Int, checksum: UInt32, extents: [Extent]) {
        guard case .file(let oldSize, let oldChecksum, let oldExtents) = increment.entry.kind else {
            preconditionFailure("the index holds files only")
        }
        let change = increment.change
        let (oldBlocks, blocks) = (MapEntry.blocks(ofSize: oldSize), change.fileBlocks)
        let badBlocks = reference!.badBlocks(file.entry.path)
        var old = ExtentCursor(oldExtents)
        var new = ExtentCursor(file.extents)
        var extents: [Extent] = []
        var position = 0
        /// Up to `end` nothing came: what the reference has there, and beyond that zeros.
        func take(upTo end: Int) throws {
            let last = min(end, change.minimumBlocks, oldBlocks)
            if position < last {
                old.extents(of: position..<last) { extents.extend(referred($0)) }
                for bad in badBlocks where (position..<last).contains(bad) { carryBadPage(bad) }
                position = last
            }
            while position < end {
                extents.extend(try zeroBlock())
                position += 1
            }
        }
        for (number, block) in change.blocks.enumerated() {
            try take(upTo: Int(block))
            new.extents(of: number..<(number + 1)) { extents.extend($0) }
            position = Int(block) + 1
        }
        try take(upTo: blocks)
        let keepsAll = oldSize == oldBlocks * Frame.blockSize && oldBlocks <= min(blocks, change.minimumBlocks)
        let checksum =
            try keepsAll
            ? changed(oldChecksum, oldBlocks, ExtentCursor(oldExtents), increment)
            : summed(oldBlocks, ExtentCursor(oldExtents), increment)
        return (blocks * Frame.blockSize, checksum, extents)
    }

    private func zeroBlock() throws -> Extent {
        let slot = try slot()
        UnsafeMutableRawBufferPointer(rebasing: slot.content[slot.count..<(slot.count + Frame.blockSize)])
            .initializeMemory(as: UInt8.self, repeating: 0)
        return keep(.zeros)
    }

    /// The checksum of a file of which no old block went: only what changed is looked at.
    private func changed(_ old: UInt32, _ oldBlocks: Int, _ cursor: ExtentCursor, _ increment: Increment) throws -> UInt32 {
        let blocks = increment.change.fileBlocks
        var (checksum, cursor) = (old, cursor)
        for _ in oldBlocks..<blocks { checksum = CRC32C.joined(checksum, BlockSum.zeros.crc, count: Frame.blockSize) }
        for (block, new) in zip(increment.change.blocks, increment.checksums) {
            let old = try Int(block) < oldBlocks ? sum(&cursor, Int(block)) : BlockSum.zeros.crc
            checksum ^= CRC32C.shifted(old ^ new, by: (blocks - Int(block) - 1) * Frame.blockSize)
        }
        return checksum
    }

    /// The checksum of any other file, from those of all its blocks.
    private func summed(_ oldBlocks: Int, _ cursor: ExtentCursor, _ increment: Increment) throws -> UInt32 {
        let change = increment.change
        var (checksum, cursor, next) = (UInt32(0), cursor, 0)
        for block in 0..<change.fileBlocks {
            let crc: UInt32
            if next < change.blocks.count, Int(change.blocks[next]) == block {
                crc = increment.checksums[next]
                next += 1
            } else {
                crc = try block < min(change.minimumBlocks, oldBlocks) ? sum(&cursor, block) : BlockSum.zeros.crc
            }
            checksum = CRC32C.joined(checksum, crc, count: Frame.blockSize)
        }
        return checksum
    }

    private func sum(_ cursor: inout ExtentCursor, _ block: Int) throws -> UInt32 {
        guard let location = cursor.location(of: block), let sum = try reference!.sum(location) else {
            throw ReferenceDamage("block \(block) of \(file!.entry.path) cannot be read", reference!.record)
        }
        return sum.crc
    }

    // MARK: End

    package struct Summary: Sendable {
        package let packs: BackupRecord.StoredFile
        package let storedBytes: Int
        package let dataBytes: Int
        package let files: Int
        package let map: BackupRecord.StoredFile
        /// Pages whose checksum was wrong when they came.
        package let badPages: [BackupRecord.BadPage]
        /// Pages that were on the reference's list and are still the same.
        package let carriedBadPages: [BackupRecord.BadPage]
    }

    /// Makes the packs and the map durable.
    package func finish() throws -> Summary {
        submit()
        let result = try pipeline.finish()
        try Directory.synchronize(catalogue.repository.packs)
        try map.commit()
        let list = catalogue.packListPath(id)
        try SmallFile.write(
            packs.names.map { $0 + "\n" }.joined(), to: list, permissions: Repository.filePermissions)
        let (map, packs) = (try Self.describe(catalogue.mapPath(id)), try Self.describe(list))
        return Summary(
            packs: packs, storedBytes: result.storedBytes + map.bytes + packs.bytes, dataBytes: dataBytes, files: files, map: map,
            badPages: result.badPages, carriedBadPages: carriedBadPages)
    }

    /// Makes it a backup.
    package func commit(_ record: BackupRecord) throws {
        try catalogue.commit(record)
        // A verification that ends from now on finds this backup among the others; what one found before is looked for here.
        // Whatever fails, the backup is complete, and the damage is noted where it was found.
        if reference != nil { try? catalogue.noteKnownDamage(in: record) }
    }

    /// Ends the threads. What was written is garbage.
    package func cancel() { pipeline.cancel() }

    /// Size and checksum of a file that is complete.
    package static func describe(_ path: FilePath) throws -> BackupRecord.StoredFile {
        let file = try File(path, .read)
        var checksum = CRC32C()
        var size = 0
        try withUnsafeTemporaryAllocation(byteCount: 128 * 1024, alignment: 16) { buffer in
            while true {
                let count = try file.read(at: size, into: buffer)
                if count == 0 { break }
                checksum.add(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                size += count
            }
        }
        return BackupRecord.StoredFile(bytes: size, checksum: checksum.value)
    }
}
