import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// PostgreSQL's own tools judge what a restore wrote.
@Suite("A restored directory")
struct JudgeTests {
    @Test("is found right by PostgreSQL's own programs", arguments: TestMachine.majors)
    func isJudged(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.createMarkers(20_000)
            try node.sql("CREATE INDEX ON public.marker (n)")
            try pgark("backup")
            let restored = try pgark.restore()

            // pg_wal is left out (-n): the WAL comes from the repository when the server starts.
            if site.programs.works("pg_verifybackup") {
                try restored.instance.run("pg_verifybackup", ["--no-parse-wal", "--exit-on-error", restored.data.string])
            }
            let manifest = try BackupManifest(of: restored.data)
            #expect(manifest.files.count > 900)
            #expect(try manifest.differences() == [])

            try restored.recover()
            #expect(try restored.markers() == 20_000)
            if try restored.value("SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'") == "1" {
                try restored.sql("CREATE EXTENSION amcheck")
                try restored.instance.run(
                    "pg_amcheck", ["--heapallindexed", "--rootdescend", "--parent-check", "postgres"],
                    environment: restored.environment)
            }
            try restored.stop()
            #expect(try restored.controlData("Database cluster state") == "shut down")
            try restored.instance.run("pg_checksums", ["--check", "--pgdata=\(restored.data)"])
        }
    }

    /// The wheel of PostgreSQL 18 has a pg_verifybackup that crashes on start; a changed byte must be seen all the same.
    @Test("with one changed byte is found wrong by the judge of these tests")
    func judgeSeesDamage() throws {
        try TestSite.with(TestMachine.newest) { site in
            let pgark = try site.pgark(try site.primary())
            try pgark("backup")
            let restored = try pgark.restore()
            let file = try File(restored.data.appending("PG_VERSION"), .update)
            try [UInt8(ascii: "9")].withUnsafeBytes { try file.write($0, at: 0) }
            #expect(try BackupManifest(of: restored.data).differences() == ["PG_VERSION"])
        }
    }
}

/// The server's own list of what it sent, read without the code under test (PostgreSQL documentation: 77, backup manifest).
private struct BackupManifest {
    let directory: FilePath
    let files: [JSON]

    init(of directory: FilePath) throws {
        self.directory = directory
        files = try JSON(parsing: SmallFile.readText(directory.appending("backup_manifest")) ?? "").Files.array
    }

    /// The files that are not as the server sent them, but for those that every restore changes.
    func differences() throws -> [String] {
        try files.compactMap { file in
            let path = try #require(file.Path.string)
            if path == "postgresql.auto.conf" { return nil }
            let content = try SmallFile.read(directory.pushing(FilePath(path)))
            var checksum = CRC32C()
            content?.withUnsafeBytes { checksum.add($0) }
            let expected = try #require(file.Checksum.string.flatMap { UInt32($0, radix: 16) })
            return content?.count == file.Size.int && checksum.value == expected.byteSwapped ? nil : path
        }
    }
}
