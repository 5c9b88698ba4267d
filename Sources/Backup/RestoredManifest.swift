import PostgresModel
import Repository
import Storage
import SystemPackage

/// Writes a backup_manifest of what was restored, so that PostgreSQL's own pg_verifybackup can prove it
/// (PostgreSQL documentation: chapter 71, Backup Manifest Format; src/backend/backup/backup_manifest.c).
///
/// The server's manifest of an incremental backup lists what was sent; this one lists what there is.
struct RestoredManifest {
    let reader: BackupReader
    /// Files that the restore itself wrote: name below the data directory, and where it is. They are described as they are.
    let own: [String: FilePath]

    static let name = "backup_manifest"
    private static let step = 64 * 1024

    /// Writes it into `directory`.
    func write(in directory: FilePath, owner: Owner) throws {
        let path = directory.appending(Self.name)
        try Directory.remove(path)
        let file = try File(path, .create)
        try file.setOwnerIfRoot(owner)
        let digest = try SHA256()
        var (text, end) = ("", 0)
        func flush(_ counts: Bool = true) throws {
            try text.withUTF8 {
                if counts { digest.add(UnsafeRawBufferPointer($0)) }
                try file.write(UnsafeRawBufferPointer($0), at: end)
                end += $0.count
            }
            text = ""
        }
        text = head()
        var separator = "\n"
        func add(_ path: String, _ size: Int, _ modified: Int64, _ checksum: UInt32) throws {
            text += separator + Self.line(path, size, modified, checksum)
            separator = ",\n"
            if text.utf8.count >= Self.step { try flush() }
        }
        try reader.entries { entry in
            guard case .file(let size, let checksum, _) = entry.kind, !RestoreDestination.ownNames.contains(entry.path),
                own[entry.path] == nil
            else { return }
            try add(entry.path, size, entry.modified, checksum)
        }
        for (name, path) in own.sorted(by: { $0.key < $1.key }) {
            guard let status = try Directory.status(path) else { continue }
            let content = try BackupWriter.describe(path)
            try add(name, content.bytes, status.modified.microseconds / 1_000_000, UInt32(content.crc32c, radix: 16) ?? 0)
        }
        let record = reader.record
        text += "\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": \(record.timeline), \"Start-LSN\": \"\(record.beginLSN)\", "
        text += "\"End-LSN\": \"\(record.endLSN)\" }\n],\n"
        try flush()
        text = "\"Manifest-Checksum\": \"\(digest.hexadecimal())\"}\n"
        try flush(false)
    }

    private func head() -> String {
        let major = Int(reader.record.serverVersion.prefix { $0.isNumber }) ?? 0
        guard major >= 17 else { return "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [" }
        return
            "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": \(reader.record.systemIdentifier),\n\"Files\": ["
    }

    private static func line(_ path: String, _ size: Int, _ modified: Int64, _ checksum: UInt32) -> String {
        let time = CivilTime(Timestamp(seconds: modified), offsetSeconds: 0)
        // The checksum's bytes as they lie in memory, the low one first.
        return "{ \"Path\": \(quoted(path)), \"Size\": \(size), \"Last-Modified\": \"\(time.date) \(time.clock) GMT\", "
            + "\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"\(hexadecimal(checksum.byteSwapped).lowercased())\" }"
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case _ where scalar.value < 0x20: quoted += "\\u" + String(String(hexadecimal(scalar.value)).suffix(4))
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
