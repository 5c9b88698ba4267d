import PostgresModel
package import Repository
package import Storage
package import SystemPackage

/// Archives one file for a server: its archive_command. Success means that it is durable, name included.
///
/// Nothing is believed of the path: the WAL itself says of which system it is, where it begins, and how long it is
/// (PostgreSQL documentation: 25.3.1, Setting Up WAL Archiving).
package struct WALPut {
    package struct Outcome: Sendable, Equatable {
        package let name: String
        /// False where the same content was stored already.
        package let isNew: Bool
    }

    private let repository: Repository
    private let level: CompressionLevel

    package init(_ repository: Repository, level: CompressionLevel) {
        self.repository = repository
        self.level = level
    }

    package func run(_ path: FilePath) throws -> Outcome {
        let name = path.lastComponent?.string ?? ""
        guard let kind = WALFileName(name) else {
            throw Failure(
                .usage, "could not archive \(path): \"\(name)\" is not the name of a file that PostgreSQL archives",
                hint: "Let the server name it: archive_command = 'pgark wal put \"%p\"'")
        }
        let kept =
            switch kind {
            case .segment: try put(segment: name, path)
            case .partial(let segment): try put(partial: segment, path)
            case .history(let timeline): try put(historyOf: timeline, path)
            case .backupHistory(let segment): try put(backupHistory: name, segment, path)
            }
        return Outcome(name: name, isNew: kept == .stored)
    }

    // MARK: Segments

    private func put(segment name: String, _ path: FilePath) throws -> WALArchive.Kept {
        let (file, archive, segment) = try open(path, as: name)
        return try archive.archive(segment, from: file, level: level)
    }

    private func put(partial name: String, _ path: FilePath) throws -> WALArchive.Kept {
        let (file, archive, segment) = try open(path, as: name)
        return try archive.archive(partial: segment, from: file, level: level)
    }

    /// A segment's file, proved to be what its name says, and the archive that it belongs to.
    private func open(_ path: FilePath, as name: String) throws -> (File, WALArchive, WALSegment) {
        let file = try File(path, .read)
        guard let header = try WALNeighbours.header(of: file) else {
            throw Failure(.damaged, "could not archive \(path): it does not begin with a WAL page")
        }
        let system = try WALNeighbours.system(header, path)
        let size = try file.size
        guard size == header.segmentSize else {
            throw Failure(.damaged, "could not archive \(path): it has \(size) bytes where \(header.segmentSize) are due")
        }
        guard let segment = WALSegment(name: name, size: system.walSegmentSize) else {
            throw Failure(
                .damaged, "could not archive \(path): no segment of \(header.segmentSize) bytes has the name \(name)")
        }
        if let reason = header.mismatch(segment: segment, size: system.walSegmentSize, system: system.systemIdentifier) {
            throw Failure(.damaged, "could not archive \(path): \(reason)")
        }
        return (file, WALArchive(repository, system: try repository.prepareAmongOthers(for: system)), segment)
    }

    // MARK: What lies beside them

    private func put(historyOf timeline: TimelineID, _ path: FilePath) throws -> WALArchive.Kept {
        let content = try read(path)
        return try archive(for: path).store(history: String(decoding: content, as: UTF8.self), of: timeline)
    }

    private func put(backupHistory name: String, _ segment: String, _ path: FilePath) throws -> WALArchive.Kept {
        let content = try read(path)
        let archive = try archive(for: path)
        // As the server writes it: "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)"
        // (src/backend/access/transam/xlogbackup.c, build_backup_content).
        guard let segment = WALSegment(name: segment, size: archive.segmentSize),
            String(decoding: content, as: UTF8.self).split(whereSeparator: \.isNewline).contains(where: {
                $0.hasPrefix("START WAL LOCATION: ") && $0.hasSuffix("(file \(segment.name(size: archive.segmentSize)))")
            })
        else { throw Failure(.damaged, "could not archive \(path): it is not the history of the backup that its name says") }
        return try archive.store(backupHistory: content, named: name, of: segment)
    }

    private func read(_ path: FilePath) throws -> [UInt8] {
        guard let content = try SmallFile.read(path) else {
            throw Failure(.inputOutput, "could not read \(path): No such file or directory")
        }
        return content
    }

    /// A history does not say whose it is; the segments that lie beside it do.
    private func archive(for path: FilePath) throws -> WALArchive {
        if let system = try WALNeighbours.system(beside: path) {
            return WALArchive(repository, system: try repository.prepareAmongOthers(for: system))
        }
        return WALArchive(repository, system: try repository.requireSystem())
    }
}
