package import PostgresModel
import Storage
import SystemPackage

/// One archived segment while it is written: zstd frames one after the other, and a name when all of them are durable.
package final class StoredSegment {
    private let archive: WALArchive
    private let segment: WALSegment
    private let temporary: FilePath
    private let file: File
    private var size = 0

    fileprivate init(_ archive: WALArchive, _ segment: WALSegment) throws {
        self.archive = archive
        self.segment = segment
        let path = archive.archivedPath(segment)
        try archive.createFolder(of: path)
        temporary = SmallFile.temporaryPath(for: path)
        file = try File(temporary, .create, permissions: Repository.filePermissions)
    }

    /// `bytes` are whole zstd frames.
    package func append(_ bytes: UnsafeRawBufferPointer) throws {
        try file.write(bytes, at: size)
        // The disk works while the next frame is compressed, so that the sync at the end finds little to do.
        file.startWriteback(from: size, count: bytes.count)
        size += bytes.count
    }

    /// Makes it an archived segment, durable with its name when this returns. Where one of that name is there already, it must
    /// have the same content.
    package func commit() throws {
        try file.synchronize()
        let path = archive.archivedPath(segment)
        if try Directory.adopt(temporary, as: path) { return }
        try archive.requireEqual(temporary, path)
        discard()
        try Directory.synchronize(path.removingLastComponent())
    }

    /// Leaves nothing behind.
    package func discard() { try? Directory.remove(temporary) }  // a leftover .tmp goes with the next writer of that name
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
