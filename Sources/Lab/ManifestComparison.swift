import PostgresModel
import Storage
import SystemPackage

/// A data directory held against the server's own backup_manifest: our stand-in where pg_verifybackup does not run.
///
/// Like that program (src/bin/pg_verifybackup/pg_verifybackup.c) it leaves out what a restore changes on purpose:
/// postgresql.auto.conf and the signal files.
struct ManifestComparison {
    private(set) var files = 0
    private(set) var bytes = 0
    private(set) var differences: [String] = []

    private static let changedByRestore: Set = ["postgresql.auto.conf", "recovery.signal", "standby.signal"]

    init(of directory: FilePath, manifest: FilePath) throws {
        let lines = (try SmallFile.read(manifest) ?? []).split(separator: UInt8(ascii: "\n"))
        for line in lines {
            guard let file = try BackupManifest.file(line: line), !Self.changedByRestore.contains(file.path) else { continue }
            try compare(file, at: directory.pushing(FilePath(file.path)))
        }
        if files == 0 { differences.append("the manifest names no file") }
    }

    private mutating func compare(_ expected: BackupManifest.File, at path: FilePath) throws {
        files += 1
        guard try Directory.exists(path) else { return differences.append("\(expected.path): missing") }
        let (size, checksum) = try Self.read(path)
        bytes += size
        if size != expected.size {
            differences.append("\(expected.path): \(size) bytes where \(expected.size) were due")
        } else if let due = expected.checksum, due != checksum.value {
            differences.append("\(expected.path): another checksum")
        }
    }

    private static func read(_ path: FilePath) throws -> (Int, CRC32C) {
        let file = try File(path, .read)
        var checksum = CRC32C()
        var size = 0
        try withUnsafeTemporaryAllocation(byteCount: 1 << 20, alignment: 16) { buffer in
            while true {
                let count = try file.read(at: size, into: buffer)
                if count == 0 { break }
                checksum.add(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                size += count
            }
        }
        return (size, checksum)
    }
}
