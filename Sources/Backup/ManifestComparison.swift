import PostgresModel
import Storage
import SystemPackage

/// Proves that what arrived is what the server says it sent: every file of its manifest, with size and checksum.
///
/// The server lists files in the order in which it sends them (src/backend/backup/basebackup.c, sendFile), so both are
/// read once, side by side.
struct ManifestComparison {
    let received: ReceivedFiles
    /// The manifest as it is stored: a zstd file.
    let manifest: FilePath

    func run() throws {
        var lines = ManifestLines()
        try CompressedFile.read(manifest) { bytes in try lines.add(bytes) { try compare($0) } }
        try lines.end { try compare($0) }
        if let rest = try received.next() { throw mismatch(rest.path, "the manifest does not list it") }
    }

    private func compare(_ line: ArraySlice<UInt8>) throws {
        // What comes before a file's object on its line is the list's name or a comma.
        guard let brace = line.firstIndex(of: UInt8(ascii: "{")), let listed = try BackupManifest.file(line: line[brace...])
        else { return }
        guard let arrived = try received.next() else {
            throw mismatch(listed.path, "the manifest lists it, but it did not arrive")
        }
        guard listed.path == arrived.path else {
            throw mismatch(arrived.path, "the manifest lists \(listed.path) in its place")
        }
        guard listed.size == arrived.size else {
            throw mismatch(arrived.path, "\(arrived.size) bytes arrived, the manifest says \(listed.size)")
        }
        if let expected = listed.checksum, expected != arrived.checksum { throw mismatch(arrived.path, "its checksum differs") }
    }

    private func mismatch(_ path: String, _ reason: String) -> Failure {
        Failure(
            .damaged, "could not complete the backup: \(path) is not what the server's manifest says: \(reason)",
            hint: "Take the backup again; if this repeats, look at the network and the disks on both sides.")
    }
}
