/// The size of a WAL segment file: fixed by initdb --wal-segsize, a power of two from 1 MiB to 1 GiB.
package struct WALSegmentSize: Hashable, Sendable, Codable {
    package let bytes: Int

    package init?(bytes: Int) {
        guard bytes >= 1 << 20, bytes <= 1 << 30, bytes & (bytes - 1) == 0 else { return nil }
        self.bytes = bytes
    }

    /// Parses what SHOW wal_segment_size prints: a number and its unit, "16MB" or "1GB".
    package init?(setting text: String) {
        let units = ["kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30]
        for (unit, factor) in units where text.hasSuffix(unit) {
            guard let number = Int(text.dropLast(2)), number <= 1 << 30 else { return nil }
            self.init(bytes: number * factor)
            return
        }
        return nil
    }

    package init(from decoder: any Decoder) throws {
        let bytes = try decoder.singleValueContainer().decode(Int.self)
        guard let size = WALSegmentSize(bytes: bytes) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "\(bytes) is not a WAL segment size"))
        }
        self = size
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(bytes)
    }

    package var segmentsPerLogFile: UInt64 { 0x1_0000_0000 / UInt64(bytes) }
    package func start(of lsn: LSN) -> LSN { LSN(rawValue: lsn.rawValue & ~UInt64(bytes - 1)) }
    package func offset(of lsn: LSN) -> Int { Int(lsn.rawValue & UInt64(bytes - 1)) }
}

/// One WAL segment file of one timeline (PostgreSQL: src/include/access/xlog_internal.h, XLogFileName).
package struct WALSegment: Hashable, Sendable {
    package let timeline: TimelineID
    package let number: UInt64

    package init(timeline: TimelineID, number: UInt64) {
        self.timeline = timeline
        self.number = number
    }

    /// The segment that holds the byte at `position`.
    package init(timeline: TimelineID, holding position: LSN, size: WALSegmentSize) {
        self.init(timeline: timeline, number: position.rawValue / UInt64(size.bytes))
    }

    /// The last segment needed to have everything before `end`: an end on a boundary needs nothing of the segment
    /// that begins there.
    package init(timeline: TimelineID, endingAt end: LSN, size: WALSegmentSize) {
        self.init(timeline: timeline, number: (max(end.rawValue, 1) - 1) / UInt64(size.bytes))
    }

    /// Parses the 24 hexadecimal digits of a segment's file name.
    package init?(name: Substring, size: WALSegmentSize) {
        var timeline: UInt32 = 0
        var position: UInt64 = 0
        var count = 0
        for byte in name.utf8 {
            guard let digit = byte.hexDigit, byte < UInt8(ascii: "a"), count < 24 else { return nil }
            if count < 8 { timeline = timeline << 4 | UInt32(digit) } else { position = position << 4 | UInt64(digit) }
            count += 1
        }
        let (file, part) = (position >> 32, position & 0xFFFF_FFFF)
        guard count == 24, timeline > 0, part < size.segmentsPerLogFile else { return nil }
        let number = file * size.segmentsPerLogFile + part
        guard number < UInt64.max / UInt64(size.bytes) else { return nil }  // its end would be no position
        self.init(timeline: TimelineID(rawValue: timeline), number: number)
    }

    package init?(name: String, size: WALSegmentSize) { self.init(name: name[...], size: size) }

    package func name(size: WALSegmentSize) -> String {
        hexadecimal(timeline.rawValue) + hexadecimal(UInt32(number / size.segmentsPerLogFile))
            + hexadecimal(UInt32(number % size.segmentsPerLogFile))
    }

    package func start(size: WALSegmentSize) -> LSN { LSN(rawValue: number * UInt64(size.bytes)) }
    package func end(size: WALSegmentSize) -> LSN { LSN(rawValue: (number + 1) * UInt64(size.bytes)) }
    package var next: WALSegment { WALSegment(timeline: timeline, number: number + 1) }
}
