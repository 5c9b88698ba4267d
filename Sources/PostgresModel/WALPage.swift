/// What every page of the WAL begins with
/// (PostgreSQL: src/include/access/xlog_internal.h, XLogPageHeaderData and XLogLongPageHeaderData).
struct WALPage {
    /// XLOG_BLCKSZ; the long header of each segment repeats it.
    static let size = 8192
    static let shortHeader = 24
    static let longHeader = WALPageHeader.size

    /// The value of XLOG_PAGE_MAGIC, which changes when the format does.
    let magic: UInt16
    /// Nil where the magic is of no version that we know.
    let format: WALFormat?
    let flags: Flags
    let timeline: TimelineID
    let address: LSN
    /// xlp_rem_len: so many bytes of this page and those after it belong to a record begun before.
    let continued: Int
    /// Of a long header only.
    let segmentSize: Int?
    let blockSize: Int?

    struct Flags: OptionSet {
        let rawValue: UInt16
        static let continuesRecord = Flags(rawValue: 0x0001)
        static let longHeader = Flags(rawValue: 0x0002)
        static let removable = Flags(rawValue: 0x0004)
        /// The record that should continue here was given up after a crash; another one begins instead.
        static let overwritesRecord = Flags(rawValue: 0x0008)
        static let known: Flags = [.continuesRecord, .longHeader, .removable, .overwritesRecord]
    }

    static func headerSize(at position: LSN, _ segmentSize: WALSegmentSize) -> Int {
        segmentSize.offset(of: position) < size ? longHeader : shortHeader
    }

    /// `header` is as long as `headerSize` says.
    init(_ header: UnsafeRawBufferPointer) {
        magic = header.littleEndian(at: 0)
        format = WALFormat(rawValue: magic)
        flags = Flags(rawValue: header.littleEndian(at: 2))
        timeline = TimelineID(rawValue: header.littleEndian(at: 4))
        address = LSN(rawValue: header.littleEndian(at: 8))
        continued = Int(header.littleEndian(at: 16) as UInt32)
        let isLong = header.count >= Self.longHeader
        segmentSize = isLong ? Int(header.littleEndian(at: 32) as UInt32) : nil
        blockSize = isLong ? Int(header.littleEndian(at: 36) as UInt32) : nil
    }

    /// Nil where this is the page that is due at `position`; otherwise what its place in the WAL ends with
    /// (xlogreader.c, XLogReaderValidatePageHeader).
    func mismatch(at position: LSN, _ size: WALSegmentSize) -> WALRecordReader.End? {
        let isLong = size.offset(of: position) == 0
        guard flags.isSubset(of: .known), flags.contains(.longHeader) == isLong, address == position,
            !isLong || (segmentSize == size.bytes && blockSize == Self.size)
        else { return .noMoreRecords }
        return format == nil ? .unknownFormat(magic) : nil
    }
}

/// The formats of WAL that we read, by XLOG_PAGE_MAGIC of the released versions.
enum WALFormat: UInt16 {
    case postgres15 = 0xD110
    case postgres16 = 0xD113
    case postgres17 = 0xD116
    case postgres18 = 0xD118

    var serverMajor: Int {
        switch self {
        case .postgres15: 15
        case .postgres16: 16
        case .postgres17: 17
        case .postgres18: 18
        }
    }

    /// sizeof(xl_xact_stats_item): the object's number has 64 bits since PostgreSQL 18 (src/include/access/xact.h).
    var droppedStatisticsItem: Int {
        switch self {
        case .postgres15, .postgres16, .postgres17: 12
        case .postgres18: 16
        }
    }
}
