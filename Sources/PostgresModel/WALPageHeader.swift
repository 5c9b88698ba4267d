/// The long header of a segment's first page, which says whose WAL this is
/// (PostgreSQL: src/include/access/xlog_internal.h, XLogLongPageHeaderData).
package struct WALPageHeader: Equatable, Sendable {
    package static let size = 40
    package static let pageSize = WALPage.size

    /// Nil where the format is of no version that we know.
    package let serverMajor: Int?
    package let timeline: TimelineID
    package let start: LSN
    package let systemIdentifier: SystemIdentifier
    package let segmentSize: Int

    /// Nil where the bytes are not the first page of a segment.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        let isLong: UInt16 = 0x0002  // XLP_LONG_HEADER
        guard bytes.count >= Self.size, (bytes.littleEndian(at: 2) as UInt16) & isLong != 0 else { return nil }
        serverMajor = WALFormat(rawValue: bytes.littleEndian(at: 0))?.serverMajor
        timeline = TimelineID(rawValue: bytes.littleEndian(at: 4))
        start = LSN(rawValue: bytes.littleEndian(at: 8))
        systemIdentifier = SystemIdentifier(rawValue: bytes.littleEndian(at: 24))
        segmentSize = Int(bytes.littleEndian(at: 32) as UInt32)
    }

    /// Why this is not the segment it should be; nil where it is.
    package func mismatch(segment: WALSegment, size: WALSegmentSize, system: SystemIdentifier) -> String? {
        if systemIdentifier != system { return "it belongs to system \(systemIdentifier), not to \(system)" }
        if segmentSize != size.bytes { return "its segment size is \(segmentSize), not \(size.bytes)" }
        if start != segment.start(size: size) { return "it begins at \(start), not at \(segment.start(size: size))" }
        // A segment copied at a timeline switch keeps the pages, and so the timeline, of its parent.
        if timeline > segment.timeline { return "it is of timeline \(timeline), not \(segment.timeline)" }
        return nil
    }

    /// True where a page begins that belongs at `position` (xlogreader.c, XLogReaderValidatePageHeader, of which this is the
    /// part that tells a page from none).
    package static func isPage(_ bytes: UnsafeRawBufferPointer, at position: LSN) -> Bool {
        bytes.count >= WALPage.shortHeader && bytes.littleEndian(at: 0) as UInt16 != 0
            && bytes.littleEndian(at: 8) as UInt64 == position.rawValue
    }
}
