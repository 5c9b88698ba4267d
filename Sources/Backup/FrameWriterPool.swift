import PostgresModel
import Repository
import Storage
import SystemPackage

/// Writes files from frames with several threads: each takes a frame, decompresses it once, and puts its pieces in
/// their places, whatever files they belong to.
final class FrameWriterPool: Sendable {
    private struct Piece: Sendable {
        let path: FilePath
        let mode: UInt32
        let offset: Int
        let extent: Extent
    }

    private struct Queue {
        var jobs: [[Piece]] = []
        var isClosed = false
        var failure: (any Error)?
        var writtenBytes = 0
    }

    /// So many frames may wait; a job is a few hundred bytes.
    private static let longestQueue = 64

    private let queue = Monitor(Queue())
    private let pending = Monitor<[Piece]>([])
    private let owner: Owner?
    private let threads: Monitor<[WorkerThread<Void>]>

    init(_ reader: BackupReader, owner: Owner, threads count: Int) throws {
        self.owner = Owner.current.isRoot ? owner : nil
        threads = Monitor([])
        threads.change { list in
            list = (0..<count).map { n in
                WorkerThread("restore-\(n)") { [self] in
                    do {
                        let frames = try reader.frames()
                        while let job = try next() { try write(job, frames) }
                    } catch {
                        queue.change { if $0.failure == nil { $0.failure = error } }
                    }
                }
            }
        }
    }

    var writtenBytes: Int { queue.read { $0.writtenBytes } }

    /// Writes a file's content; an empty file is made at once.
    func write(_ extents: [Extent], to path: FilePath, mode: UInt32) throws {
        if extents.isEmpty {
            let file = try File(path, .replace, permissions: mode)
            if let owner { try file.setOwner(owner) }
            return
        }
        var offset = 0
        for extent in extents {
            let piece = Piece(path: path, mode: mode, offset: offset, extent: extent)
            let full: [Piece]? = pending.change { pending in
                guard let first = pending.first, first.extent.pack != extent.pack || first.extent.frame != extent.frame else {
                    pending.append(piece)
                    return nil
                }
                defer { pending = [piece] }
                return pending
            }
            if let full { try submit(full) }
            offset += extent.length
        }
    }

    private func submit(_ job: [Piece]) throws {
        try queue.wait { queue -> Void? in
            if let failure = queue.failure { throw failure }
            guard queue.jobs.count < Self.longestQueue else { return nil }
            queue.jobs.append(job)
            return ()
        }
    }

    /// Waits for everything to be written; `tick` sees the bytes written so far.
    func finish(tick: (Int) -> Void) throws {
        let rest = pending.change { pending in
            defer { pending = [] }
            return pending
        }
        if !rest.isEmpty { try submit(rest) }
        queue.change { $0.isClosed = true }
        while !threads.read({ $0.allSatisfy(\.isFinished) }) {
            tick(writtenBytes)
            if Interruption.isRequested { cancel() }
            pause(milliseconds: 5)
        }
        try Interruption.check()
        if let failure = queue.read({ $0.failure }) { throw failure }
    }

    func cancel() {
        queue.change {
            $0.jobs = []
            $0.isClosed = true
        }
        for thread in threads.read({ $0 }) { _ = try? thread.join() }  // their failures are in the queue
    }

    private func next() throws -> [Piece]? {
        queue.wait { queue -> [Piece]?? in
            if queue.failure != nil { return .some(nil) }
            if !queue.jobs.isEmpty { return queue.jobs.removeFirst() }
            return queue.isClosed ? .some(nil) : nil
        }
    }

    private func write(_ job: [Piece], _ frames: FrameReader) throws {
        var bytes = 0
        for piece in job {
            let file = try File(piece.path, .update, permissions: piece.mode)
            if piece.offset == 0, let owner { try file.setOwner(owner) }
            try frames.bytes(piece.extent) { try file.write($0, at: piece.offset) }
            bytes += piece.extent.length
        }
        queue.change { $0.writtenBytes += bytes }
    }
}
