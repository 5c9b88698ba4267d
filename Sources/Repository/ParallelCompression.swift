import PostgresModel
import Storage

/// Compresses a file's content with several threads: pieces of 1 MiB, each a zstd frame of its own, shown in order.
///
/// Memory is a few pieces, whatever the file's size.
final class ParallelCompression: Sendable {
    /// Large enough to compress nearly as well as a whole segment.
    private static let piece = 1 << 20

    /// SAFETY of `@unchecked Sendable`: `Progress` gives each slot to one thread at a time.
    private final class Slot: @unchecked Sendable {
        let stored = UnsafeMutableRawBufferPointer.allocate(byteCount: Compressor.bound(piece), alignment: 16)
        var count = 0
        deinit { stored.deallocate() }
    }

    private struct Progress {
        var taken = 0
        var shown = 0
        var isCompressed: [Bool]
        var failure: (any Error)?
    }

    private let source: File
    private let pieces: Int
    private let slots: [Slot]
    private let progress: Monitor<Progress>

    private init(_ source: File, size: Int, depth: Int) {
        self.source = source
        pieces = size / Self.piece
        slots = (0..<depth).map { _ in Slot() }
        progress = Monitor(Progress(isCompressed: Array(repeating: false, count: depth)))
    }

    /// `size` is a multiple of the piece: a WAL segment's is.
    static func run(
        _ source: File, size: Int, level: CompressionLevel, threads count: Int = standardThreadCount,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let work = ParallelCompression(source, size: size, depth: 2 * count)
        let threads = (0..<count).map { n in WorkerThread("compress-\(n)") { work.guarded { try work.compress(level) } } }
        defer {
            work.progress.change { $0.taken = work.pieces }
            for thread in threads { _ = try? thread.join() }  // failures are in `progress`
        }
        for number in 0..<work.pieces { try work.show(number, body) }
    }

    private func guarded(_ body: () throws -> Void) {
        do { try body() } catch { progress.change { if $0.failure == nil { $0.failure = error } } }
    }

    // MARK: The threads

    private func compress(_ level: CompressionLevel) throws {
        let compressor = try Compressor(level)
        let content = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.piece, alignment: 16)
        defer { content.deallocate() }
        while let number = next() {
            let count = try source.read(at: number * Self.piece, into: content)
            guard count == Self.piece else {
                let size = number * Self.piece + count
                throw Failure(.damaged, "could not archive \(source.path): it has \(size) of \(pieces * Self.piece) bytes")
            }
            let slot = slots[number % slots.count]
            slot.count = try compressor.compress(UnsafeRawBufferPointer(content), into: slot.stored)
            progress.change { $0.isCompressed[number % slots.count] = true }
        }
    }

    private func next() -> Int? {
        progress.wait { progress -> Int?? in
            if progress.failure != nil || progress.taken >= pieces { return .some(nil) }
            guard progress.taken - progress.shown < slots.count else { return nil }
            progress.taken += 1
            return progress.taken - 1
        }
    }

    // MARK: The caller's

    private func show(_ number: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let slot = try progress.wait { progress -> Slot? in
            if let failure = progress.failure { throw failure }
            return progress.isCompressed[number % slots.count] ? slots[number % slots.count] : nil
        }
        try body(UnsafeRawBufferPointer(rebasing: slot.stored[..<slot.count]))
        progress.change {
            $0.isCompressed[number % slots.count] = false
            $0.shown = number + 1
        }
    }
}
