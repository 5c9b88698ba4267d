package import PostgresModel
package import Repository
import Storage
package import SystemPackage

/// Segments that lie ready for a recovery, beside the place where it wants them: taking one is a rename.
///
/// They lie in a directory whose name says from which repository they are and since which start of the machine: whatever lies
/// there was complete when it got its name, and no crash of the machine can have taken parts of it since.
package struct WALPrefetch: Sendable {
    package static let directoryName = "pgark.prefetch"

    let archive: WALArchive
    /// Holds all of it, and is locked by who prefetches.
    let directory: FilePath
    let store: FilePath
    var requests: FilePath { directory.appending("requests") }

    /// `folder` is the pg_wal of a server in recovery.
    package init(_ archive: WALArchive, beside folder: FilePath) throws {
        self.archive = archive
        directory = folder.appending(Self.directoryName)
        store = directory.appending(try Self.source(archive))
    }

    /// Only for what a server in recovery asks for: it wants each segment at pg_wal/RECOVERYXLOG
    /// (src/backend/access/transam/xlogarchive.c, RestoreArchivedFile). Nil for anything else.
    package init?(_ archive: WALArchive, for path: FilePath) throws {
        let path = Directory.absolute(path)
        let folder = path.removingLastComponent()
        guard path.lastComponent == "RECOVERYXLOG", folder.lastComponent == "pg_wal" else { return nil }
        try self.init(archive, beside: folder)
    }

    private static let bootIdentifier: FilePath = "/proc/sys/kernel/random/boot_id"

    private static func source(_ archive: WALArchive) throws -> String {
        let boot = try File(bootIdentifier, .read).bytes(at: 0, count: 64)
        let facts = [
            try archive.repository.identifier(), archive.repository.cluster, "\(archive.system.systemIdentifier)",
            String(decoding: boot, as: UTF8.self),
        ]
        let hash = Array(facts.joined(separator: "\n").utf8).withUnsafeBytes { BlockSum($0).hash }
        return String(hash, radix: 16)
    }

    package func readyPath(_ segment: WALSegment) -> FilePath { store.appending(segment.name(size: archive.segmentSize)) }

    // MARK: For who delivers

    /// Moves a segment that lies ready to `path`; false where it does not.
    package func take(_ segment: WALSegment, to path: FilePath) throws -> Bool {
        let ready = readyPath(segment)
        guard try Directory.exists(ready) else { return false }
        // It may go while we look at it; whatever we cannot have from here comes from the archive.
        guard let file = try? File(ready, .read), try isWhole(file, segment) else { return false }
        return Directory.move(ready, to: path)
    }

    private func isWhole(_ file: File, _ segment: WALSegment) throws -> Bool {
        guard try file.size == archive.segmentSize.bytes, let header = try WALNeighbours.header(of: file) else { return false }
        return header.mismatch(
            segment: segment, size: archive.segmentSize, system: archive.system.systemIdentifier) == nil
    }

    /// Says that the recovery has this one now. Where nobody prefetches and there is something to prefetch, `start` is to start
    /// somebody.
    package func didDeliver(_ segment: WALSegment, start: (_ folder: FilePath) throws -> Void) throws {
        if RequestPipe.send(segment.name(size: archive.segmentSize), to: requests) { return }
        guard let next = PrefetchWindow(after: segment, size: archive.segmentSize)?.next,
            try archive.place(of: next) == .archived
        else { return }
        try start(directory.removingLastComponent())
    }
}
