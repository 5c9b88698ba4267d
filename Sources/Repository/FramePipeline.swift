import PostgresModel
import Storage
import SystemPackage

/// Turns content into frames: the caller fills one buffer after the other, several threads check and compress them,
/// one thread appends them to packs in their order.
///
/// Memory is bounded by the ring of buffers, whatever the size of the backup. The first failure of any thread ends the
/// others and comes out of the next call.
final class FramePipeline: Sendable {
    /// A run of one file's pages within a frame's content.
    struct Pages: Sendable {
        var path: String
        /// The number of the first one within its fork.
        var block: UInt32
        /// Where they are in the content, in blocks.
        var range: Range<Int>
    }

    struct Result: Sendable {
        var packs: [String]
        var storedBytes: Int
        var badPages: [BackupRecord.BadPage]
    }

    /// One place in the ring.
    ///
    /// SAFETY of `@unchecked Sendable`: the counters in `Progress` give each slot to one thread at a time.
    final class Slot: @unchecked Sendable {
        let content = UnsafeMutableRawBufferPointer.allocate(byteCount: Frame.capacity, alignment: 16)
        /// One for each block of the content.
        let sums = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Frame.sumsCount(contentCount: Frame.capacity), alignment: 16)
        /// Header, payload and sums, as they go into the pack.
        fileprivate let stored = UnsafeMutableRawBufferPointer.allocate(byteCount: Frame.largest, alignment: 16)
        /// Complete blocks.
        var blocks = 0
        var count: Int { blocks * Frame.blockSize }
        var pages: [Pages] = []
        fileprivate var header: Frame.Header?

        deinit {
            content.deallocate()
            sums.deallocate()
            stored.deallocate()
        }
    }

    private struct Progress {
        var filled = 0
        var taken = 0
        var written = 0
        var isCompressed: [Bool]
        var isClosed = false
        var failure: (any Error)?
        var badPages: [BackupRecord.BadPage] = []
    }

    /// More are not listed one by one: a disk that bad needs another kind of report.
    private static let mostBadPages = 10_000

    private let slots: [Slot]
    private let progress: Monitor<Progress>
    private let backupBegin: LSN
    private let level: CompressionLevel
    private let packName: @Sendable (Int) -> String
    private let packPath: @Sendable (String) -> FilePath
    private let workers: Monitor<[WorkerThread<Void>]>
    private let writer: Monitor<WorkerThread<(packs: [String], bytes: Int)>?>

    /// `threads` compress; `packName` gives the name of the n-th pack.
    init(
        threads: Int, level: CompressionLevel, backupBegin: LSN, packName: @escaping @Sendable (Int) -> String,
        packPath: @escaping @Sendable (String) -> FilePath
    ) {
        let depth = threads * 2 + 2
        slots = (0..<depth).map { _ in Slot() }
        progress = Monitor(Progress(isCompressed: Array(repeating: false, count: depth)))
        self.backupBegin = backupBegin
        self.level = level
        self.packName = packName
        self.packPath = packPath
        workers = Monitor([])
        writer = Monitor(nil)
        workers.change { list in
            list = (0..<threads).map { n in WorkerThread("compress-\(n)") { [self] in try guarded { try compressFrames() } } }
        }
        writer.change { $0 = WorkerThread("packs") { [self] in try guarded { try writePacks() } } }
    }

    // MARK: The caller's side

    /// The next buffer to fill, and where its frame will be.
    func acquire() throws -> (slot: Slot, pack: Int, frame: Int) {
        let number = try progress.wait { progress -> Int? in
            if let failure = progress.failure { throw failure }
            return progress.filled - progress.written < slots.count ? progress.filled : nil
        }
        let slot = slots[number % slots.count]
        slot.blocks = 0
        slot.pages.removeAll(keepingCapacity: true)
        return (slot, number / Pack.capacity, number % Pack.capacity)
    }

    /// Hands the buffer acquired last to the threads.
    func submit() { progress.change { $0.filled += 1 } }

    /// Waits until every frame is in its pack and every pack is durable.
    func finish() throws -> Result {
        progress.change { $0.isClosed = true }
        let written = try join()
        return Result(packs: written.packs, storedBytes: written.bytes, badPages: progress.read { $0.badPages })
    }

    /// Ends the threads; what they wrote is garbage.
    func cancel() {
        progress.change { if $0.failure == nil { $0.failure = Failure(.interrupted, "the backup was given up") } }
        // All of them, so that none writes any more; the reason to give up is already known to the caller.
        for worker in workers.read({ $0 }) { _ = try? worker.join() }
        _ = try? writer.read { $0! }.join()
    }

    private func join() throws -> (packs: [String], bytes: Int) {
        for worker in workers.read({ $0 }) { try worker.join() }
        return try writer.read { $0! }.join()
    }

    private func guarded<Value>(_ body: () throws -> Value) throws -> Value {
        do { return try body() } catch {
            progress.change { if $0.failure == nil { $0.failure = error } }
            throw progress.read { $0.failure! }
        }
    }

    // MARK: The threads

    private func compressFrames() throws {
        let encoder = try FrameEncoder(level)
        while let number = try next() {
            let slot = slots[number % slots.count]
            let bad = checkPages(of: slot)
            slot.header = try encoder.encode(
                number: number % Pack.capacity, content: UnsafeRawBufferPointer(rebasing: slot.content[..<slot.count]),
                sums: UnsafeRawBufferPointer(slot.sums), into: slot.stored)
            progress.change { progress in
                progress.isCompressed[number % slots.count] = true
                progress.badPages += bad.prefix(Self.mostBadPages - progress.badPages.count)
            }
        }
    }

    private func next() throws -> Int? {
        try progress.wait { progress -> Int?? in
            if let failure = progress.failure { throw failure }
            if progress.taken < progress.filled {
                progress.taken += 1
                return progress.taken - 1
            }
            return progress.isClosed ? .some(nil) : nil
        }
    }

    private func checkPages(of slot: Slot) -> [BackupRecord.BadPage] {
        var bad: [BackupRecord.BadPage] = []
        for pages in slot.pages {
            for place in pages.range {
                let start = place * Frame.blockSize
                let page = UnsafeRawBufferPointer(rebasing: slot.content[start..<(start + Frame.blockSize)])
                let block = pages.block + UInt32(place - pages.range.lowerBound)
                if RelationFile.check(page, block: block, backupBegin: backupBegin) == .bad {
                    bad.append(BackupRecord.BadPage(path: pages.path, block: Int(block)))
                }
            }
        }
        return bad
    }

    private func writePacks() throws -> (packs: [String], bytes: Int) {
        var names: [String] = []
        var bytes = 0
        var pack: PackWriter?
        var number = 0
        while try isReady(number) {
            if number % Pack.capacity == 0 {
                names.append(packName(names.count))
                pack = try PackWriter(packPath(names[names.count - 1]))
            }
            let slot = slots[number % slots.count]
            let header = slot.header!
            try pack!.append(UnsafeRawBufferPointer(rebasing: slot.stored[..<header.frameCount]), header)
            number += 1
            progress.change { progress in
                progress.isCompressed[(number - 1) % slots.count] = false
                progress.written = number
            }
            if number % Pack.capacity == 0 {
                try pack!.finish()
                bytes += pack!.size
                pack = nil
            }
        }
        if let pack {
            try pack.finish()
            bytes += pack.size
        }
        return (names, bytes)
    }

    /// Waits for a frame to be compressed; false where there is no such frame any more.
    private func isReady(_ number: Int) throws -> Bool {
        try progress.wait { progress in
            if let failure = progress.failure { throw failure }
            if number < progress.filled { return progress.isCompressed[number % slots.count] ? true : nil }
            return progress.isClosed ? false : nil
        }
    }
}
