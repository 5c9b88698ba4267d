import Glibc
package import PostgresModel
package import Storage
package import SystemPackage

/// How files come into the archive, from the receiver and from servers that archive by themselves, also from several at once.
///
/// A name is given once and never taken back: of two that bring the same name at the same instant one gives it its content,
/// and the other finds that content and compares. So nothing that was once acknowledged is ever written over.
extension WALArchive {
    package enum Kept: Sendable, Equatable {
        case stored
        /// The same content was there already.
        case present
    }

    private static let piece = 256 * 1024

    /// Archives a whole segment from a file that stays. Durable when it returns.
    package func archive(_ segment: WALSegment, from source: File, level: CompressionLevel) throws -> Kept {
        try requireBegins(source, with: completePath(segment), bytes: segmentSize.bytes)
        if let bytes = try receivedBytes(of: segment) {
            try requireBegins(source, with: partialPath(segment), bytes: bytes)
        }
        return try keep(source, at: archivedPath(segment), level: level)
    }

    package func archivedPartialPath(_ segment: WALSegment) -> FilePath {
        beside(segment, segment.name(size: segmentSize) + ".partial.zst")
    }

    /// Archives the unfinished last segment of a timeline that was left. It is never served: the timeline that left has
    /// what counts of it in its own first segment (src/backend/access/transam/xlog.c, CleanupAfterArchiveRecovery).
    package func archive(partial segment: WALSegment, from source: File, level: CompressionLevel) throws -> Kept {
        try keep(source, at: archivedPartialPath(segment), level: level)
    }

    /// Keeps a backup history file, as it is, beside the segment in which that backup began.
    package func store(backupHistory content: [UInt8], named name: String, of segment: WALSegment) throws -> Kept {
        try store(content, at: beside(segment, name))
    }

    private func beside(_ segment: WALSegment, _ name: String) -> FilePath {
        archivedPath(segment).removingLastComponent().appending(name)
    }

    /// Stores a history file; durable when it returns, and so before the first segment of its timeline.
    @discardableResult
    package func store(history content: String, of timeline: TimelineID) throws -> Kept {
        _ = try TimelineHistory(parsing: content, of: timeline)
        return try store(Array(content.utf8), at: historyPath(timeline))
    }

    private func store(_ content: [UInt8], at path: FilePath) throws -> Kept {
        try createFolder(of: path)
        if try !Directory.exists(path), try SmallFile.create(content, at: path, permissions: Repository.filePermissions) {
            return .stored
        }
        let stored = try SmallFile.read(path) ?? []
        guard stored == content else {
            throw Failure(
                .walConflict,
                "could not store \(path.lastComponent?.string ?? ""): another file of that name is there, with other content",
                details: ["stored in \(path): \(stored.count) bytes; this one: \(content.count)"],
                hint: "Two servers have gone apart under one timeline number. Give the new one its own cluster name.")
        }
        try Directory.synchronize(path.removingLastComponent())
        return .present
    }

    // MARK: Compressed

    func keep(_ source: File, at target: FilePath, level: CompressionLevel) throws -> Kept {
        try createFolder(of: target)
        if try !Directory.exists(target), try compress(source, to: target, level: level) { return .stored }
        do { try requireEqual(source, target) } catch let failure as Failure where failure.code == .damaged {
            try setAside(target)
            return try keep(source, at: target, level: level)
        }
        // Whoever gave it its name may not have come to that yet.
        try Directory.synchronize(target.removingLastComponent())
        return .present
    }

    /// The folder, durable also where another process has just made it; and nothing in it of killed writers of this file.
    func createFolder(of target: FilePath) throws {
        let folder = target.removingLastComponent()
        if let names = try Directory.names(in: folder) {
            let name = target.lastComponent?.string ?? ""
            for left in names where left.hasPrefix(name + ".") && SmallFile.isAbandoned(left) {
                try Directory.remove(folder.appending(left))
            }
        } else {
            try Directory.create(folder, permissions: Repository.directoryPermissions)
        }
        if folder != wal { try Directory.synchronize(wal) }
    }

    private func compress(_ source: File, to target: FilePath, level: CompressionLevel) throws -> Bool {
        let stored = try StoredFile(target)
        do {
            try ParallelCompression.run(source, size: segmentSize.bytes, level: level) { try stored.append($0) }
            let isStored = try stored.commitUnlessTaken()
            if !isStored { stored.discard() }
            return isStored
        } catch {
            stored.discard()
            throw error
        }
    }

    /// What cannot be read any more and is here again, whole, gives its name to that. It stays beside it, for whoever wants to know
    /// what became of it.
    private func setAside(_ target: FilePath) throws {
        // Another writer may have done so since, and what has the name now may be whole and acknowledged.
        let lock = try lockForSettingAside(target)
        defer { withExtendedLifetime(lock) {} }
        guard try isDamaged(target) else { return }
        try Directory.rename(target, to: FilePath(target.string + ".damaged"))
    }

    private func lockForSettingAside(_ target: FilePath) throws -> LockFile {
        let path = repository.locks.appending("damaged-wal.lock")
        for _ in 0..<200 {
            if let lock = try LockFile.take(path, purpose: "replacing damaged WAL") { return lock }
            pause(milliseconds: 50)
        }
        return try LockFile.require(path, purpose: "replacing damaged WAL", to: "replace \(target)")
    }

    /// It cannot be read, or is shorter than a segment.
    private func isDamaged(_ target: FilePath) throws -> Bool {
        var bytes = 0
        do { try CompressedFile.read(target) { bytes += $0.count } } catch let failure as Failure where failure.code == .damaged {
            return true
        }
        return bytes < segmentSize.bytes
    }

    // MARK: Equal, or in conflict

    private func requireEqual(_ source: File, _ target: FilePath) throws {
        var offset = 0
        var isEqual = true
        try CompressedFile.read(target) { bytes in
            isEqual = try isEqual && Self.has(source, bytes, at: offset)
            offset += bytes.count
        }
        guard isEqual, offset <= segmentSize.bytes else { throw conflict(source, target) }
        guard offset == segmentSize.bytes else {
            throw Failure(
                .damaged, "could not compare with \(target): it has \(offset) bytes of a segment's \(segmentSize.bytes)")
        }
    }

    /// What was received of this segment so far, so many bytes at most, was acknowledged, and this must be the same.
    func requireBegins(_ source: File, with received: FilePath, bytes limit: Int) throws {
        guard let file = try raw(received) else { return }
        let isEqual = try withUnsafeTemporaryAllocation(byteCount: Self.piece, alignment: 16) { buffer in
            var offset = 0
            while true {
                let count = try min(file.read(at: offset, into: buffer), limit - offset)
                if count == 0 { return true }
                guard try Self.has(source, UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset) else { return false }
                offset += count
            }
        }
        guard isEqual else { throw conflict(source, received) }
    }

    private static func has(_ source: File, _ bytes: UnsafeRawBufferPointer, at offset: Int) throws -> Bool {
        let own = try source.bytes(at: offset, count: bytes.count)
        return own.withUnsafeBytes { $0.count == bytes.count && memcmp($0.baseAddress!, bytes.baseAddress!, bytes.count) == 0 }
    }

    private func conflict(_ source: File, _ target: FilePath) -> Failure {
        Failure(
            .walConflict, "could not archive \(source.path): \(target) has the same name and other content",
            hint: "Two servers write the same timeline. Find out which one belongs here before anything is removed.")
    }
}
