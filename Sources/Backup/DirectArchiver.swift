import PostgresModel
import Repository
import Storage
import SystemPackage

/// Archives segments while they arrive, without a raw copy of them: for a receiver that is far behind.
///
/// The stream's thread fills a ring of buffers, several threads compress them, one appends them in order. Each buffer becomes
/// a zstd frame of its own; a segment's file is a row of them, which is one zstd file. A segment gets its name when it is whole
/// and durable, and only then counts as flushed (promise P1). Memory is the ring, whatever the segment's size.
final class DirectArchiver: Sendable {
    /// One place in the ring.
    ///
    /// SAFETY of `@unchecked Sendable`: the counters in `Progress` give each slot to one thread at a time.
    private final class Slot: @unchecked Sendable {
        let content = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 16)
        let stored = UnsafeMutableRawBufferPointer.allocate(byteCount: Compressor.bound(chunk), alignment: 16)
        var segment: WALSegment?
        var count = 0
        var storedCount = 0
        /// The last one of its segment.
        var isLast = false
        /// Begun, and not handed to the threads yet.
        var isFilling = false

        deinit {
            content.deallocate()
            stored.deallocate()
        }
    }

    private struct Progress {
        var filled = 0
        var taken = 0
        var written = 0
        var isCompressed: [Bool]
        /// So many buffers waited that they are compressed quickly until none does.
        var isPressed = false
        var isClosed = false
        var failure: (any Error)?
        /// The end of the last segment that is archived.
        var durable: LSN?
    }

    /// Large enough to compress nearly as well as a whole segment, small enough that a ring of them is.
    private static let chunk = 1 << 20
    private static let depth = 12

    private let archive: WALArchive
    private let level: CompressionLevel
    private let slots = (0..<depth).map { _ in Slot() }
    private let progress = Monitor(Progress(isCompressed: Array(repeating: false, count: depth)))
    private let threads: Monitor<[WorkerThread<Void>]>

    init(_ archive: WALArchive, level: CompressionLevel, threads count: Int = standardThreadCount) {
        self.archive = archive
        self.level = level
        threads = Monitor([])
        threads.change { list in
            list = (0..<count).map { n in WorkerThread("compress-\(n)") { [self] in guarded { try compress() } } }
            list.append(WorkerThread("archive") { [self] in guarded { try write() } })
        }
    }

    // MARK: The stream's side

    /// The end of the last segment that is archived and durable; throws what went wrong with one.
    func durable() throws -> LSN? {
        try progress.read { progress in
            if let failure = progress.failure { throw failure }
            return progress.durable
        }
    }

    /// Takes bytes of a segment, which follow those before; `isLast` says that these complete it. While every buffer is in use,
    /// `waiting` is called again and again: the server still wants its answers.
    func add(_ bytes: UnsafeRawBufferPointer, to segment: WALSegment, isLast: Bool, waiting: () throws -> Void) throws {
        var rest = bytes
        while !rest.isEmpty {
            let slot = try slot(for: segment, waiting)
            let count = min(rest.count, Self.chunk - slot.count)
            UnsafeMutableRawBufferPointer(rebasing: slot.content[slot.count..<(slot.count + count)])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
            slot.count += count
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            slot.isLast = isLast && rest.isEmpty
            guard slot.isLast || slot.count == Self.chunk else { continue }
            slot.isFilling = false
            progress.change { $0.filled += 1 }
        }
    }

    private func slot(for segment: WALSegment, _ waiting: () throws -> Void) throws -> Slot {
        while true {
            let number = try progress.read { progress -> Int? in
                if let failure = progress.failure { throw failure }
                return progress.filled - progress.written < slots.count ? progress.filled : nil
            }
            if let number {
                let slot = slots[number % slots.count]
                if !slot.isFilling {
                    slot.segment = segment
                    slot.count = 0
                    slot.isLast = false
                    slot.isFilling = true
                }
                return slot
            }
            try waiting()
            pause(milliseconds: 1)
        }
    }

    /// Waits until every segment that is complete is archived, and ends the threads. What there is of another one is dropped.
    func finish() throws -> LSN? {
        close()
        return try durable()
    }

    /// Ends the threads after what was handed over.
    func close() {
        progress.change { $0.isClosed = true }
        for thread in threads.read({ $0 }) { _ = try? thread.join() }  // failures are in `progress`
    }

    private func guarded(_ body: () throws -> Void) {
        do { try body() } catch { progress.change { if $0.failure == nil { $0.failure = error } } }
    }

    // MARK: The threads

    private func compress() throws {
        let usual = try Compressor(level)
        let fast = try Compressor(.whenBehind)
        while let (number, isPressed) = next() {
            let slot = slots[number % slots.count]
            slot.storedCount = try (isPressed ? fast : usual).compress(
                UnsafeRawBufferPointer(rebasing: slot.content[..<slot.count]), into: slot.stored)
            progress.change { $0.isCompressed[number % slots.count] = true }
        }
    }

    /// The next buffer to compress, and whether that should be done quickly: WAL that is not here yet is on the primary's disk,
    /// where it may take the room of what it needs, and nowhere else.
    private func next() -> (Int, isPressed: Bool)? {
        progress.wait { progress -> (Int, isPressed: Bool)?? in
            if progress.failure != nil { return .some(nil) }
            if progress.taken < progress.filled {
                progress.taken += 1
                let waiting = progress.filled - progress.taken
                progress.isPressed = waiting >= Self.depth / 2 || (progress.isPressed && waiting > 0)
                return (progress.taken - 1, progress.isPressed)
            }
            return progress.isClosed ? .some(nil) : nil
        }
    }

    private func write() throws {
        var number = 0
        var file: StoredSegment?
        defer { file?.discard() }
        while try isReady(number) {
            let slot = slots[number % slots.count]
            if file == nil { file = try archive.beginStoring(slot.segment!) }
            try file!.append(UnsafeRawBufferPointer(rebasing: slot.stored[..<slot.storedCount]))
            var end: LSN?
            if slot.isLast {
                try file!.commit()
                file = nil
                end = slot.segment!.end(size: archive.segmentSize)
            }
            number += 1
            progress.change { progress in
                progress.isCompressed[(number - 1) % slots.count] = false
                progress.written = number
                progress.durable = end ?? progress.durable
            }
        }
    }

    /// Waits for a buffer to be compressed; false where there is none any more.
    private func isReady(_ number: Int) throws -> Bool {
        try progress.wait { progress in
            if let failure = progress.failure { throw failure }
            if number < progress.filled { return progress.isCompressed[number % slots.count] ? true : nil }
            return progress.isClosed ? false : nil
        }
    }
}
