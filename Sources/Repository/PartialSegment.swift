package import PostgresModel
import Storage
import SystemPackage

/// The segment that is being received: `incoming/NAME.partial`.
///
/// Its bytes lie where they lie in the segment. Behind them may be zeros (`RoomAhead`), so the file's size says how much was
/// received only where no mark (`ReceivedMark`) names this segment. A mark that does is durable before the first zero is written,
/// and where a stream ends in order the file ends with its bytes: only a live or a killed receiver's is longer.
package final class PartialSegment {
    private let archive: WALArchive
    private let segment: WALSegment
    private let file: File
    private var room: RoomAhead
    private var marks: ReceivedMarkFile?
    /// What the mark says: everything before it was durable here once.
    package private(set) var marked = LSN.zero
    private var synchronized = 0

    /// The name is durable when this returns, so that syncing the content is enough to keep it. What is there already stays; it
    /// ends with its bytes (`WALArchive.removeLeftovers` saw to that).
    fileprivate init(_ archive: WALArchive, _ segment: WALSegment) throws {
        self.archive = archive
        self.segment = segment
        file = try File(archive.partialPath(segment), .update, permissions: Repository.filePermissions)
        try Directory.synchronize(archive.incoming)
        room = RoomAhead(segmentBytes: archive.segmentSize.bytes, size: try file.size)
        if let position = try archive.mark(of: segment) {
            marks = try ReceivedMarkFile(archive.markPath(segment.timeline))
            marked = position
        }
    }

    package func bytes(at offset: Int, count: Int) throws -> [UInt8] { try file.bytes(at: offset, count: count) }

    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws { try file.write(bytes, at: offset) }

    /// Makes what was written durable, which is everything before `received`, and then marks that.
    package func synchronize(received: Int) throws {
        try file.synchronize()
        if marks != nil { try mark(received) }
    }

    /// A mark never goes back: what was durable once stays so.
    private func mark(_ received: Int) throws {
        let position = segment.start(size: archive.segmentSize) + received
        guard position > marked else { return }
        try marks?.write(ReceivedMark(timeline: segment.timeline, position: position))
        marked = position
    }

    /// Where it pays, makes room for what comes next: to be called after `synchronize`, when nobody waits for that any more.
    package func makeRoom(received: Int) throws {
        defer { synchronized = received }
        guard let zeros = room.needed(received: received, batch: received - synchronized) else { return }
        if marks == nil {
            marks = try ReceivedMarkFile(archive.markPath(segment.timeline))
            try mark(received)
            try marks?.synchronize()
        }
        do {
            try file.writeZeros(from: zeros.lowerBound, count: zeros.count)
            room.didWrite(zeros)
        } catch let failure as Failure where failure.code == .diskFull {
            // Room is not worth an error: there may be space for the WAL itself.
            return try file.truncate(to: room.giveUp(received: received))
        }
        try file.synchronize()
    }

    /// The stream ends within this segment: from now on the size says how much there is of it. Durable when it returns.
    package func end(received: Int) throws {
        let size = room.giveUp(received: received)
        guard try file.size > size else { return }
        try file.truncate(to: size)
        try file.synchronize()
    }
}

extension WALArchive {
    package func openPartial(_ segment: WALSegment) throws -> PartialSegment { try PartialSegment(self, segment) }

    func markPath(_ timeline: TimelineID) -> FilePath { incoming.appending("\(hexadecimal(timeline.rawValue)).received") }

    /// Up to where this segment was received, where its timeline's mark is of this segment. A damaged mark may be of any.
    fileprivate func mark(of segment: WALSegment) throws -> LSN? {
        let start = segment.start(size: segmentSize)
        switch try ReceivedMarkFile.read(markPath(segment.timeline)) {
        case .none: return nil
        case .damaged: return start
        case .mark(let mark):
            let isOfThis =
                mark.timeline == segment.timeline && mark.position > start && mark.position <= segment.end(size: segmentSize)
            return isOfThis ? mark.position : nil
        }
    }

    /// How many bytes an unfinished segment has; nil where it is not in `incoming`, or no longer.
    ///
    /// Known are those that the mark and the moment name. What lies behind them without a hole counts too: after a power cut the mark
    /// may be behind, and of what was not synced later pages may have come to disk and earlier ones not. So this is never less than
    /// what was acknowledged, but after a power cut for zeros at the end of that, of its last second: who gets the segment gets it
    /// filled up with zeros.
    func receivedBytes(of segment: WALSegment) throws -> Int? {
        guard let file = try raw(partialPath(segment)) else { return nil }
        // In this order: zeros come after the mark, so where there is none yet, this size is without them.
        let size = try file.size
        let start = segment.start(size: segmentSize), mark = try mark(of: segment)
        let moment = try moment(of: segment.timeline).map { min($0.durableLSN, segment.end(size: segmentSize)) }
        let known = min(max(mark ?? start, moment ?? start, start) - start, size)
        return try mark == nil
            ? Self.endOfPages(file, from: known, to: size, start) : Self.endOfContent(file, from: known, start)
    }

    /// The begin of the first page behind `known` that is none, or `size`.
    private static func endOfPages(_ file: File, from known: Int, to size: Int, _ start: LSN) throws -> Int {
        let page = WALPageHeader.pageSize
        return try withUnsafeTemporaryAllocation(byteCount: 24, alignment: 8) { buffer in
            // A page that was begun before `known` has its header.
            for offset in stride(from: (known + page - 1) / page * page, to: size, by: page) {
                let header = UnsafeRawBufferPointer(rebasing: buffer[..<(try file.read(at: offset, into: buffer))])
                if header.count == buffer.count, !WALPageHeader.isPage(header, at: start + offset) { return offset }
            }
            return size
        }
    }

    /// The end of the last byte that is not zero, on the pages that lie there without a hole. Before `known` is WAL for certain;
    /// behind it there is more where a power cut took the mark back, or where the receiver is just writing.
    private static func endOfContent(_ file: File, from known: Int, _ start: LSN) throws -> Int {
        try withUnsafeTemporaryAllocation(byteCount: WALPageHeader.pageSize, alignment: 16) { buffer in
            var end = known
            var offset = known / buffer.count * buffer.count
            while true {
                let count = try file.read(at: offset, into: buffer)
                let page = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                // A page that was begun before `known` has its header.
                guard count > 0, offset < known || WALPageHeader.isPage(page, at: start + offset) else { return end }
                if let last = page.lastIndex(where: { $0 != 0 }) { end = max(end, offset + last + 1) }
                offset += count
            }
        }
    }
}
