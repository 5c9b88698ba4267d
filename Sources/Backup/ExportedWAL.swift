import PostgresModel
import Repository
import Storage

/// The WAL that an export carries, as pg_wal has it: the timeline's history and the segments from the backup's begin to its
/// end, each in its full length.
///
/// What was finished is marked as archived, as pg_basebackup does it: else a server with archive_mode = on would archive it
/// anew (src/bin/pg_basebackup/receivelog.c, mark_file_as_archived).
struct ExportedWAL {
    struct File {
        /// Below pg_wal.
        let name: String
        let size: Int
        /// Shows the content to its argument, piece by piece.
        let content: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    }

    private(set) var files: [File] = []

    /// Looks at what is stored; throws where a segment is missing.
    init(_ reader: BackupReader) throws {
        let (archive, record) = (try reader.walArchive(), reader.record)
        let size = record.walSegmentSize
        if let history = try SmallFile.read(archive.historyPath(record.timeline)) {
            files.append(
                File(name: record.timeline.historyFileName, size: history.count) { body in try history.withUnsafeBytes(body) })
            markArchived(record.timeline.historyFileName)
        }
        let last = WALSegment(timeline: record.timeline, endingAt: record.endLSN, size: size)
        var segment = WALSegment(timeline: record.timeline, holding: record.beginLSN, size: size)
        while segment.number <= last.number {
            let (current, name) = (segment, segment.name(size: size))
            guard let place = try archive.place(of: current) else {
                throw Failure(
                    .segmentMissing, "could not export backup \(record.id): WAL segment \(name) is not stored",
                    hint: "See what is stored: pgark wal status")
            }
            files.append(
                File(name: name, size: size.bytes) { body in
                    var count = 0
                    try archive.read(current) {
                        try body($0)
                        count += $0.count
                    }
                    try Self.zeros(size.bytes - count, body)
                })
            if case .partial = place {} else { markArchived(name) }
            segment = segment.next
        }
    }

    private mutating func markArchived(_ name: String) {
        files.append(File(name: "archive_status/\(name).done", size: 0) { _ in })
    }

    private static func zeros(_ count: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let zeros = [UInt8](repeating: 0, count: 64 * 1024)
        var left = count
        while left > 0 {
            try zeros.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[..<min($0.count, left)])) }
            left -= zeros.count
        }
    }
}
