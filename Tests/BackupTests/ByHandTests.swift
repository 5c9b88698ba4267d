import Hosts
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

/// The script in docs/repository-format.md by which a repository is restored without pgark.
@Suite("The script for a restore by hand")
struct ByHandTests {
    private static let size = RepositoryExample.system.walSegmentSize

    /// As it stands in the document, with the place and the segment size of the example.
    private static func script(_ example: RepositoryExample) throws -> String {
        let root = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
        let text = try #require(try SmallFile.readText(root.appending("docs").appending("repository-format.md")))
        let block = try #require(text.split(separator: "   ```sh\n", maxSplits: 1).last?.split(separator: "   ```").first)
        let script = block.split(separator: "\n").map { $0.dropFirst(3) }.joined(separator: "\n")
        return script.replacing("cluster=/path/to/repository/cluster ", with: "cluster=\(example.repository.directory) ")
            .replacing("16777216", with: "\(size.bytes)")
    }

    @Test("serves what is stored, and calls nothing absent that is missing before other WAL")
    func serves() throws {
        try RepositoryExample.with { example in
            let script = example.directory.appending("get-wal"), target = example.directory.appending("target")
            try SmallFile.write(try Self.script(example), to: script)
            func segment(_ number: UInt64) -> WALSegment { RepositoryExample.segment(number, timeline: 1) }
            func status(_ name: String) throws -> Command.Status {
                try Command("/bin/sh", [script.string, name, target.string]).outcome().status
            }
            func status(_ number: UInt64) throws -> Command.Status { try status(segment(number).name(size: Self.size)) }
            try example.putArchived(segment(2), segment(5))
            try example.putComplete(segment(6))
            try example.putPartial(segment(7), bytes: 5000)
            try example.archive.store(history: "1\t0/600100\tx\n", of: TimelineID(rawValue: 2))
            for number in [2, 5, 6] as [UInt64] {
                #expect(try status(number) == .exited(0))
                #expect(try SmallFile.read(target) == RepositoryExample.wal(segment(number)))
            }
            #expect(try status("00000002.history") == .exited(0) && status("00000003.history") == .exited(1))
            // Missing before others, and after them.
            #expect(try status(3) == .exited(200) && status(8) == .exited(1))
            #expect(try status(7) == .exited(0))
            let padded = RepositoryExample.wal(segment(7)).prefix(5000) + [UInt8](repeating: 0, count: Self.size.bytes - 5000)
            #expect(try SmallFile.read(target) == Array(padded))
            // The first part of a segment, and WAL behind it.
            try example.putPartial(segment(3), bytes: 5000)
            #expect(try status(3) == .exited(200))
        }
    }
}
