import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

/// As PostgreSQL's pg_verifybackup reads it.
@Suite("The manifest of a restored directory")
struct RestoredManifestTests {
    typealias Content = RepositoryExample.Content

    /// What pg_verifybackup does not look at (src/bin/pg_verifybackup/pg_verifybackup.c, main).
    static let ignored = ["backup_manifest", "postgresql.auto.conf", "recovery.signal", "standby.signal"]

    static func files(_ directory: FilePath) throws -> [String: BackupManifest.File] {
        let text = try #require(try SmallFile.readText(directory.appending("backup_manifest")))
        let lines = try text.split(separator: "\n").compactMap { try BackupManifest.file(line: $0.utf8) }
        #expect(Set(lines.map(\.path)).count == lines.count, "each file once")
        return Dictionary(lines.map { ($0.path, $0) }) { $1 }
    }

    /// Every file that is there is listed as it is, and no other.
    static func expectVerified(_ directory: FilePath) throws {
        let listed = try files(directory)
        let found = try RestoreExample.tree(directory, times: true).filter { $0.value.kind == .file && !ignored.contains($0.key) }
        #expect(Set(listed.keys).subtracting(ignored) == Set(found.keys))
        for (path, file) in found {
            #expect(listed[path]?.size == file.content.count && listed[path]?.checksum == CRC32C(file.content).value, "\(path)")
        }
    }

    static let names = ["1", "größe", "a\"b", "back\\slash", "tab\tand\nline", "\u{1}\u{1F}", "€ 𝄞", "a b"]

    @Test("lists every file that is there, as it is", arguments: [true, false])
    func files(delta: Bool) throws {
        try RepositoryExample.with { example in
            var random = Seed(value: 1).generator
            let contents = Self.names.map { Content("base/5/\($0)", random.bytes(random.below(30_000))) }
            let record = try RestoreExample.backup(
                example, contents + [Content("base/5/empty", []), RestoreExample.control],
                configuration: [(.config, "/etc/x/postgresql.conf", "port = 5\n"), (.hba, "/etc/x/pg_hba.conf", "")])
            _ = try RestoreExample.restore(example, record)
            if delta {
                try overwrite(RestoreExample.data(example).pushing("base/5/1"), [1])
                _ = try RestoreExample.restore(example, record, delta: true)
            }
            try Self.expectVerified(RestoreExample.data(example))
            let text = try #require(try SmallFile.readText(RestoreExample.data(example).appending("backup_manifest")))
            #expect(try JSON(parsing: text)["Files"].array.compactMap { $0["Path"].string }.contains("base/5/tab\tand\nline"))
        }
    }

    /// More files than are written at a time, and only a few.
    @Test("has the digest of all that comes before it", arguments: [1, 2000])
    func digest(files: Int) throws {
        try RepositoryExample.with { example in
            let contents = (0..<files).map { Content("base/5/ü\($0)", [UInt8($0 & 0xFF)]) }
            let record = try RestoreExample.backup(example, contents + [RestoreExample.control])
            _ = try RestoreExample.restore(example, record)
            try Self.expectVerified(RestoreExample.data(example))
            let text = try #require(try SmallFile.readText(RestoreExample.data(example).appending("backup_manifest")))
            let place = try #require(text.firstRange(of: "\"Manifest-Checksum\""))
            let digest = try SHA256()
            Array(text[..<place.lowerBound].utf8).withUnsafeBytes { digest.add($0) }
            #expect(text[place.lowerBound...] == "\"Manifest-Checksum\": \"\(digest.hexadecimal())\"}\n")
        }
    }

    @Test(
        "has the head that the server's version wants, and the WAL that recovery needs",
        arguments: [("15.18", 1), ("16.2", 1), ("17.0", 2), ("18beta1", 2)])
    func head(version: String, format: Int) throws {
        try RepositoryExample.with { example in
            var record = try RestoreExample.backup(example, [RestoreExample.control])
            record.serverVersion = version
            _ = try RestoreExample.restore(example, record)
            let text = try #require(try SmallFile.readText(RestoreExample.data(example).appending("backup_manifest")))
            #expect(text.hasPrefix("{ \"PostgreSQL-Backup-Manifest-Version\": \(format),\n"))
            #expect(text.contains("\n\"System-Identifier\": \(record.systemIdentifier),\n") == (format == 2))
            let ranges = try JSON(parsing: text)["WAL-Ranges"].array
            #expect(ranges.count == 1 && ranges[0]["Timeline"].int == 1)
            #expect(ranges[0]["Start-LSN"].string == "0/200000" && ranges[0]["End-LSN"].string == "0/200100")
        }
    }

    @Test("says when a file was changed as the server does")
    func times() throws {
        try RepositoryExample.with { example in
            let record = try RestoreExample.backup(example, [Content("base/5/1", [1]), RestoreExample.control])
            _ = try RestoreExample.restore(example, record)
            let text = try #require(try SmallFile.readText(RestoreExample.data(example).appending("backup_manifest")))
            let file = try JSON(parsing: text)["Files"].array.first { $0["Path"].string == "base/5/1" }
            #expect(file?["Last-Modified"].string == "2026-11-22 15:04:05 GMT")
            #expect(file?["Checksum-Algorithm"].string == "CRC32C")
        }
    }

    /// A backup of a server that was restored itself has the mark of that restore.
    @Test("lists what the restore wrote itself as it is, and not what the backup has under that name")
    func own() throws {
        try RepositoryExample.with { example in
            let record = try RestoreExample.backup(
                example,
                [
                    Content("postgresql.conf", Array("port = 1\n".utf8)), Content("pgark_restore.json", [1, 2, 3]),
                    Content("standby.signal", []), RestoreExample.control,
                ], configuration: [(.config, "/etc/old/postgresql.conf", "port = 2\n")])
            _ = try RestoreExample.restore(example, record)
            let data = RestoreExample.data(example)
            #expect(try Directory.exists(data.appending("postgresql.conf.unused")))
            try Self.expectVerified(data)
            #expect(try SmallFile.readText(data.appending("pgark_restore.json"))?.contains(data.string) == true)
        }
    }
}
