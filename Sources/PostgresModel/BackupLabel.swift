/// The file by which a server knows that it begins from a base backup
/// (PostgreSQL: src/backend/access/transam/xlogbackup.c, build_backup_content).
package enum BackupLabel {
    package static let name = "backup_label"

    /// Without the lines that mark an incremental backup: a server refuses to start from one, and what we store is whole
    /// (src/bin/pg_combinebackup/backup_label.c, write_backup_label does the same).
    package static func withoutIncrement(_ text: [UInt8]) -> [UInt8] {
        let marks = ["INCREMENTAL FROM LSN: ", "INCREMENTAL FROM TLI: "].map { Array($0.utf8) }
        let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let kept = lines.filter { line in !marks.contains { line.starts(with: $0) } }
        return Array(kept.joined(separator: CollectionOfOne(UInt8(ascii: "\n"))))
    }
}
