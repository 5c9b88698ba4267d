import PostgresModel
import Repository
import Storage
import SystemPackage

/// What threads that write files have done so far.
final class WriteProgress: Sendable {
    private let bytes = Monitor((done: 0, written: 0))

    /// Bytes that are in place, and those of them that had to be written.
    var done: Int { bytes.read { $0.done } }
    var written: Int { bytes.read { $0.written } }

    func add(done: Int, written: Int) {
        bytes.change {
            $0.done += done
            $0.written += written
        }
    }
}

/// Puts the pieces of a frame into their files. With `reuses`, blocks that are right already are left alone, and a frame
/// none of whose blocks is needed is not even decompressed.
struct FileWriter: FrameScan.Consumer {
    let destination: RestoreDestination
    let reuses: Bool
    let progress: WriteProgress
    private let owner: Owner?
    private var current: (path: String, file: File)?
    private let existing = ExistingBlocks()

    init(destination: RestoreDestination, reuses: Bool, progress: WriteProgress) {
        self.destination = destination
        self.reuses = reuses
        self.progress = progress
        owner = Owner.current.isRoot ? destination.owner : nil
    }

    mutating func take(_ job: FrameScan.Job, _ frames: FrameReader) throws {
        if reuses { return try bringUpToDate(job, frames) }
        _ = try frames.content(pack: job.pack, frame: job.frame)
        var bytes = 0
        for piece in job.pieces {
            let file = try open(piece, job.batch)
            let count = job.batch.count(piece)
            let content = UnsafeRawBufferPointer(rebasing: try frames.blocks(piece.extent)[..<count])
            try file.write(content, at: piece.position * Frame.blockSize)
            bytes += count
        }
        progress.add(done: bytes, written: bytes)
    }

    private mutating func bringUpToDate(_ job: FrameScan.Job, _ frames: FrameReader) throws {
        let sums = try frames.sums(pack: job.pack, frame: job.frame)
        var (done, written) = (0, 0)
        for piece in job.pieces {
            let file = try open(piece, job.batch)
            let count = job.batch.count(piece)
            let wrong = try existing.wrongBlocks(of: file, piece, count, sums)
            for block in wrong {
                let begin = block * Frame.blockSize
                let end = min(begin + Frame.blockSize, count)
                let content = UnsafeRawBufferPointer(rebasing: try frames.blocks(piece.extent)[begin..<end])
                try file.write(content, at: piece.position * Frame.blockSize + begin)
                written += content.count
            }
            done += count
        }
        progress.add(done: done, written: written)
    }

    private mutating func open(_ piece: FrameScan.Piece, _ batch: FrameScan.Batch) throws -> File {
        let entry = batch.files[piece.file]
        if let current, current.path == entry.path { return current.file }
        let file = try File(destination.path(of: entry.path), .update, permissions: entry.mode)
        if piece.position == 0, let owner { try file.setOwner(owner) }
        current = (entry.path, file)
        return file
    }
}

/// Compares blocks of a file with their sums.
private final class ExistingBlocks {
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Frame.capacity, alignment: 16)

    deinit { buffer.deallocate() }

    /// Blocks of a piece, counted from its first, that the file does not have as they should be.
    func wrongBlocks(of file: File, _ piece: FrameScan.Piece, _ count: Int, _ sums: [BlockSum]) throws -> [Int] {
        let blocks = piece.extent.blocks
        let found = try file.read(
            at: piece.position * Frame.blockSize, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
        // A last block that is shorter counts as filled up with zeros.
        UnsafeMutableRawBufferPointer(rebasing: buffer[found..<(blocks * Frame.blockSize)])
            .initializeMemory(as: UInt8.self, repeating: 0)
        return (0..<blocks).filter { block in
            let begin = block * Frame.blockSize
            // What is not there at all is wrong even where it should be zeros.
            guard min(begin + Frame.blockSize, count) <= found else { return true }
            let place = piece.extent.block + block
            return place >= sums.count
                || BlockSum(UnsafeRawBufferPointer(rebasing: buffer[begin..<(begin + Frame.blockSize)])) != sums[place]
        }
    }
}
