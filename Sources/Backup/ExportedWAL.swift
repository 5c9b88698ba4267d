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

    /// What makes the backup consistent. Looks at what is stored; throws where a segment is missing.
    init(_ reader: BackupReader) throws {
        let (archive, record) = (try reader.walArchive(), reader.record)
        try add(history: record.timeline, archive)
        try add(
            record.timeline, from: record.beginLSN,
            through: WALSegment(timeline: record.timeline, endingAt: record.endLSN, size: record.walSegmentSize), archive, record)
    }

    /// All that leads from the backup to `end` along a timeline's history.
    ///
    /// Histories of timelines beside come along too. A server looks for the newest timeline number by number, and ends at the first
    /// of which it has no history (PostgreSQL: src/backend/access/transam/timeline.c, findNewestTimeLine): without those before it,
    /// a standby would not see the one that it is to follow, and replay what was left behind. One that `promotes` at the end has
    /// those behind it as well, so that its new timeline is none that there has been.
    init(_ reader: BackupReader, to end: LSN, along history: TimelineHistory, promotes: Bool) throws {
        let (archive, record) = (try reader.walArchive(), reader.record), size = record.walSegmentSize
        for timeline in try archive.timelinesWithHistory().sorted() where promotes || timeline < history.timeline {
            guard case .none = history.end(of: timeline) else { continue }
            try add(history: timeline, archive)
        }
        for step in try StoredWAL(archive).steps(from: record.beginLSN, on: record.timeline, along: history) {
            try add(history: step.timeline, archive)
            guard step.from < end else { continue }
            let left = step.to.flatMap { end >= size.start(of: $0) ? $0 : nil }
            var last = WALSegment(timeline: step.timeline, endingAt: left ?? end, size: size)
            // The segment in which a timeline was left is the next one's too, and may be stored as either's.
            if let left, size.start(of: left) < left, try archive.place(of: last) == nil {
                last = WALSegment(timeline: last.timeline, number: last.number - 1)
            }
            try add(step.timeline, from: step.from, through: last, archive, record)
        }
    }

    private mutating func add(history timeline: TimelineID, _ archive: WALArchive) throws {
        guard let history = try SmallFile.read(archive.historyPath(timeline)) else { return }
        files.append(File(name: timeline.historyFileName, size: history.count) { body in try history.withUnsafeBytes(body) })
        markArchived(timeline.historyFileName)
    }

    private mutating func add(
        _ timeline: TimelineID, from begin: LSN, through last: WALSegment, _ archive: WALArchive, _ record: BackupRecord
    ) throws {
        let size = record.walSegmentSize
        var segment = WALSegment(timeline: timeline, holding: begin, size: size)
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
