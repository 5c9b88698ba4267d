package import PostgresModel
import Storage
import SystemPackage

/// A file of the archive while it is written: zstd frames one after the other, and a name when all of them are durable.
final class StoredFile {
    let temporary: FilePath
    private let path: FilePath
    private let file: File
    private var size = 0

    /// Others may write the same file at the same time.
    init(_ path: FilePath) throws {
        self.path = path
        temporary = SmallFile.temporaryPath(for: path)
        file = try File(temporary, .create, permissions: Repository.filePermissions)
    }

    /// `bytes` are whole zstd frames.
    func append(_ bytes: UnsafeRawBufferPointer) throws {
        try file.write(bytes, at: size)
        // The disk works while the next frame is compressed, so that the sync at the end finds little to do.
        file.startWriteback(from: size, count: bytes.count)
        size += bytes.count
    }

    /// Durable with its name when this returns true; false where that name is taken: then it has its temporary one still.
    func commitUnlessTaken() throws -> Bool {
        try file.synchronize()
        return try Directory.adopt(temporary, as: path)
    }

    /// Leaves nothing behind.
    func discard() { try? Directory.remove(temporary) }  // a leftover .tmp goes with the next writer of that name
}

/// One segment that is received straight into the archive.
package final class StoredSegment {
    private let archive: WALArchive
    private let path: FilePath
    private let file: StoredFile

    fileprivate init(_ archive: WALArchive, _ segment: WALSegment) throws {
        self.archive = archive
        path = archive.archivedPath(segment)
        try archive.createFolder(of: path)
        file = try StoredFile(path)
    }

    /// `bytes` are whole zstd frames.
    package func append(_ bytes: UnsafeRawBufferPointer) throws { try file.append(bytes) }

    /// Makes it an archived segment, durable with its name when this returns. Where one of that name is there already, it must
    /// have the same content.
    package func commit() throws {
        if try file.commitUnlessTaken() { return }
        try archive.requireEqual(file.temporary, path)
        discard()
        try Directory.synchronize(path.removingLastComponent())
    }

    /// Leaves nothing behind.
    package func discard() { file.discard() }
}

extension WALArchive {
    package func beginStoring(_ segment: WALSegment) throws -> StoredSegment { try StoredSegment(self, segment) }

    /// Two archived forms of one segment.
    fileprivate func requireEqual(_ new: FilePath, _ old: FilePath) throws {
        guard try digest(new) == digest(old) else {
            throw Failure(
                .walConflict, "could not archive what was received as \(new): \(old) has the same name and other content",
                hint: "Two servers write the same timeline. Find out which one belongs here before anything is removed.")
        }
    }

    private func digest(_ path: FilePath) throws -> String {
        let sum = try SHA256()
        try CompressedFile.read(path) { sum.add($0) }
        return sum.hexadecimal()
    }
}
