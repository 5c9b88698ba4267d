import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A compressed file")
struct CompressedFileTests {
    static func content(_ path: FilePath) throws -> [UInt8] {
        var content: [UInt8] = []
        try CompressedFile.read(path) { content += $0 }
        return content
    }

    @Test("has its name only when it is complete")
    func commit() throws {
        try withScratchDirectory { root in
            let path = root.appending("a.zst")
            let writer = try CompressedFileWriter(path, level: .standard)
            let bytes = [UInt8](repeating: 7, count: 300_000)
            try bytes.withUnsafeBytes { try writer.write($0) }
            #expect(try !Directory.exists(path))
            try writer.commit()
            #expect(try Directory.names(in: root) == ["a.zst"])
            #expect(try Self.content(path) == bytes)
            #expect(try Directory.status(path)?.size == writer.storedBytes)
        }
    }

    @Test("leaves nothing where it was given up, and what was there before stays")
    func discard() throws {
        try withScratchDirectory { root in
            let path = root.appending("a.zst")
            try SmallFile.write("old", to: path)
            let writer = try CompressedFileWriter(path, level: .standard)
            try [1, 2, 3].withUnsafeBytes { try writer.write($0) }
            writer.discard()
            #expect(try Directory.names(in: root) == ["a.zst"])
            #expect(try SmallFile.readText(path) == "old")
        }
    }

    @Test("may be empty")
    func empty() throws {
        try withScratchDirectory { root in
            try CompressedFileWriter(root.appending("a.zst"), level: .standard).commit()
            #expect(try Self.content(root.appending("a.zst")) == [])
        }
    }

    @Test("that is damaged is reported with its name", arguments: [0, 5, 20])
    func damaged(count: Int) throws {
        try withScratchDirectory { root in
            let path = root.appending("a.zst")
            let writer = try CompressedFileWriter(path, level: .standard)
            try [UInt8](0..<200).withUnsafeBytes { try writer.write($0) }
            try writer.commit()
            try File(path, .update).truncate(to: count)
            let failure = try #require(throws: Failure.self) { try Self.content(path) }
            #expect(failure.code == .damaged)
            #expect(failure.description.contains(path.string))
        }
    }

    @Test("whose reader fails ends with the reader's own failure")
    func readerFails() throws {
        try withScratchDirectory { root in
            let path = root.appending("a.zst")
            let writer = try CompressedFileWriter(path, level: .standard)
            try [1, 2, 3].withUnsafeBytes { try writer.write($0) }
            try writer.commit()
            let failure = try #require(throws: Failure.self) {
                try CompressedFile.read(path) { _ in throw Failure(.diskFull, "no") }
            }
            #expect(failure.code == .diskFull)
        }
    }
}
