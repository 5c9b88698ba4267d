/// What the name of a file in pg_wal says that a server hands to its archive_command
/// (PostgreSQL: src/include/access/xlog_internal.h, IsXLogFileName and the functions after it).
package enum WALFileName: Equatable, Sendable {
    /// 24 digits. Which segment that is depends on the segments' size.
    case segment
    /// The unfinished last segment of a timeline that was left: 24 digits and ".partial".
    case partial(segment: String)
    case history(TimelineID)
    /// When an online backup began and ended: 24 digits of the segment in which it began, its offset, ".backup".
    case backupHistory(segment: String)

    private static let segmentDigits = 24
    private static let offsetDigits = 8

    /// Nil where it is none of these.
    package init?(_ name: String) {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        switch (parts.count, parts.last) {
        case (1, _) where Self.isDigits(parts[0], Self.segmentDigits):
            self = .segment
        case (2, "partial") where Self.isDigits(parts[0], Self.segmentDigits):
            self = .partial(segment: String(parts[0]))
        case (2, "history") where Self.isDigits(parts[0], 8):
            guard let number = UInt32(parts[0], radix: 16), number > 0 else { return nil }
            self = .history(TimelineID(rawValue: number))
        case (3, "backup") where Self.isDigits(parts[0], Self.segmentDigits) && Self.isDigits(parts[1], Self.offsetDigits):
            self = .backupHistory(segment: String(parts[0]))
        default: return nil
        }
    }

    private static func isDigits(_ text: Substring, _ count: Int) -> Bool {
        text.utf8.count == count && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x46).contains($0) }
    }
}
