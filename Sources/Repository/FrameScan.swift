import PostgresModel
import Storage
import SystemPackage

/// Takes every frame that some files refer to once, with several threads, and shows it with the pieces of the files that
/// are in it. What restores, verifies and exports is a consumer of this.
///
/// After increments a file's blocks lie in the frames of many backups by turns. So files are gathered into batches, and a
/// batch's pieces are sorted by frame. Memory is bounded by the batch and by a frame for each thread.
package final class FrameScan: Sendable {
    /// Some blocks of a file.
    package struct Piece: Sendable {
        private let storedFile: UInt32
        private let storedPosition: UInt32
        package let extent: Extent

        /// An index into the batch's files.
        package var file: Int { Int(storedFile) }
        /// The number of the first block in the file.
        package var position: Int { Int(storedPosition) }

        fileprivate init(file: Int, position: Int, extent: Extent) {
            storedFile = UInt32(file)
            storedPosition = UInt32(position)
            self.extent = extent
        }
    }

    package struct Batch: Sendable {
        package fileprivate(set) var files: [MapEntry] = []
        fileprivate(set) var pieces: [Piece] = []

        /// Bytes of a piece that belong to the file: its last block may be longer than the file.
        package func count(_ piece: Piece) -> Int {
            guard case .file(let size, _, _) = files[piece.file].kind else { return 0 }
            return min(piece.extent.blocks * Frame.blockSize, size - piece.position * Frame.blockSize)
        }
    }

    /// All pieces of a batch that are in one frame.
    package struct Job: Sendable {
        package let batch: Batch
        fileprivate let range: Range<Int>

        package var pieces: ArraySlice<Piece> { batch.pieces[range] }
        package var pack: Int { batch.pieces[range.lowerBound].extent.pack }
        package var frame: Int { batch.pieces[range.lowerBound].extent.frame }
    }

    /// Made for each thread, on that thread.
    package protocol Consumer {
        mutating func take(_ job: Job, _ frames: FrameReader) throws
    }

    private struct Queue {
        var jobs: [Job] = []
        var isClosed = false
        var failure: (any Error)?
    }

    /// So many jobs may wait, so that there is always one for an idle thread.
    private static let longestQueue = 64
    /// A batch is handed out when it has so many files or pieces; a single file may have more.
    private static let mostFiles = 4096
    private static let mostPieces = 32_768

    private let queue = Monitor(Queue())
    private let batch = Monitor(Batch())
    private let threads: Monitor<[WorkerThread<Void>]>

    package init(_ reader: BackupReader, threads count: Int, consumer: @escaping @Sendable () throws -> any Consumer) throws {
        precondition(count > 0, "somebody has to take the frames")
        let packs = try reader.packSet()
        threads = Monitor([])
        threads.change { list in
            list = (0..<count).map { n in
                WorkerThread("frames-\(n)") { [self] in
                    do {
                        var consumer = try consumer()
                        let frames = try FrameReader(packs)
                        while let job = try next() { try consumer.take(job, frames) }
                    } catch {
                        queue.change { if $0.failure == nil { $0.failure = error } }
                    }
                }
            }
        }
    }

    // MARK: The caller's side

    /// Adds a file. May wait until there is room; throws what a thread threw.
    package func add(_ entry: MapEntry) throws {
        guard case .file(_, _, let extents) = entry.kind else { return }
        let full: Batch? = batch.change { batch in
            var position = 0
            for extent in extents {
                batch.pieces.append(Piece(file: batch.files.count, position: position, extent: extent))
                position += extent.blocks
            }
            var entry = entry
            if case .file(let size, let checksum, _) = entry.kind {
                entry.kind = .file(size: size, checksum: checksum, extents: [])  // the pieces have them
            }
            batch.files.append(entry)
            guard batch.files.count >= Self.mostFiles || batch.pieces.count >= Self.mostPieces else { return nil }
            defer { batch = Batch() }
            return batch
        }
        if let full { try hand(out: full) }
    }

    private func hand(out batch: Batch) throws {
        var batch = batch
        batch.pieces.sort { a, b in
            (a.extent.pack, a.extent.frame, a.file, a.position) < (b.extent.pack, b.extent.frame, b.file, b.position)
        }
        var start = 0
        for i in batch.pieces.indices {
            let (piece, next) = (batch.pieces[i], i + 1 < batch.pieces.count ? batch.pieces[i + 1] : nil)
            if let next, next.extent.pack == piece.extent.pack, next.extent.frame == piece.extent.frame { continue }
            let job = Job(batch: batch, range: start..<(i + 1))
            try queue.wait { queue -> Void? in
                if let failure = queue.failure { throw failure }
                guard queue.jobs.count < Self.longestQueue else { return nil }
                queue.jobs.append(job)
                return ()
            }
            start = i + 1
        }
    }

    /// Waits until every frame was taken; `tick` is called every now and then.
    package func finish(tick: () throws -> Void) throws {
        let rest = batch.change { batch in
            defer { batch = Batch() }
            return batch
        }
        try hand(out: rest)
        queue.change { $0.isClosed = true }
        while !threads.read({ $0.allSatisfy(\.isFinished) }) {
            try tick()
            try Interruption.check()
            pause(milliseconds: 2)
        }
        if let failure = queue.read({ $0.failure }) { throw failure }
    }

    /// Ends the threads.
    package func cancel() {
        queue.change {
            $0.jobs = []
            $0.isClosed = true
        }
        for thread in threads.read({ $0 }) { _ = try? thread.join() }  // their failures are in the queue
    }

    private func next() throws -> Job? {
        queue.wait { queue -> Job?? in
            if queue.failure != nil { return .some(nil) }
            if !queue.jobs.isEmpty { return queue.jobs.removeFirst() }
            return queue.isClosed ? .some(nil) : nil
        }
    }
}
