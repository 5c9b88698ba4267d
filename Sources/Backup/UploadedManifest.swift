import PostgresModel
import Storage
import SystemPackage

/// The manifest of the earlier backup, as it is given to a server that is asked for what changed since: without the files whose
/// changes a server does not tell completely. A file that the manifest does not list is sent whole, by all of them.
///
/// These are the relations that were cut shorter, and visibility maps. A server leaves out the blocks that no WAL record names. But what clears bits of a visibility map is logged with the heap
/// page only (src/backend/access/heap/heapam.c, visibilitymap_clear), so the changed block of the map would be left out,
/// and the restored one would call pages visible to all that are not: wrong answers from index-only scans. Releases 17 and
/// 18 do so until a fix that changes what they log. A visibility map is 1/32,000 of its table.
struct UploadedManifest {
    /// As it is stored: a zstd file.
    let stored: FilePath
    let truncated: TruncatedRelations

    /// Hands the manifest's text, in pieces, to `send`.
    func forEachPiece(_ send: ([UInt8]) throws -> Void) throws {
        let digest = try SHA256()
        var lines = ManifestLines()
        var text: [UInt8] = []
        var isWithinFiles = false
        func flush() throws {
            text.withUnsafeBytes { digest.add($0) }
            try send(text)
            text.removeAll(keepingCapacity: true)
        }
        try CompressedFile.read(stored) { bytes in
            try lines.add(bytes) { line in
                // Its own checksum is over all that comes before it.
                if line.starts(with: "\"Manifest-Checksum\"".utf8) { return }
                if let file = try Self.file(line) {
                    if isIncomplete(file.path) { return }
                    if isWithinFiles { text += ",\n".utf8 }
                    text += line.last == UInt8(ascii: ",") ? line.dropLast() : line
                    isWithinFiles = true
                } else {
                    if isWithinFiles { text.append(UInt8(ascii: "\n")) }
                    isWithinFiles = false
                    text += line
                    text.append(UInt8(ascii: "\n"))
                }
            }
            try flush()
        }
        try send(Array("\"Manifest-Checksum\": \"\(digest.hexadecimal())\"}\n".utf8))
    }

    private func isIncomplete(_ path: String) -> Bool {
        let path = RelationFile.isIncrement(ofPath: path) ? RelationFile.path(ofIncrement: path) : path
        return RelationFile.isVisibilityMap(path: path)
            || RelationLocator(path: path).map { truncated.relations.contains($0) } == true
    }

    private static func file(_ line: ArraySlice<UInt8>) throws -> BackupManifest.File? {
        line.first == UInt8(ascii: "{") ? try BackupManifest.file(line: line) : nil
    }
}

/// Splits what comes in pieces into lines, in constant memory.
struct ManifestLines {
    private var rest: [UInt8] = []

    mutating func add(_ bytes: UnsafeRawBufferPointer, _ body: (ArraySlice<UInt8>) throws -> Void) throws {
        rest.append(contentsOf: bytes)
        var start = 0
        while let newline = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
            try body(rest[start..<newline])
            start = newline + 1
        }
        rest.removeFirst(start)
    }

    func end(_ body: (ArraySlice<UInt8>) throws -> Void) throws { if !rest.isEmpty { try body(rest[...]) } }
}
