/// What follows the header of a WAL record: as much of it as a landmark needs, and not a byte more is trusted.
///
/// Layout (PostgreSQL: src/include/access/xlogrecord.h; read as src/backend/access/transam/xlogreader.c,
/// DecodeXLogRecord does): headers of blocks and of other parts, then the blocks' data, last the main data.
struct WALRecordBody {
    private let bytes: UnsafeRawBufferPointer
    /// Of the whole body; `bytes` may be only its beginning.
    private let length: Int

    init(_ bytes: UnsafeRawBufferPointer, length: Int) {
        self.bytes = bytes
        self.length = length
    }

    // MARK: Landmarks

    /// xl_restore_point: the time, then the name in 64 bytes.
    func restorePoint() -> (name: String, time: Timestamp)? {
        guard let data = mainData(), data.count >= 8 + 64, let time = time(at: data.lowerBound),
            data.lowerBound + 72 <= bytes.count
        else { return nil }
        let name = bytes[(data.lowerBound + 8)..<(data.lowerBound + 72)].prefix { $0 != 0 }
        return (String(decoding: name, as: UTF8.self), time)
    }

    /// xl_end_of_recovery (src/include/access/xlog_internal.h): the time, then the new timeline.
    func endOfRecovery() -> (timeline: TimelineID, time: Timestamp)? {
        guard let data = mainData(), let time = time(at: data.lowerBound), let timeline = word(at: data.lowerBound + 8) else {
            return nil
        }
        return (TimelineID(rawValue: timeline), time)
    }

    /// CheckPoint (src/include/catalog/pg_control.h), where it ends a recovery: this timeline and the one before, later its time,
    /// in seconds of Unix.
    func checkpointOfNewTimeline() -> (timeline: TimelineID, time: Timestamp)? {
        guard let data = mainData(), data.lowerBound + 72 <= bytes.count, let timeline = word(at: data.lowerBound + 8),
            let before = word(at: data.lowerBound + 12), timeline != before
        else { return nil }
        let seconds: Int64 = bytes.littleEndian(at: data.lowerBound + 64)
        guard seconds.magnitude < 1 << 40 else { return nil }
        return (TimelineID(rawValue: timeline), Timestamp(seconds: seconds))
    }

    /// xl_xact_commit and xl_xact_abort begin with the time.
    func transactionTime() -> Timestamp? { mainData().flatMap { time(at: $0.lowerBound) } }

    /// The number of the prepared transaction that this commit or abort ends
    /// (src/backend/access/rmgrdesc/xactdesc.c, ParseCommitRecord and ParseAbortRecord; the parts of both have the same
    /// order, an abort has no invalidations).
    func preparedTransaction(_ format: WALFormat) -> TransactionID? {
        guard let data = mainData(), let flags = word(at: data.lowerBound + 8) else { return nil }
        let hasTwoPhase: UInt32 = 1 << 4
        guard flags & hasTwoPhase != 0 else { return nil }
        var offset = data.lowerBound + 12
        if flags & 1 != 0 { offset += 8 }  // XACT_XINFO_HAS_DBINFO
        let lists: [(flag: UInt32, item: Int)] = [
            (1 << 1, 4),  // XACT_XINFO_HAS_SUBXACTS
            (1 << 2, 12),  // XACT_XINFO_HAS_RELFILELOCATORS
            (1 << 8, format.droppedStatisticsItem),  // XACT_XINFO_HAS_DROPPED_STATS
            (1 << 3, 16),  // XACT_XINFO_HAS_INVALS
        ]
        for list in lists where flags & list.flag != 0 {
            guard let count = word(at: offset) else { return nil }
            offset += 4 + Int(count) * list.item
        }
        return word(at: offset).map(TransactionID.init(rawValue:))
    }

    // MARK: Main data

    /// Where the main data is; nil where the headers do not add up.
    private func mainData() -> Range<Int>? {
        var offset = 0
        var blockBytes = 0
        while offset < bytes.count {
            let id = bytes[offset]
            switch id {
            case 255:  // XLR_BLOCK_ID_DATA_SHORT
                guard let count = byte(at: offset + 1) else { return nil }
                return range(afterHeaders: offset + 2, blockBytes, Int(count))
            case 254:  // XLR_BLOCK_ID_DATA_LONG
                guard let count = word(at: offset + 1) else { return nil }
                return range(afterHeaders: offset + 5, blockBytes, Int(count))
            case 253: offset += 3  // XLR_BLOCK_ID_ORIGIN
            case 252: offset += 5  // XLR_BLOCK_ID_TOPLEVEL_XID
            case 0...32:  // XLR_MAX_BLOCK_ID
                guard let block = block(at: offset) else { return nil }
                offset += block.header
                blockBytes += block.data
            default: return nil
            }
        }
        return nil
    }

    /// The main data is the record's last part, and nothing is between the parts.
    private func range(afterHeaders headers: Int, _ blockBytes: Int, _ count: Int) -> Range<Int>? {
        guard headers + blockBytes + count == length else { return nil }
        return (length - count)..<length
    }

    /// The size of a block's header, and of its image and data together.
    private func block(at start: Int) -> (header: Int, data: Int)? {
        guard let flags = byte(at: start + 1), let dataLength = half(at: start + 2) else { return nil }
        var offset = start + 4
        var data = Int(dataLength)
        if flags & 0x10 != 0 {  // BKPBLOCK_HAS_IMAGE
            guard let imageLength = half(at: offset), let image = byte(at: offset + 4) else { return nil }
            data += Int(imageLength)
            offset += 5
            let hasHole = image & 0x01 != 0
            let isCompressed = image & (0x04 | 0x08 | 0x10) != 0  // BKPIMAGE_COMPRESS_PGLZ, _LZ4, _ZSTD
            if hasHole && isCompressed { offset += 2 }  // XLogRecordBlockCompressHeader
        }
        if flags & 0x80 == 0 { offset += 12 }  // unless BKPBLOCK_SAME_REL: RelFileLocator
        return (offset + 4 - start, data)  // BlockNumber
    }

    // MARK: Numbers, nil where the bytes end before them

    private func byte(at offset: Int) -> UInt8? { offset < bytes.count ? bytes[offset] : nil }
    private func half(at offset: Int) -> UInt16? { offset + 2 <= bytes.count ? bytes.littleEndian(at: offset) : nil }
    private func word(at offset: Int) -> UInt32? { offset + 4 <= bytes.count ? bytes.littleEndian(at: offset) : nil }
    private func time(at offset: Int) -> Timestamp? {
        guard offset + 8 <= bytes.count else { return nil }
        // Any 64 bits may be there; only what keeps its distance from the ends can be counted from another epoch.
        let value: Int64 = bytes.littleEndian(at: offset)
        return value.magnitude < 1 << 62 ? Timestamp(postgres: value) : nil
    }
}
