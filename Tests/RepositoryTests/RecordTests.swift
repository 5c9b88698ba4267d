import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@testable import Repository

@Suite("The record of a backup")
struct RecordTests {
    /// Reads a text as the catalogue does.
    private static func read(_ bytes: [UInt8]) throws -> BackupRecord? {
        try withScratchDirectory { directory in
            let path = directory.appending("backup.json")
            try overwrite(path, bytes)
            return try Record.readSealed(path)
        }
    }

    /// The code of the failure to read it, nil where it could be read.
    private static func failure(_ bytes: [UInt8]) throws -> Failure.Code? {
        do {
            _ = try read(bytes)
            return nil
        } catch let failure as Failure {
            return failure.code
        }
    }

    // MARK: What it holds

    @Test("is read as it was written, whatever it holds", arguments: Seed.some(20))
    func roundTrip(seed: Seed) throws {
        var random = seed.generator
        for _ in 0..<20 {
            let record = Self.record(&random)
            let read = try #require(try Self.read(record.bytes()))
            #expect("\(read)" == "\(record)", "\(seed)")
        }
    }

    /// Reading is by hand, field by field: a field that nobody reads would be nil, and silently so.
    @Test("is read with every field that may be missing")
    func optionalFields() throws {
        var random = Seed(value: 1).generator
        var record = Self.record(&random)
        (record.name, record.reference, record.readReason) = ("weekly", "20261121T000000Z", "it was asked for")
        let read = try #require(try Self.read(record.bytes()))
        for (label, value) in Mirror(reflecting: read).children {
            #expect("\(value)" != "nil", "\(label ?? "") has a value, or gets one in this test")
        }
    }

    /// Strings of everything that JSON escapes, and of what it does not.
    private static let alphabet = "aZ09 _-./\\\"\u{0}\u{8}\u{9}\n\u{C}\r\u{1B}\u{7F}äß中😀\u{2028}e\u{301}"

    private static func record(_ random: inout SeededGenerator) -> BackupRecord {
        func text() -> String { random.text(0...20, of: alphabet) }
        func some<Value>(_ make: () -> Value) -> [Value] { (0..<random.below(4)).map { _ in make() } }
        func number() -> Int { Bool.random(using: &random) ? random.below(1000) : Int(random.next() >> 1) }
        func time() -> Timestamp { Timestamp(microseconds: Int64(random.next() >> 13)) }
        func file() -> BackupRecord.StoredFile { .init(bytes: number(), checksum: UInt32(truncatingIfNeeded: random.next())) }
        return BackupRecord(
            id: text(), name: some(text).first, cluster: text(), node: text(),
            method: random.below(2) == 0 ? .full : .incremental,
            reference: some(text).first, readReason: some(text).first, beginTime: time(), endTime: time(),
            beginLSN: LSN(rawValue: random.next()), endLSN: LSN(rawValue: random.next()),
            timeline: TimelineID(rawValue: UInt32(truncatingIfNeeded: random.next() | 1)),
            systemIdentifier: SystemIdentifier(rawValue: random.next() | 1), serverVersion: text(),
            fromStandby: Bool.random(using: &random), dataChecksums: Bool.random(using: &random),
            walSegmentSize: WALSegmentSize(bytes: 1 << (20 + random.below(11)))!, dataBytes: number(), readBytes: number(),
            storedBytes: number(), walBytes: -number(), durationSeconds: Double.random(in: 0...1e6, using: &random),
            files: number(), compression: text(), map: file(), manifest: file(), packs: file(),
            tablespaces: some { .init(oid: text(), location: text()) },
            configuration: some { .init(kind: .included, path: text(), name: text(), content: file()) },
            configurationMissing: some(text), badPages: some { .init(path: text(), block: number()) },
            tornPages: some { .init(path: text(), block: number()) })
    }

    // MARK: Its seal

    @Test("has the checksum of its own text, in which these digits count as zeros")
    func seal() throws {
        let text = String(decoding: try BackupRecord.example().bytes(), as: UTF8.self)
        let field = try #require(text.firstMatch(of: /"record_crc32c" : "([0-9a-f]{8})"/))
        let blank = text.replacing(field.1, with: "00000000")
        #expect(UInt32(field.1, radix: 16) == CRC32C(Array(blank.utf8)).value)
        #expect(text.hasSuffix("}\n"))
    }

    @Test("is damaged where any byte of it changed", arguments: Seed.some(1))
    func anyByte(seed: Seed) throws {
        var random = seed.generator
        let bytes = try BackupRecord.example(name: "größe").bytes()
        #expect(try Self.failure(bytes) == nil)
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 1 << UInt8(random.below(8))
            #expect(try Self.failure(changed) == .damaged, "byte \(index), \(seed)")
        }
    }

    @Test("is damaged where it was cut, prolonged or has no seal")
    func otherDamage() throws {
        let bytes = try BackupRecord.example().bytes()
        for count in [0, 1, bytes.count / 2, bytes.count - 2, bytes.count - 1] {
            #expect(try Self.failure(Array(bytes[..<count])) == .damaged)
        }
        #expect(try Self.failure(bytes + [UInt8(ascii: "\n")]) == .damaged)
        let text = String(decoding: bytes, as: UTF8.self)
        let without = try text.replacing(Regex(#"  "record_crc32c" : "[0-9a-f]{8}",\n"#), with: "")
        #expect(without != text)
        #expect(try Self.failure(Array(without.utf8)) == .damaged)
        #expect(try Self.failure(Array("null".utf8)) == .damaged)
    }

    @Test("without a field that it must have is damaged, though its seal fits", arguments: ["end_lsn", "map", "format"])
    func missingField(name: String) throws {
        let text = String(decoding: try BackupRecord.example().bytes(), as: UTF8.self)
        let renamed = text.replacing("\"\(name)\"", with: "\"\(String(name.reversed()))\"")
        let old = try #require(renamed.firstMatch(of: /"record_crc32c" : "([0-9a-f]{8})"/)).1
        let blank = Array(renamed.replacing(old, with: "00000000").utf8)
        let digits = hexadecimal(CRC32C(blank).value).lowercased()
        #expect(try Self.failure(Array(renamed.replacing(old, with: digits).utf8)) == .damaged)
    }
}
