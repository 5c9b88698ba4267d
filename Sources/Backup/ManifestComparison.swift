import PostgresModel
import Repository
import Storage
import SystemPackage

/// Proves that what arrived is what the server says it sent: every file of its manifest, with size and checksum.
///
/// The server lists files in the order in which it sends them (src/backend/backup/basebackup.c, sendFile), and the map
/// has that order too, so both are read once, side by side.
struct ManifestComparison {
    private let entries: ((MapEntry) throws -> Void) throws -> Void
    private let manifest: FilePath

    /// `entries` shows the entries of the backup's map.
    init(_ entries: @escaping ((MapEntry) throws -> Void) throws -> Void, manifest: FilePath) {
        self.entries = entries
        self.manifest = manifest
    }

    func run() throws {
        var lines = try ManifestLines(manifest)
        try entries { entry in
            guard case .file(let size, let checksum, _) = entry.kind else { return }
            guard let listed = try lines.next() else { throw mismatch(entry.path, "the manifest does not list it") }
            guard listed.path == entry.path else { throw mismatch(entry.path, "the manifest lists \(listed.path) in its place") }
            guard listed.size == size else {
                throw mismatch(entry.path, "\(size) bytes arrived, the manifest says \(listed.size)")
            }
            if let expected = listed.checksum, expected != checksum { throw mismatch(entry.path, "its checksum differs") }
        }
        if let rest = try lines.next() { throw mismatch(rest.path, "the manifest lists it, but it did not arrive") }
    }

    private func mismatch(_ path: String, _ reason: String) -> Failure {
        Failure(
            .damaged, "could not complete the backup: \(path) is not what the server's manifest says: \(reason)",
            hint: "Take the backup again; if this repeats, look at the network and the disks on both sides.")
    }
}

/// The files of a manifest, line by line, in constant memory.
private struct ManifestLines {
    private let file: File
    private var offset = 0
    private var buffer: [UInt8] = []
    private static let step = 64 * 1024

    init(_ path: FilePath) throws { file = try File(path, .read) }

    mutating func next() throws -> BackupManifest.File? {
        while let line = try nextLine() {
            // What comes before a file's object on its line is the list's name or a comma.
            guard let brace = line.firstIndex(of: UInt8(ascii: "{")) else { continue }
            if let entry = try BackupManifest.file(line: line[brace...]) { return entry }
        }
        return nil
    }

    private mutating func nextLine() throws -> ArraySlice<UInt8>? {
        while true {
            if let newline = buffer.firstIndex(of: 0x0A) {
                let line = Array(buffer[..<newline])
                buffer.removeFirst(newline + 1)
                return line[...]
            }
            let more = try file.bytes(at: offset, count: Self.step)
            if more.isEmpty {
                defer { buffer = [] }
                return buffer.isEmpty ? nil : buffer[...]
            }
            offset += more.count
            buffer += more
        }
    }
}
