internal import CLinux

/// A file of table or index pages, by its path below the data directory.
package struct RelationFile {
    package static let pageSize = 8192

    /// The number of the file's first block within its fork; nil where the file does not hold checksummed pages
    /// (PostgreSQL: src/backend/backup/basebackup.c, the files that sendFile verifies).
    ///
    /// `blocksPerFile` is 131072 unless the server was built with another --with-segsize.
    package static func firstBlock(ofPath path: String, blocksPerFile: Int = 131_072) -> UInt32? {
        let parts = path.split(separator: "/")
        guard parts.count >= 2, ["base", "global", "pg_tblspc"].contains(parts[0]), let name = parts.last else { return nil }
        let pieces = name.split(separator: ".", omittingEmptySubsequences: false)
        let fork = pieces[0].split(separator: "_", omittingEmptySubsequences: false)
        guard !fork[0].isEmpty, fork[0].utf8.allSatisfy({ (0x30...0x39).contains($0) }), pieces.count <= 2,
            fork.count == 1 || (fork.count == 2 && ["fsm", "vm", "init"].contains(fork[1]))
        else { return nil }
        guard pieces.count == 2 else { return 0 }
        return UInt32(pieces[1]).flatMap { UInt32(exactly: Int($0) * blocksPerFile) }
    }

    /// A file of an incremental backup that holds the changed blocks of another (src/backend/backup/basebackup.c, sendDir;
    /// only relation files are sent so).
    package static func isIncrement(ofPath path: String) -> Bool {
        guard let name = path.split(separator: "/").last, name.hasPrefix(incrementPrefix), name != incrementPrefix else {
            return false
        }
        return firstBlock(ofPath: self.path(ofIncrement: path)) != nil
    }

    /// Of the file whose changes an INCREMENTAL file has.
    package static func path(ofIncrement path: String) -> String {
        var parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        parts[parts.count - 1].removeFirst(incrementPrefix.count)
        return parts.joined(separator: "/")
    }

    /// A segment of the visibility map of a relation.
    package static func isVisibilityMap(path: String) -> Bool {
        firstBlock(ofPath: path) != nil && path.split(separator: "/").last?.prefix { $0 != "." }.hasSuffix("_vm") == true
    }

    private static let incrementPrefix = "INCREMENTAL."

    package enum PageState: Equatable, Sendable {
        case valid
        /// Never initialised: all its header is zero, and it has no checksum.
        case new
        case bad
    }

    /// Checks one page. A page changed since `backupBegin` may have been read while it was written: recovery puts it
    /// right from the WAL, so its checksum proves nothing (basebackup.c, verify_page_checksum).
    package static func check(_ page: UnsafeRawBufferPointer, block: UInt32, backupBegin: LSN) -> PageState {
        let upper: UInt16 = page.littleEndian(at: 14)
        if upper == 0 { return .new }
        let lsn = UInt64(page.littleEndian(at: 0) as UInt32) << 32 | UInt64(page.littleEndian(at: 4) as UInt32)
        if LSN(rawValue: lsn) >= backupBegin { return .valid }
        let stored: UInt16 = page.littleEndian(at: 8)
        return stored == pgark_page_checksum(page.baseAddress, block) ? .valid : .bad
    }
}
