import PostgresModel
import Storage

/// What threads that check frames found, together.
final class FrameFindings: Sendable {
    private struct Findings {
        var problems: [String: Verification.Problem] = [:]
        var frames: Set<DamageReport.Frame> = []
        /// Of files in the batches under way: what their checksums come to so far, and blocks still to come.
        var files: [String: (checksum: UInt32, blocksLeft: Int)] = [:]
        var bytes = 0
    }

    private let record: BackupRecord
    private let findings = Monitor(Findings())

    init(record: BackupRecord) { self.record = record }

    var bytes: Int { findings.read { $0.bytes } }
    var problems: [Verification.Problem] { findings.read { Array($0.problems.values) } }
    var frames: [DamageReport.Frame] { findings.read { $0.frames.sorted { ($0.pack, $0.frame) < ($1.pack, $1.frame) } } }

    /// Whether it was found when the backup was taken: bad on the server, or to be written anew by recovery.
    func isKnown(_ page: BackupRecord.BadPage) -> Bool { record.badPages.contains(page) || record.tornPages.contains(page) }
    var hasPageChecksums: Bool { record.dataChecksums }
    var begin: LSN { record.beginLSN }

    /// Of several problems of a file the one with the first block is reported.
    func note(_ path: String, _ block: Int?, _ message: String) {
        findings.change { findings in
            if let known = findings.problems[path], (known.block ?? Int.max) <= (block ?? Int.max) { return }
            findings.problems[path] = .init(backup: record.id, file: path, block: block, message: message)
        }
    }

    func note(damaged frame: DamageReport.Frame) { findings.change { _ = $0.frames.insert(frame) } }

    func count(_ bytes: Int) { findings.change { $0.bytes += bytes } }

    /// Adds a piece's part to its file's checksum, which is compared when the last piece is there. Pieces come in any order.
    func add(_ piece: FrameScan.Piece, of entry: MapEntry, checksum part: UInt32, count: Int) {
        guard case .file(let size, let expected, _) = entry.kind else { return }
        let after = size - piece.position * Frame.blockSize - count
        let isWrong = findings.change { findings in
            var file = findings.files[entry.path] ?? (0, MapEntry.blocks(ofSize: size))
            file.checksum ^= CRC32C.shifted(part, by: after)
            file.blocksLeft -= piece.extent.blocks
            findings.files[entry.path] = file.blocksLeft > 0 ? file : nil
            return file.blocksLeft == 0 && file.checksum != expected
        }
        if isWrong { note(entry.path, nil, "its content is not what the server sent") }
    }
}

/// Checks one frame, and where that is asked for its blocks, and the pages and files that they belong to.
struct FrameCheck: FrameScan.Consumer {
    let findings: FrameFindings
    let checked: CheckedFrames
    let deep: Bool

    func take(_ job: FrameScan.Job, _ frames: FrameReader) throws {
        defer { findings.count(job.pieces.reduce(0) { $0 + job.batch.count($1) }) }
        let frame = DamageReport.Frame(pack: frames.packName(job.pack), frame: job.frame)
        do {
            // Whether a page is good is a question only of depth, and to what has pages with checksums.
            let blocks = deep && findings.hasPageChecksums ? job.pieces.reduce(0) { $0 | $1.extent.bits } : UInt64.max
            switch checked.finding(frame, blocks: blocks) {
            case .bad(let message): throw Failure(.damaged, message)
            case .good: if deep { try addChecksums(job, frames) }
            case nil:
                if !deep {
                    try frames.check(pack: job.pack, frame: job.frame)
                } else if try !checkContent(job, frames) {
                    return  // a page is wrong in a frame that is right: every backup that has it is to say so
                }
                checked.note(frame, .good(blocks))
            }
        } catch let failure as Failure where failure.code == .damaged || failure.code == .inputOutput {
            checked.note(frame, .bad(failure.message))
            findings.note(damaged: frame)
            for piece in job.pieces {
                let path = job.batch.files[piece.file].path
                findings.note(
                    path, RelationFile.firstBlock(ofPath: path).map { Int($0) + piece.position }, failure.message)
            }
        }
    }

    /// False where a page is not right.
    private func checkContent(_ job: FrameScan.Job, _ frames: FrameReader) throws -> Bool {
        let content = try frames.content(pack: job.pack, frame: job.frame)
        for (number, sum) in try frames.sums(pack: job.pack, frame: job.frame).enumerated() {
            let start = number * Frame.blockSize
            guard BlockSum(UnsafeRawBufferPointer(rebasing: content[start..<(start + Frame.blockSize)])) == sum else {
                throw Failure(.damaged, "block \(number) of frame \(job.frame) is not what was stored")
            }
        }
        var isRight = true
        for piece in job.pieces {
            let bytes = try frames.blocks(piece.extent)
            try add(piece, job.batch, bytes)
            if let block = badPage(piece, job.batch, bytes) {
                findings.note(job.batch.files[piece.file].path, block, "the page's checksum does not match its content")
                isRight = false
            }
        }
        return isRight
    }

    /// Another backup has this frame too, and its content was checked then: the files' checksums follow from the blocks'.
    private func addChecksums(_ job: FrameScan.Job, _ frames: FrameReader) throws {
        let sums = try frames.sums(pack: job.pack, frame: job.frame)
        for piece in job.pieces {
            let count = job.batch.count(piece)
            let blocks = piece.extent.block..<(piece.extent.block + piece.extent.blocks)
            if count == blocks.count * Frame.blockSize, blocks.upperBound <= sums.count {
                let checksum = sums[blocks].reduce(UInt32(0)) { CRC32C.joined($0, $1.crc, count: Frame.blockSize) }
                findings.add(piece, of: job.batch.files[piece.file], checksum: checksum, count: count)
            } else {
                try add(piece, job.batch, try frames.blocks(piece.extent))
            }
        }
    }

    private func add(_ piece: FrameScan.Piece, _ batch: FrameScan.Batch, _ bytes: UnsafeRawBufferPointer) throws {
        let count = batch.count(piece)
        let checksum = CRC32C(UnsafeRawBufferPointer(rebasing: bytes[..<count])).value
        findings.add(piece, of: batch.files[piece.file], checksum: checksum, count: count)
    }

    /// The first page whose PostgreSQL checksum is wrong, leaving out those that were known when the backup was taken.
    private func badPage(_ piece: FrameScan.Piece, _ batch: FrameScan.Batch, _ bytes: UnsafeRawBufferPointer) -> Int? {
        let entry = batch.files[piece.file]
        guard findings.hasPageChecksums, let first = RelationFile.firstBlock(ofPath: entry.path) else { return nil }
        for i in 0..<(batch.count(piece) / Frame.blockSize) {
            let start = i * Frame.blockSize
            let page = UnsafeRawBufferPointer(rebasing: bytes[start..<(start + Frame.blockSize)])
            let block = Int(first) + piece.position + i
            if RelationFile.check(page, block: UInt32(block), backupBegin: findings.begin) == .bad,
                !findings.isKnown(.init(path: entry.path, block: block))
            {
                return block
            }
        }
        return nil
    }
}
