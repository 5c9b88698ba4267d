internal import CLinux

/// The fixed part of a WAL record (PostgreSQL: src/include/access/xlogrecord.h, XLogRecord).
struct WALRecordHeader {
    static let size = 24
    /// The part that the checksum covers, after the rest of the record.
    private static let checkedSize = 20
    /// XLogRecordMaxSize is 1020 MiB; a length beyond that is no length.
    private static let longest = 1020 << 20

    /// The 24 bytes as they are stored, because the checksum is over them.
    private let stored: (UInt64, UInt64, UInt64)

    /// `bytes` are at least `size`.
    init(_ bytes: UnsafeRawBufferPointer) {
        stored = (bytes.littleEndian(at: 0), bytes.littleEndian(at: 8), bytes.littleEndian(at: 16))
    }

    var length: Int { Int(UInt32(truncatingIfNeeded: stored.0)) }
    var transaction: TransactionID { TransactionID(rawValue: UInt32(truncatingIfNeeded: stored.0 >> 32)) }
    var previous: LSN { LSN(rawValue: stored.1) }
    var info: UInt8 { UInt8(truncatingIfNeeded: stored.2) }
    var resourceManager: UInt8 { UInt8(truncatingIfNeeded: stored.2 >> 8) }

    /// True where `body` is the checksum of everything behind the header (xlogreader.c, ValidXLogRecord).
    func isProved(byBody body: UInt32) -> Bool {
        let words = (stored.0.littleEndian, stored.1.littleEndian, stored.2.littleEndian)
        let sum = withUnsafeBytes(of: words) { pgark_crc32c(body, $0.baseAddress, Self.checkedSize) }
        return sum == UInt32(truncatingIfNeeded: stored.2 >> 32)
    }

    /// As in xlogreader.c, ValidXLogRecordHeader: stale bytes of a recycled segment fail here.
    func follows(_ last: LSN?, at start: LSN) -> Bool {
        guard length >= Self.size, length <= Self.longest else { return false }
        return if let last { previous == last } else { previous < start }
    }

    enum Meaning: Equatable {
        case commit, commitPrepared, abort, abortPrepared, restorePoint
        /// With one of these a timeline begins; the checkpoint is also an ordinary shutdown's.
        case endOfRecovery, shutdownCheckpoint
        /// The rest of the segment is not used.
        case segmentSwitch
        case other
    }

    /// By resource manager (src/include/access/rmgrlist.h: RM_XLOG_ID 0, RM_XACT_ID 1) and operation
    /// (src/include/catalog/pg_control.h, XLOG_…; src/include/access/xact.h, XLOG_XACT_… below XLOG_XACT_OPMASK).
    var meaning: Meaning {
        switch (resourceManager, info & 0xF0) {
        case (0, 0x00): .shutdownCheckpoint
        case (0, 0x90): .endOfRecovery
        case (0, 0x40): .segmentSwitch
        case (0, 0x70): .restorePoint
        case (1, _):
            switch info & 0x70 {
            case 0x00: .commit
            case 0x20: .abort
            case 0x30: .commitPrepared
            case 0x40: .abortPrepared
            default: .other
            }
        default: .other
        }
    }

    /// XLOG_XACT_HAS_INFO: a word of flags follows the time.
    var hasTransactionInfo: Bool { info & 0x80 != 0 }
}
