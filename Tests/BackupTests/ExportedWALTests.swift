@testable import Backup
import PostgresModel
import Repository
import TestSupport
import Testing

/// The WAL that goes to another host with a backup.
@Suite("WAL that leads from a backup to the end of a timeline")
struct ExportedWALTests {
    private static func names(left: String, end: String, _ stored: WALSegment...) throws -> [String] {
        try RepositoryExample.with { example in
            var record = BackupRecord.example(id: "20261123T000000Z")
            (record.beginLSN, record.endLSN) = (LSN("0/200028")!, LSN("0/200100")!)
            try example.archive.store(history: "1\t\(left)\tx\n", of: TimelineID(rawValue: 2))
            for segment in stored { try example.putArchived(segment) }
            let history = try #require(try example.archive.history(of: TimelineID(rawValue: 2)))
            return try ExportedWAL(example.reader(record), to: LSN(end)!, along: history, promotes: false).files.map(\.name)
                .filter {
                    !$0.hasPrefix("archive_status/")
                }
        }
    }

    private static func name(_ number: UInt64, timeline: UInt32 = 1) -> String {
        RepositoryExample.segment(number, timeline: timeline).name(
            size: BackupRecord.example(id: "20261123T000000Z").walSegmentSize)
    }

    @Test("has the segment in which a timeline was left as the old one's, the new one's, or both, as they are stored")
    func forked() throws {
        let segment = RepositoryExample.segment
        // Of the new timeline only its history is stored.
        try #expect(
            Self.names(left: "0/400100", end: "0/400000", segment(2, 1), segment(3, 1), segment(4, 1)) == [
                Self.name(2), Self.name(3), Self.name(4), "00000002.history",
            ])
        try #expect(
            Self.names(left: "0/400100", end: "0/400200", segment(2, 1), segment(3, 1), segment(4, 2)) == [
                Self.name(2), Self.name(3), "00000002.history", Self.name(4, timeline: 2),
            ])
        try #expect(
            Self.names(left: "0/400100", end: "0/400200", segment(2, 1), segment(3, 1), segment(4, 1), segment(4, 2)) == [
                Self.name(2), Self.name(3), Self.name(4), "00000002.history", Self.name(4, timeline: 2),
            ])
        // Before the fork nothing more is needed than up to there.
        try #expect(
            Self.names(left: "0/900100", end: "0/300100", segment(2, 1), segment(3, 1)) == [
                Self.name(2), Self.name(3), "00000002.history",
            ])
    }

    @Test("has the histories of timelines beside up to its own, and where a new one begins at its end, of those behind it too")
    func others() throws {
        try RepositoryExample.with { example in
            var record = BackupRecord.example(id: "20261123T000000Z")
            (record.beginLSN, record.endLSN) = (LSN("0/200028")!, LSN("0/200100")!)
            for timeline in 2...4 as ClosedRange<UInt32> {
                try example.archive.store(history: "1\t0/\(timeline)00100\tx\n", of: TimelineID(rawValue: timeline))
            }
            for number in 2...4 as ClosedRange<UInt64> { try example.putArchived(RepositoryExample.segment(number, timeline: 1)) }
            let history = try #require(try example.archive.history(of: TimelineID(rawValue: 3)))
            for (promotes, expected) in [(false, ["2", "3"]), (true, ["2", "3", "4"])] {
                let wal = try ExportedWAL(example.reader(record), to: LSN("0/300000")!, along: history, promotes: promotes)
                let names = wal.files.map(\.name).filter { $0.hasSuffix(".history") }.sorted()
                #expect(names == expected.map { "0000000\($0).history" })
            }
        }
    }

    @Test("is refused where a whole segment of it is missing")
    func missing() throws {
        let segment = RepositoryExample.segment
        #expect(throws: Failure.self) {
            try Self.names(left: "0/400000", end: "0/400200", segment(2, 1), segment(4, 2))
        }
        #expect(throws: Failure.self) {
            try Self.names(left: "0/400100", end: "0/400200", segment(2, 1), segment(4, 1), segment(4, 2))
        }
    }
}
