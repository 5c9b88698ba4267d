import PostgresModel
import Storage
import SystemPackage

/// Takes every frame that some files refer to, with several threads, and shows it with the pieces of the files that
/// are in it. What restores, verifies and exports is a consumer of this.
///
/// After increments a file's blocks lie in the frames of many backups by turns. So files are gathered into batches, and in a
/// thread's share of a batch the pieces are sorted by frame: a frame is taken once for each share that has a piece of it.
/// Memory is bounded by the batch and by a frame for each thread.
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

        /// Cuts the pieces where files begin, into so many parts at most of about the same number of blocks.
        fileprivate func shares(_ count: Int) -> [Range<Int>] {
            let blocks = pieces.reduce(0) { $0 + $1.extent.blocks }
            var (shares, start, done): ([Range<Int>], Int, Int) = ([], 0, 0)
            for i in pieces.indices {
                if i > start, pieces[i].file != pieces[i - 1].file, done >= blocks * (shares.count + 1) / count {
                    shares.append(start..<i)
                    start = i
                }
                done += pieces[i].extent.blocks
            }
            return shares + [start..<pieces.count]
        }

        /// The pieces of each frame, of sorted ones.
        fileprivate func frames(_ share: Range<Int>) -> [Range<Int>] {
            var (frames, start): ([Range<Int>], Int) = ([], share.lowerBound)
            for i in share {
                if i + 1 < share.upperBound, pieces[i + 1].extent.pack == pieces[i].extent.pack,
                    pieces[i + 1].extent.frame == pieces[i].extent.frame
                {
                    continue
                }
                frames.append(start..<(i + 1))
                start = i + 1
            }
            return frames
        }

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
        /// For each thread.
        var jobs: [[Job]]
        var isClosed = false
        var failure: (any Error)?
    }

    /// So many jobs may wait for a thread, so that there is always one for an idle one.
    private static let longestQueue = 64
    /// A batch is handed out when it has so many files or pieces; a single file may have more.
    private static let mostFiles = 4096
    package static let mostPieces = 65_536

    private let threadCount: Int
    private let mostPieces: Int
    private let queue: Monitor<Queue>
    private let batch = Monitor(Batch())
    private let threads: Monitor<[WorkerThread<Void>]>

    package init(
        _ reader: BackupReader, threads count: Int, mostPieces: Int = FrameScan.mostPieces,
        consumer: @escaping @Sendable () throws -> any Consumer
    ) throws {
        precondition(count > 0, "somebody has to take the frames")
        let packs = try reader.packSet()
        threadCount = count
        self.mostPieces = mostPieces
        queue = Monitor(Queue(jobs: Array(repeating: [], count: count)))
        threads = Monitor([])
        threads.change { list in
            list = (0..<count).map { n in
                WorkerThread("frames-\(n)") { [self] in
                    do {
                        var consumer = try consumer()
                        let frames = try FrameReader(packs)
                        while let job = next(n) { try consumer.take(job, frames) }
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
            guard batch.files.count >= Self.mostFiles || batch.pieces.count >= mostPieces else { return nil }
            defer { batch = Batch() }
            return batch
        }
        if let full { try hand(out: full) }
    }

    /// Each thread gets files of its own, because two that write to one file wait for each other.
    private func hand(out batch: Batch) throws {
        var batch = batch
        let shares = batch.shares(threadCount)
        for share in shares {
            batch.pieces[share].sort { a, b in
                (a.extent.pack, a.extent.frame, a.file, a.position) < (b.extent.pack, b.extent.frame, b.file, b.position)
            }
        }
        let frames = shares.map { batch.frames($0) }
        for i in 0..<(frames.map(\.count).max() ?? 0) {
            for thread in frames.indices where i < frames[thread].count {
                try hand(out: Job(batch: batch, range: frames[thread][i]), to: thread)
            }
        }
    }

    private func hand(out job: Job, to thread: Int) throws {
        try queue.wait { queue -> Void? in
            if let failure = queue.failure { throw failure }
            guard queue.jobs[thread].count < Self.longestQueue else { return nil }
            queue.jobs[thread].append(job)
            return ()
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
            $0.jobs = Array(repeating: [], count: threadCount)
            $0.isClosed = true
        }
        for thread in threads.read({ $0 }) { _ = try? thread.join() }  // their failures are in the queue
    }

    private func next(_ thread: Int) -> Job? {
        queue.wait { queue -> Job?? in
            if queue.failure != nil { return .some(nil) }
            if !queue.jobs[thread].isEmpty { return queue.jobs[thread].removeFirst() }
            // Another's, where that one has enough to do.
            let enough = queue.isClosed ? 1 : Self.longestQueue / 2
            if let other = queue.jobs.firstIndex(where: { $0.count >= enough }) { return queue.jobs[other].removeFirst() }
            return queue.isClosed ? .some(nil) : nil
        }
    }
}
