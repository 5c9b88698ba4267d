import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

/// Clusters of several majors may have their tablespaces at one location, each in a directory of its own; after pg_upgrade
/// they do.
@Suite("A tablespace's location that another cluster has too")
struct SharedTablespaceTests {
    typealias Content = RepositoryExample.Content

    /// A restored directory with a tablespace, and what somebody else has beside it then.
    static func with(_ body: (RepositoryExample, BackupRecord, FilePath, [String: RestoreExample.Found]) throws -> Void) throws {
        try RepositoryExample.with { example in
            let content = Content("pg_tblspc/16384/PG_15/1", [UInt8](repeating: 5, count: 20_000))
            let record = try RestoreExample.backup(
                example, [content, RestoreExample.control], entries: DeltaRestoreTests.spaceEntries,
                tablespaces: [.init(oid: "16384", location: "/srv/space")])
            let space = example.directory.appending("space")
            _ = try restore(example, record, delta: false)
            try Directory.create(space.pushing("PG_18_202506291/5"))
            try overwrite(space.pushing("PG_18_202506291/5/1"), [1, 2, 3])
            try overwrite(space.appending("extra"), [4, 5, 6])
            try Directory.link("/nowhere", at: space.appending("PG_15_link"))
            try body(example, record, space, try others(space))
        }
    }

    static func others(_ space: FilePath) throws -> [String: RestoreExample.Found] {
        try RestoreExample.tree(space, times: true).filter { !$0.key.hasPrefix("PG_15/") && $0.key != "PG_15" }
    }

    @discardableResult
    static func restore(_ example: RepositoryExample, _ record: BackupRecord, delta: Bool) throws -> RestoreJob.Outcome {
        try RestoreExample.restore(
            example, record, delta: delta, mapping: [("16384", example.directory.appending("space"))])
    }

    @Test("loses nothing to --delta but what is foreign in the cluster's own directory", arguments: [true, false])
    func delta(isLost: Bool) throws {
        try Self.with { example, record, space, others in
            try overwrite(space.pushing("PG_15/extra"), [1])
            try overwrite(space.pushing("PG_15/1"), [1])
            if isLost {
                try Directory.removeTree(space.appending("PG_15"))
                try Directory.link(space.appending("PG_18_202506291").string, at: space.appending("PG_15"))
            }
            try Self.restore(example, record, delta: true)
            #expect(try RestoreExample.differences(Self.others(space), others) == [])
            #expect(try Directory.names(in: space.appending("PG_15")) == ["1"])
            #expect(try SmallFile.read(space.pushing("PG_15/1")) == [UInt8](repeating: 5, count: 20_000))
        }
    }

    /// The second one goes on where the first was cut short, with or without --delta.
    @Test("loses nothing to a restore that is begun anew", arguments: [true, false])
    func begunAnew(delta: Bool) throws {
        try Self.with { example, record, space, others in
            let pack = example.packPath("\(record.id)-0")
            let bytes = try #require(try SmallFile.read(pack))
            try overwrite(space.pushing("PG_15/1"), [1])
            try overwrite(pack, [])
            #expect(throws: Failure.self) { try Self.restore(example, record, delta: true) }
            try overwrite(pack, bytes)
            try overwrite(space.pushing("PG_15/leftover"), [1])
            try Self.restore(example, record, delta: delta)
            #expect(try RestoreExample.differences(Self.others(space), others) == [])
            #expect(try Directory.names(in: space.appending("PG_15")) == ["1"])
        }
    }

    enum Left: CaseIterable { case dropped, moved, isCopy }

    @Test("is somebody else's where the restored cluster does not use it any more", arguments: Left.allCases)
    func left(how: Left) throws {
        try Self.with { example, record, space, _ in
            let data = RestoreExample.data(example)
            switch how {
            case .dropped: try Directory.remove(data.pushing("pg_tblspc/16384"))
            case .moved:
                try Directory.remove(data.pushing("pg_tblspc/16384"))
                try Directory.link(example.directory.string, at: data.pushing("pg_tblspc/16384"))
            case .isCopy:
                let original = example.directory.appending("original")
                try Directory.rename(space, to: original)
                try Directory.create(space)
                try overwrite(space.appending("precious"), [1])
            }
            let before = try (RestoreExample.tree(data, times: true), RestoreExample.tree(space, times: true))
            let failure = try #require(throws: Failure.self) { try Self.restore(example, record, delta: true) }
            #expect(failure.code == .directoryNotEmpty && failure.message.contains(space.string))
            #expect(try (RestoreExample.tree(data, times: true), RestoreExample.tree(space, times: true)) == before)
        }
    }
}
