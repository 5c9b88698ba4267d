package import PostgresModel
package import Storage
package import SystemPackage

/// Writes the content of one backup: entries in the order in which they come, files front to back.
///
/// The order on disk is what makes it safe: packs durable, then the map, then the names of both; `commit` alone makes
/// it a backup. Until then everything here is garbage that the next writer collects.
package final class BackupWriter {
    package let id: String
    private let catalogue: Catalogue
    private let pipeline: FramePipeline
    private let map: MapWriter
    private let checksPages: Bool

    private var open: (slot: FramePipeline.Slot, pack: Int, frame: Int)?
    private var file: OpenFile?
    private var files = 0
    private var dataBytes = 0

    private struct OpenFile {
        var entry: MapEntry
        var size: Int
        var written = 0
        var checksum = CRC32C()
        var extents: [Extent] = []
        var firstBlock: UInt32?
        var isBundled: Bool
    }

    /// The caller holds the write lock. `checksPages` where the server keeps data checksums.
    package init(
        catalogue: Catalogue, id: String, level: CompressionLevel, threads: Int, backupBegin: LSN, checksPages: Bool
    ) throws {
        self.catalogue = catalogue
        self.id = id
        self.checksPages = checksPages
        try Directory.create(catalogue.directory(of: id), permissions: Repository.directoryPermissions)
        map = try MapWriter(catalogue.mapPath(id))
        pipeline = FramePipeline(
            threads: threads, level: level, backupBegin: backupBegin,
            packName: { "\(id)-\($0)" }, packPath: { catalogue.packPath($0) })
    }

    /// An identifier that no backup has: the time, made unique.
    package static func newIdentifier(in catalogue: Catalogue, at time: Timestamp) throws -> String {
        var time = time
        while try Directory.exists(catalogue.directory(of: time.compactText)) {
            time = Timestamp(microseconds: time.microseconds + 1_000_000)
        }
        return time.compactText
    }

    // MARK: Content

    package func add(_ entry: MapEntry) throws { try map.append(entry) }

    package func beginFile(path: String, mode: UInt32, modified: Int64, size: Int) throws {
        let isBundled = size <= Frame.bundleLimit
        // A small file is never split: its pages would be, where what lies before it is no multiple of a page.
        if !isBundled || (open?.slot.count ?? 0) + size > Frame.capacity { submit() }
        file = OpenFile(
            entry: MapEntry(path: path, mode: mode, modified: modified, kind: .directory), size: size,
            firstBlock: checksPages && size % RelationFile.pageSize == 0 ? RelationFile.firstBlock(ofPath: path) : nil,
            isBundled: isBundled)
    }

    package func content(_ bytes: UnsafeRawBufferPointer) throws {
        file!.checksum.add(bytes)
        var rest = bytes[...]
        while !rest.isEmpty {
            if open == nil { open = try pipeline.acquire() }
            let (slot, pack, frame) = open!
            let count = min(rest.count, Frame.capacity - slot.count)
            slot.content[slot.count...].copyBytes(from: rest.prefix(count))
            note(count, slot, pack, frame)
            slot.count += count
            rest = rest.dropFirst(count)
            if slot.count == Frame.capacity { submit() }
        }
    }

    /// Extends the file's last extent, or begins another where the frame is another.
    private func note(_ count: Int, _ slot: FramePipeline.Slot, _ pack: Int, _ frame: Int) {
        let last = file!.extents.count - 1
        if last >= 0, file!.extents[last].frame == frame, file!.extents[last].pack == pack {
            file!.extents[last].length += count
            if file!.firstBlock != nil {
                let run = slot.pages.count - 1
                slot.pages[run].range = slot.pages[run].range.lowerBound..<(slot.count + count)
            }
        } else {
            file!.extents.append(Extent(length: count, pack: pack, frame: frame, offset: slot.count))
            if let first = file!.firstBlock {
                let block = first + UInt32(file!.written / RelationFile.pageSize)
                slot.pages.append(.init(path: file!.entry.path, block: block, range: slot.count..<(slot.count + count)))
            }
        }
        file!.written += count
    }

    package func endFile() throws {
        guard var file else { preconditionFailure("a file ends that did not begin") }
        guard file.written == file.size else {
            throw Failure(
                .protocolViolation,
                "could not store \(file.entry.path): \(file.written) bytes came where \(file.size) were announced")
        }
        if !file.isBundled { submit() }
        file.entry.kind = .file(size: file.size, checksum: file.checksum.value, extents: file.extents)
        try map.append(file.entry)
        files += 1
        dataBytes += file.size
        self.file = nil
    }

    private func submit() {
        guard let current = open else { return }
        if current.slot.count > 0 {
            pipeline.submit()
            open = nil
        }
    }

    // MARK: End

    package struct Summary: Sendable {
        package let packs: [String]
        package let storedBytes: Int
        package let dataBytes: Int
        package let files: Int
        package let map: BackupRecord.StoredFile
        package let badPages: [BackupRecord.BadPage]
    }

    /// Makes the packs and the map durable.
    package func finish() throws -> Summary {
        submit()
        let result = try pipeline.finish()
        try Directory.synchronize(catalogue.repository.packs)
        try map.commit()
        let stored = try Self.describe(catalogue.mapPath(id))
        return Summary(
            packs: result.packs, storedBytes: result.storedBytes + stored.bytes, dataBytes: dataBytes, files: files,
            map: stored, badPages: result.badPages)
    }

    /// Makes it a backup.
    package func commit(_ record: BackupRecord) throws { try catalogue.commit(record) }

    /// Ends the threads and removes what was written, as far as that goes; the rest is collected later.
    package func discard() {
        pipeline.cancel()
        _ = try? catalogue.collectGarbage()  // what it cannot remove now, the next writer does
    }

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
