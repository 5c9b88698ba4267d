internal import CLinux

/// Reads WAL as its bytes arrive, in pieces of any length, and yields its landmarks.
///
/// A state machine without I/O, in constant memory. It begins at the start of a segment and finds the first record that
/// begins there. It ends by itself, and without an error, where valid WAL ends: at zeros, at a page that belongs
/// elsewhere, at a checksum that does not match. Everything in front of that end is proved by PostgreSQL's own checksums:
/// damage makes it end early, it does not make it lie (PostgreSQL: src/backend/access/transam/xlogreader.c,
/// XLogDecodeNextRecord and XLogFindNextRecord, whose rules these are).
package struct WALRecordReader: Sendable {
    /// The next byte to be read.
    package private(set) var position: LSN
    /// Where the last complete record begins; nil before the first.
    package private(set) var lastRecord: LSN?
    /// Where valid WAL ended: nothing that follows is looked at. Nil while it goes on.
    package private(set) var end: End?

    package enum End: Equatable, Sendable {
        /// Zeros, damage, or WAL of another place: what was written after the last valid record, if anything.
        case noMoreRecords
        /// A page of a version that we do not know, by its XLOG_PAGE_MAGIC.
        case unknownFormat(UInt16)
    }

    private enum State {
        /// Before the first page, or on a page in which no record begins.
        case seeking
        /// In the end of a record that began before us, or in the padding behind one.
        case skipping(left: Int)
        /// In a record's header, of which the bytes in `headerPieces` were on the page before.
        case header
        case body(WALRecordHeader, left: Int)
        /// Behind XLOG_SWITCH: the rest of the segment is not used.
        case switched(next: LSN)
    }

    private let segmentSize: WALSegmentSize
    private var state = State.seeking
    private var format = WALFormat.postgres18
    private var pageTimeline = TimelineID(rawValue: 0)
    private var pagePieces: [UInt8] = []
    private var headerPieces: [UInt8] = []
    /// Of the record that is being read: where it begins, the checksum and (of a landmark) the beginning of its body.
    private var recordStart = LSN.zero
    private var checksum: UInt32 = 0
    private var body: [UInt8] = []
    private var bodyLimit = 0

    /// Of most landmarks only the first bytes are needed …
    private static let shortBody = 4096
    /// … of a prepared transaction's end also what is behind its lists: room for a million subtransactions.
    private static let longBody = 8 << 20

    /// `start` must be the start of a segment.
    package init(start: LSN, segmentSize: WALSegmentSize) {
        precondition(segmentSize.offset(of: start) == 0, "WAL is read from the start of a segment")
        position = start
        self.segmentSize = segmentSize
    }

    /// Where the record begins that is being read, or the next one: what begins before has been yielded.
    package var frontier: LSN {
        switch state {
        case .body: recordStart
        case .header: headerPieces.isEmpty ? position : recordStart
        case .seeking, .skipping, .switched: position
        }
    }

    /// Reads the bytes that follow those read before.
    package mutating func read(_ bytes: UnsafeRawBufferPointer, _ found: (WALLandmark) throws -> Void) rethrows {
        var rest = bytes
        while !rest.isEmpty, end == nil {
            if case .switched(let next) = state, position < next {
                // Even the page headers are zeros there (src/backend/access/transam/xlog.c, CopyXLogRecordToWAL).
                let count = min(rest.count, next - position)
                position = position + count
                rest = rest.after(count)
                continue
            }
            let offset = Int(position.rawValue % UInt64(WALPage.size))
            let headerSize = WALPage.headerSize(at: position, segmentSize)
            let piece = rest.first(atMost: (offset < headerSize ? headerSize : WALPage.size) - offset)
            if offset < headerSize {
                readPageHeader(piece, size: headerSize)
            } else {
                try readPayload(piece, found)
            }
            rest = rest.after(piece.count)
        }
    }

    // MARK: Pages

    private mutating func readPageHeader(_ piece: UnsafeRawBufferPointer, size: Int) {
        position = position + piece.count
        if piece.count == size { return enter(WALPage(piece), size) }
        pagePieces.append(contentsOf: piece)
        guard pagePieces.count == size else { return }
        let page = pagePieces.withUnsafeBytes { WALPage($0) }
        pagePieces.removeAll(keepingCapacity: true)
        enter(page, size)
    }

    /// The header of `page` has been read; `position` is behind it.
    private mutating func enter(_ page: WALPage, _ headerSize: Int) {
        let start = LSN(rawValue: position.rawValue - UInt64(headerSize))
        if let mismatch = page.mismatch(at: start, segmentSize) {
            end = mismatch
            return
        }
        guard let known = page.format, page.timeline >= pageTimeline else { return stop() }
        format = known
        pageTimeline = page.timeline
        switch state {
        case .seeking: seek(page, room: WALPage.size - headerSize)
        case .body(_, let left): continueRecord(page, unread: left)
        case .header where !headerPieces.isEmpty: continueRecord(page, unread: lengthSoFar - headerPieces.count)
        case .header, .switched:
            if page.flags.contains(.continuesRecord) { return stop() }
            state = .header
        case .skipping: stop()  // what is skipped lies within a page
        }
    }

    /// The first record of a page begins behind the end of the one that the page continues.
    private mutating func seek(_ page: WALPage, room: Int) {
        guard page.flags.contains(.continuesRecord) else { return state = .header }
        let left = aligned(page.continued)
        state = left <= room ? .skipping(left: left) : .seeking
    }

    private mutating func continueRecord(_ page: WALPage, unread: Int) {
        if page.flags.contains(.overwritesRecord) {
            // The server crashed while it wrote this record, and went on without it (XLOG_OVERWRITE_CONTRECORD).
            headerPieces.removeAll(keepingCapacity: true)
            state = .header
        } else if !page.flags.contains(.continuesRecord) || page.continued != unread {
            stop()
        }
    }

    /// A record begins at a multiple of 8, so the length is never cut.
    private var lengthSoFar: Int { headerPieces.withUnsafeBytes { Int($0.littleEndian(at: 0) as UInt32) } }

    private mutating func stop() { end = .noMoreRecords }

    // MARK: Records

    /// `payload` lies within one page.
    private mutating func readPayload(_ payload: UnsafeRawBufferPointer, _ found: (WALLandmark) throws -> Void) rethrows {
        var rest = payload
        while !rest.isEmpty, end == nil {
            let used: Int
            switch state {
            case .seeking, .switched:
                used = rest.count
                position = position + used
            case .skipping(let left):
                used = min(left, rest.count)
                position = position + used
                state = used < left ? .skipping(left: left - used) : .header
            case .header:
                used = readHeader(rest)
            case .body(let record, let left):
                used = readBody(rest.first(atMost: left), record, left)
            }
            rest = rest.after(used)
            if case .body(let record, left: 0) = state, end == nil { try complete(record, found) }
        }
    }

    private mutating func readHeader(_ bytes: UnsafeRawBufferPointer) -> Int {
        if headerPieces.isEmpty { recordStart = position }
        let piece = bytes.first(atMost: WALRecordHeader.size - headerPieces.count)
        position = position + piece.count
        if piece.count == WALRecordHeader.size {
            begin(WALRecordHeader(piece))
        } else {
            headerPieces.append(contentsOf: piece)
            guard headerPieces.count == WALRecordHeader.size else { return piece.count }
            let record = headerPieces.withUnsafeBytes { WALRecordHeader($0) }
            headerPieces.removeAll(keepingCapacity: true)
            begin(record)
        }
        return piece.count
    }

    private mutating func begin(_ record: WALRecordHeader) {
        state = .body(record, left: record.length - WALRecordHeader.size)
        guard record.follows(lastRecord, at: recordStart) else { return stop() }
        checksum = 0
        body.removeAll(keepingCapacity: true)
        bodyLimit =
            switch record.meaning {
            case .commit, .abort, .restorePoint, .endOfRecovery, .shutdownCheckpoint: Self.shortBody
            case .commitPrepared, .abortPrepared: Self.longBody
            case .segmentSwitch, .other: 0
            }
    }

    private mutating func readBody(_ piece: UnsafeRawBufferPointer, _ record: WALRecordHeader, _ left: Int) -> Int {
        checksum = pgark_crc32c(checksum, piece.baseAddress, piece.count)
        if body.count < bodyLimit { body.append(contentsOf: piece.prefix(bodyLimit - body.count)) }
        position = position + piece.count
        state = .body(record, left: left - piece.count)
        return piece.count
    }

    private mutating func complete(_ record: WALRecordHeader, _ found: (WALLandmark) throws -> Void) rethrows {
        guard record.isProved(byBody: checksum) else { return stop() }
        lastRecord = recordStart
        if record.meaning == .segmentSwitch {
            state = .switched(next: segmentSize.start(of: recordStart) + segmentSize.bytes)
            return
        }
        let padding = aligned(record.length) - record.length
        state = padding > 0 ? .skipping(left: padding) : .header
        if bodyLimit > 0, let landmark = landmark(record, end: position + padding) { try found(landmark) }
    }

    private func landmark(_ record: WALRecordHeader, end: LSN) -> WALLandmark? {
        body.withUnsafeBytes { bytes in
            let content = WALRecordBody(bytes, length: record.length - WALRecordHeader.size)
            func ended(_ transaction: TransactionID?, _ kind: (TransactionID) -> WALLandmark.Kind) -> WALLandmark? {
                guard let transaction, let time = content.transactionTime() else { return nil }
                return WALLandmark(kind: kind(transaction), time: time, start: recordStart, end: end)
            }
            let prepared = { record.hasTransactionInfo ? content.preparedTransaction(format) : nil }
            switch record.meaning {
            case .commit: return ended(record.transaction, WALLandmark.Kind.commit)
            case .abort: return ended(record.transaction, WALLandmark.Kind.abort)
            case .commitPrepared: return ended(prepared(), WALLandmark.Kind.commit)
            case .abortPrepared: return ended(prepared(), WALLandmark.Kind.abort)
            case .restorePoint:
                return content.restorePoint().map {
                    WALLandmark(kind: .restorePoint($0.name), time: $0.time, start: recordStart, end: end)
                }
            case .endOfRecovery, .shutdownCheckpoint:
                let found = record.meaning == .endOfRecovery ? content.endOfRecovery() : content.checkpointOfNewTimeline()
                return found.map {
                    WALLandmark(kind: .timeline($0.timeline), time: $0.time, start: recordStart, end: end)
                }
            case .segmentSwitch, .other: return nil
            }
        }
    }
}

/// MAXALIGN: records begin at multiples of 8.
private func aligned(_ length: Int) -> Int { (length + 7) & ~7 }

extension UnsafeRawBufferPointer {
    func first(atMost count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: prefix(count)) }
    func after(_ count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: dropFirst(count)) }
}
