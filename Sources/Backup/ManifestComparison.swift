import PostgresModel
import Storage
import SystemPackage

/// Proves that what arrived is what the server says it sent: every file of its manifest, with size and checksum.
///
/// The server lists files in the order in which it sends them (src/backend/backup/basebackup.c, sendFile), so both are
/// read once, side by side.
struct ManifestComparison {
    let received: ReceivedFiles
    let manifest: FilePath

    func run() throws {
        var lines = try ManifestLines(manifest)
        try received.forEach { path, size, checksum in
            guard let listed = try lines.next() else { throw mismatch(path, "the manifest does not list it") }
            guard listed.path == path else { throw mismatch(path, "the manifest lists \(listed.path) in its place") }
            guard listed.size == size else { throw mismatch(path, "\(size) bytes arrived, the manifest says \(listed.size)") }
            if let expected = listed.checksum, expected != checksum { throw mismatch(path, "its checksum differs") }
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
