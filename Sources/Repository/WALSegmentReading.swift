package import PostgresModel
import Storage
import SystemPackage

extension WALArchive {
    /// From partial to complete to archived: a segment that is looked for may move on twice meanwhile.
    private static let mostMoves = 2

    /// Shows the stored bytes of a segment to `body`, in pieces, from wherever it is. Of a partial segment these are the
    /// bytes that were received. Throws `segmentMissing` where it is nowhere.
    package func read(_ segment: WALSegment, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        for _ in 0...Self.mostMoves {
            switch try place(of: segment) {
            case .archived: return try CompressedFile.read(archivedPath(segment), body)
            case .complete: if let file = try raw(completePath(segment)) { return try read(file, body) }
            case .partial(let bytes): if let file = try raw(partialPath(segment)) { return try read(file, limit: bytes, body) }
            case nil: break
            }
        }
        throw Failure(
            .segmentMissing, "could not read WAL segment \(segment.name(size: segmentSize)): it is not stored",
            hint: "See what is stored: pgark wal status")
    }

    /// Nil where it moved on before it could be opened; once open, its bytes stay.
    func raw(_ path: FilePath) throws -> File? {
        do { return try File(path, .read) } catch {
            guard try Directory.exists(path) else { return nil }
            return try File(path, .read)  // it may have come to be in between
        }
    }

    private func read(_ file: File, limit: Int = .max, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        try withUnsafeTemporaryAllocation(byteCount: 256 * 1024, alignment: 16) { buffer in
            var offset = 0
            while true {
                let count = try min(file.read(at: offset, into: buffer), limit - offset)
                if count == 0 { return }
                try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                offset += count
            }
        }
    }
}
