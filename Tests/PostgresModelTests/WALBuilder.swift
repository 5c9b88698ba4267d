import PostgresModel
import Storage

/// Writes WAL as PostgreSQL does, records over pages and segments, so that a test knows what is in it
/// (PostgreSQL: src/include/access/xlogrecord.h and xlog_internal.h).
struct WALBuilder {
    static let size = WALSegmentSize(bytes: 1 << 20)!
    static let formats: [UInt16] = [0xD110, 0xD113, 0xD116, 0xD118]
    private static let page = 8192

    let start: LSN
    let format: UInt16
    var timeline: UInt32 = 1
    private(set) var bytes: [UInt8] = []
    private(set) var landmarks: [WALLandmark] = []
    private(set) var previous: LSN

    /// Where the next byte goes.
    var position: LSN { start + bytes.count }

    init(start: LSN = LSN("0/3000000")!, format: UInt16 = 0xD118) {
        self.start = start
        self.format = format
        previous = LSN(rawValue: start.rawValue - 100)
    }

    // MARK: Pages

    struct Flags: OptionSet {
        let rawValue: UInt16
        static let continues = Flags(rawValue: 1)
        static let overwrites = Flags(rawValue: 8)
    }

    mutating func header(_ flags: Flags = [], continued: Int = 0, address: LSN? = nil) {
        let isLong = Self.size.offset(of: position) == 0
        let address = address ?? position
        bytes += .littleEndian(format) + .littleEndian(flags.rawValue | (isLong ? 2 : 0)) + .littleEndian(timeline)
        bytes += .littleEndian(address.rawValue) + .littleEndian(UInt32(continued)) + .littleEndian(UInt32(0))
        if isLong {
            bytes += .littleEndian(UInt64(7)) + .littleEndian(UInt32(Self.size.bytes)) + .littleEndian(UInt32(Self.page))
        }
    }

    /// The end of a record whose beginning is in the segment before.
    mutating func rest(of count: Int) { write([UInt8](repeating: 0xEE, count: count), isContinued: true) }

    private mutating func write(_ record: [UInt8], isContinued: Bool = false, cut: Int = 0) {
        var written = 0
        while written < record.count - cut {
            let isFirst = written == 0 && !isContinued
            if bytes.count % Self.page == 0 {
                header(isFirst ? [] : .continues, continued: isFirst ? 0 : record.count - written)
            }
            let count = min(record.count - cut - written, Self.page - bytes.count % Self.page)
            bytes += record[written..<(written + count)]
            written += count
        }
        while bytes.count % 8 != 0 { bytes.append(0) }
    }

    /// Nothing but zeros to the end of the page, or of the segment.
    mutating func zeros(toEndOf unit: Int = Self.page) {
        bytes += [UInt8](repeating: 0, count: (unit - bytes.count % unit) % unit)
    }

    // MARK: Records

    /// Returns where the record begins. `cut` leaves away its end, as a crash does.
    @discardableResult
    mutating func record(
        _ resourceManager: UInt8, _ info: UInt8, transaction: UInt32 = 0, _ body: [UInt8], previous other: LSN? = nil,
        cut: Int = 0
    ) -> LSN {
        if bytes.count % Self.page == 0 { header() }
        let begin = position
        var head: [UInt8] = .littleEndian(UInt32(24 + body.count)) + .littleEndian(transaction)
        head += .littleEndian((other ?? previous).rawValue) + [info, resourceManager, 0, 0]
        let checksum = CRC32C(body + head).value
        write(head + .littleEndian(checksum) + body, cut: cut)
        if cut == 0 { previous = begin }
        return begin
    }

    /// As XLogRecordAssemble puts it: the short header up to 255 bytes.
    static func main(_ data: [UInt8], isLong: Bool = false) -> [UInt8] {
        isLong || data.count > 255 ? [254] + .littleEndian(UInt32(data.count)) + data : [255, UInt8(data.count)] + data
    }

    mutating func filler(_ count: Int) { record(10, 0x10, transaction: 77, [UInt8](repeating: 0xAB, count: count)) }

    mutating func segmentSwitch() {
        record(0, 0x40, [])
        zeros(toEndOf: Self.size.bytes)
    }

    static func time(_ number: Int) -> Timestamp { Timestamp(seconds: 1_795_359_845 + Int64(number)) }

    mutating func restorePoint(_ name: String, _ number: Int = 0, headers: [UInt8] = [], blocks: [UInt8] = []) {
        let text = Array(name.utf8) + [UInt8](repeating: 0, count: 64 - name.utf8.count)
        let data = .littleEndian(Self.time(number).postgres) + text
        let begin = record(0, 0x70, headers + [255, 72] + blocks + data)
        note(.restorePoint(name), number, begin)
    }

    mutating func commit(_ transaction: UInt32, _ number: Int = 0, more: [UInt8] = []) {
        let begin = record(
            1, more.isEmpty ? 0 : 0x80, transaction: transaction, Self.main(.littleEndian(Self.time(number).postgres) + more))
        note(.commit(TransactionID(rawValue: transaction)), number, begin)
    }

    mutating func endOfRecovery(_ timeline: UInt32, _ number: Int = 0) {
        let data: [UInt8] = .littleEndian(Self.time(number).postgres) + .littleEndian(timeline) + .littleEndian(timeline - 1)
        let begin = record(0, 0x90, Self.main(data + .littleEndian(UInt32(1))))
        note(.timeline(TimelineID(rawValue: timeline)), number, begin)
    }

    /// CheckPoint: where it ends no recovery, both timelines are the same.
    mutating func shutdownCheckpoint(_ timeline: UInt32, before: UInt32, _ number: Int = 0) {
        var data: [UInt8] = .littleEndian(UInt64(7)) + .littleEndian(timeline) + .littleEndian(before)
        data += [UInt8](repeating: 0x11, count: 48) + .littleEndian(Int64(Self.time(number).seconds))
        let begin = record(0, 0x00, Self.main(data + [UInt8](repeating: 0, count: 16)))
        if timeline != before { note(.timeline(TimelineID(rawValue: timeline)), number, begin) }
    }

    mutating func abort(_ transaction: UInt32, _ number: Int = 0) {
        let begin = record(1, 0x20, transaction: transaction, Self.main(.littleEndian(Self.time(number).postgres)))
        note(.abort(TransactionID(rawValue: transaction)), number, begin)
    }

    /// The end of a prepared transaction with `items` entries in each list (src/include/access/xact.h).
    mutating func prepared(_ transaction: UInt32, _ number: Int = 0, isCommit: Bool, items: Int, gid: String = "gid") {
        let hasLists = items > 0
        let flags: UInt32 = (hasLists ? 1 << 1 | 1 << 2 | 1 << 8 | (isCommit ? 1 << 3 : 0) : 0) | 1 | 1 << 4 | 1 << 7
        func list(_ size: Int) -> [UInt8] { .littleEndian(UInt32(items)) + [UInt8](repeating: 0x5A, count: items * size) }
        var data: [UInt8] = .littleEndian(Self.time(number).postgres) + .littleEndian(flags) + [UInt8](repeating: 1, count: 8)
        if hasLists { data += list(4) + list(12) + list(format >= 0xD117 ? 16 : 12) + (isCommit ? list(16) : []) }
        data += .littleEndian(transaction) + Array(gid.utf8) + [0]
        let begin = record(1, (isCommit ? 0x30 : 0x40) | 0x80, Self.main(data))
        let xid = TransactionID(rawValue: transaction)
        note(isCommit ? .commit(xid) : .abort(xid), number, begin)
    }

    private mutating func note(_ kind: WALLandmark.Kind, _ number: Int, _ begin: LSN) {
        landmarks.append(WALLandmark(kind: kind, time: Self.time(number), start: begin, end: position))
    }
}

/// What a reader finds in bytes that it gets in pieces.
struct WALReading {
    private(set) var reader: WALRecordReader
    private(set) var landmarks: [WALLandmark] = []

    init(_ builder: WALBuilder, piece: () -> Int = { 1 << 24 }) { self.init(builder.bytes, from: builder.start, piece: piece) }

    init(_ bytes: [UInt8], from start: LSN, piece: () -> Int = { 1 << 24 }) {
        reader = WALRecordReader(start: start, segmentSize: WALBuilder.size)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = min(piece(), rest.count)
            Array(rest.prefix(count)).raw { bytes in reader.read(bytes) { landmarks.append($0) } }
            rest = rest.dropFirst(count)
        }
    }
}
