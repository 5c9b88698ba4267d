import PostgresModel
import TestSupport
import Testing

@Suite("A line of the server's backup manifest")
struct BackupManifestTests {
    static func file(_ line: String) throws -> BackupManifest.File? { try BackupManifest.file(line: line.utf8) }

    @Test(
        "names a file, its size and its checksum",
        arguments: [
            (
                #"{ "Path": "backup_label", "Size": 227, "Last-Modified": "2026-11-22 15:04:05 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "839206e3" },"#,
                "backup_label", 227, 0xE306_9283
            ),
            (
                #"{ "Path": "base/5/1259", "Size": 0, "Last-Modified": "x", "Checksum-Algorithm": "CRC32C", "Checksum": "00000000" }],"#,
                "base/5/1259", 0, 0
            ),
            (#"{ "Path": "global/1", "Size": 8192, "Last-Modified": "x" },"#, "global/1", 8192, nil),
            (#"{ "Path": "a", "Size": 1, "Checksum-Algorithm": "SHA256", "Checksum": "00" },"#, "a", 1, nil),
            (#"{ "Encoded-Path": "666f6f2f626172", "Size": 5 },"#, "foo/bar", 5, nil),
            (#"{ "Encoded-Path": "", "Size": 5 },"#, "", 5, nil),
            ("{\"Path\":\"tight\",\"Size\":5}\r\n", "tight", 5, nil),
            (#"{ "Path": "a\"b\\c\/d\n\t\r\b\f\u0007\u00e9\u20ac", "Size": 5 }"#, "a\"b\\c/d\n\t\r\u{8}\u{C}\u{7}é€", 5, nil),
            (#"{ "Path": "größe", "Size": 5 }"#, "größe", 5, nil),
        ] as [(String, String, Int, UInt32?)])
    func reads(line: String, path: String, size: Int, checksum: UInt32?) throws {
        let file = try #require(try Self.file(line))
        #expect(file.path == path)
        #expect(file.size == size)
        #expect(file.checksum == checksum)
    }

    @Test(
        "may be about something else",
        arguments: [
            #"{ "PostgreSQL-Backup-Manifest-Version": 2,"#, #""System-Identifier": 7711037898349850975,"#, #""Files": ["#, "],",
            #""WAL-Ranges": ["#, #"{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }"#,
            #""Manifest-Checksum": "0123"}"#, "", "{",
        ])
    func others(line: String) throws {
        #expect(try Self.file(line) == nil)
    }

    @Test(
        "is refused where it is damaged",
        arguments: [
            #"{ "Path": "a", "Size": 5"#, #"{ "Path": "a" }"#, #"{ "Path": "a", "Size": }"#, #"{ "Path": "a", "Size": "5" }"#,
            #"{ "Path": "a", "Size": 5, "#, #"{ "Path": "a", "Size": -5 }"#, #"{ "Path": "a", "Size": 99999999999999999999 }"#,
            #"{ "Encoded-Path": "6", "Size": 5 }"#, #"{ "Encoded-Path": "6g", "Size": 5 }"#,
            #"{ "Encoded-Path": "+f", "Size": 5 }"#,
            #"{ "Path": "a", "Size": 5, "Checksum-Algorithm": "CRC32C", "Checksum": "123" }"#,
            #"{ "Path": "a", "Size": 5, "Checksum-Algorithm": "CRC32C", "Checksum": "0123456g" }"#,
            #"{ "Path": "a", "Size": 5, "Checksum-Algorithm": "CRC32C", "Checksum": "+1234567" }"#,
        ])
    func refuses(line: String) throws {
        let failure = try #require(throws: Failure.self) { try Self.file(line) }
        #expect(failure.code == .damaged)
    }

    @Test("that is damaged at random never ends the program", arguments: Seed.some(10))
    func fuzz(seed: Seed) {
        var random = seed.generator
        let line = Array(
            #"{ "Encoded-Path": "666f6f", "Size": 227, "Last-Modified": "\u0041", "Checksum-Algorithm": "CRC32C", "Checksum": "839206e3" },"#
                .utf8)
        for _ in 0..<500 {
            var damaged = Array(line.prefix(Int.random(in: 0...line.count, using: &random)))
            for _ in 0..<Int.random(in: 0...4, using: &random) where !damaged.isEmpty {
                damaged[Int.random(in: damaged.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            do {
                if let file = try BackupManifest.file(line: damaged) { #expect(file.size >= 0) }
            } catch {
                #expect((error as? Failure)?.code == .damaged)
            }
        }
    }
}
