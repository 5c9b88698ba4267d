import PostgresModel
import Repository
import Storage
import SystemPackage

/// Whose WAL lies in a directory, as the WAL itself says.
enum WALNeighbours {
    /// Nil where the file does not begin with a segment's first page.
    static func header(of file: File) throws -> WALPageHeader? {
        try file.bytes(at: 0, count: WALPageHeader.size).withUnsafeBytes { WALPageHeader($0) }
    }

    static func system(_ header: WALPageHeader, _ path: FilePath) throws -> Repository.System {
        guard let major = header.serverMajor, let size = WALSegmentSize(bytes: header.segmentSize) else {
            throw Failure(.unsupported, "could not archive \(path): its WAL is of no PostgreSQL version that this pgark knows")
        }
        return Repository.System(systemIdentifier: header.systemIdentifier, serverMajor: major, walSegmentSize: size)
    }

    /// The system of the segments in the directory of `path`; nil where there are none. Also a segment that waits to be used
    /// again is its own server's: recycling never crosses data directories.
    static func system(beside path: FilePath) throws -> Repository.System? {
        let folder = path.removingLastComponent().isEmpty ? "." : path.removingLastComponent()
        for name in try Directory.names(in: folder) ?? [] where WALFileName(name) == .segment {
            let segment = folder.appending(name)
            // It may be removed or recycled just now; the next one will do.
            guard let file = try? File(segment, .read), let header = try header(of: file) else { continue }
            return try system(header, segment)
        }
        return nil
    }
}
