import PostgresModel
import Repository
import Storage

/// Compresses complete segments into the archive, on a thread of its own, so that receiving does not wait for it.
final class SegmentArchiver: Sendable {
    private struct Queue {
        var segments: [WALSegment]
        var isClosed = false
        var failure: (any Error)?
    }

    /// So many complete segments may wait before receiving waits too; they wait on disk.
    private static let longestQueue = 16

    private let archive: WALArchive
    private let level: CompressionLevel
    private let queue: Monitor<Queue>
    private let thread: WorkerThread<Void>

    /// Begins with what an earlier run left complete but not archived.
    init(_ archive: WALArchive, level: CompressionLevel) throws {
        let queue = Monitor(Queue(segments: try archive.waiting()))
        self.queue = queue
        self.archive = archive
        self.level = level
        thread = WorkerThread("archive-wal") {
            do {
                while let segment = queue.wait({ queue -> WALSegment?? in
                    if let first = queue.segments.first { return first }
                    return queue.isClosed ? .some(nil) : nil
                }) {
                    try archive.archive(segment, level: level)
                    queue.change { _ = $0.segments.removeFirst() }
                }
            } catch {
                queue.change { $0.failure = error }
            }
        }
    }

    /// For segments that go into the archive as they arrive.
    func direct() -> DirectArchiver { DirectArchiver(archive, level: level) }

    /// False where too many wait already. Throws what went wrong with an earlier segment; that one stays in `incoming`.
    func add(_ segment: WALSegment) throws -> Bool {
        try queue.change { queue in
            if let failure = queue.failure { throw failure }
            guard queue.segments.count < Self.longestQueue else { return false }
            queue.segments.append(segment)
            return true
        }
    }

    /// Waits until everything is archived.
    func finish() throws {
        close()
        if let failure = queue.read({ $0.failure }) { throw failure }
    }

    /// Ends the thread after what is queued.
    func close() {
        queue.change { $0.isClosed = true }
        _ = try? thread.join()  // its failure is in the queue
    }
}
