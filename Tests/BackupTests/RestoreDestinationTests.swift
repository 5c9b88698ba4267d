import Backup
import Glibc
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("The destination of a restore")
struct RestoreDestinationTests {
    static let marker = "pgark_restore_incomplete"

    static func record(_ tablespaces: [BackupRecord.Tablespace] = []) -> BackupRecord {
        var record = BackupRecord.example()
        record.tablespaces = tablespaces
        return record
    }

    /// There is room for a backup of nothing, so nobody asks what is in it.
    static func reader(_ record: BackupRecord) -> BackupReader {
        BackupReader(catalogue: Catalogue(Repository(root: "/nowhere", cluster: "main")), record: record)
    }

    static func check(_ directory: FilePath) throws {
        try RestoreDestination(directory: directory, mapping: [], record: record()).check(reader(record()))
    }

    @Test("may be missing or empty, and is left so by the check")
    func empty() throws {
        try withScratchDirectory { root in
            try Self.check(root.appending("missing").appending("deeper"))
            try Directory.create(root.appending("empty"))
            try Self.check(root.appending("empty"))
            #expect(try Directory.names(in: root) == ["empty"])
        }
    }

    @Test("is refused where it holds anything")
    func notEmpty() throws {
        try withScratchDirectory { root in
            try SmallFile.write("precious", to: root.appending("file"))
            let failure = try #require(throws: Failure.self) { try Self.check(root) }
            #expect(failure.code == .directoryNotEmpty && failure.details == ["there: file"])
            #expect(try #require(throws: Failure.self) { try Self.check(root.appending("file")) }.code == .directoryNotEmpty)
        }
    }

    @Test("is refused where a server runs in it")
    func running() throws {
        try withScratchDirectory { root in
            try SmallFile.write("\(getpid())\n/data\n", to: root.appending("postmaster.pid"))
            #expect(try #require(throws: Failure.self) { try Self.check(root) }.code == .serverRunning)
        }
    }

    @Test("is refused as foreign where it holds another system's data")
    func foreign() throws {
        try withScratchDirectory { root in
            try Directory.create(root.appending("global"))
            let identifier: [UInt8] = [5, 0, 0, 0, 0, 0, 0, 0]
            let version: [UInt8] = [0x14, 0x05, 0, 0]
            try SmallFile.write(
                identifier + version + [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], to: root.appending("global").appending("pg_control"))
            #expect(try #require(throws: Failure.self) { try Self.check(root) }.code == .foreignSystem)
        }
    }

    @Test("is ours to begin anew where a restore there was cut short")
    func cutShort() throws {
        try withScratchDirectory { root in
            try SmallFile.write("pgark is restoring to \(root)\n", to: root.appending(Self.marker))
            try SmallFile.write("half a file", to: root.appending("file"))
            #expect(throws: Never.self) { try Self.check(root) }
        }
    }

    @Test(
        "is not ours where the mark of a restore is another directory's",
        arguments: ["", "x", "pgark is restoring to /elsewhere\n"])
    func foreignMarker(text: String) throws {
        try withScratchDirectory { root in
            try SmallFile.write(text, to: root.appending(Self.marker))
            #expect(try #require(throws: Failure.self) { try Self.check(root) }.code == .directoryNotEmpty)
        }
    }

    @Test("is not ours any more where the control file is there, which comes last")
    func complete() throws {
        try withScratchDirectory { root in
            try SmallFile.write("pgark is restoring to \(root)\n", to: root.appending(Self.marker))
            try Directory.create(root.appending("global"))
            try SmallFile.write("x", to: root.appending("global").appending("pg_control"))
            #expect(try #require(throws: Failure.self) { try Self.check(root) }.code == .directoryNotEmpty)
        }
    }

    @Test("puts each tablespace where the person says, by its location or its oid", arguments: ["/srv/old", "16384"])
    func mapping(key: String) throws {
        let record = Self.record([
            .init(oid: "16384", location: "/srv/old"), .init(oid: "16385", location: "/srv/other"),
            .init(oid: "1663", location: ""),
        ])
        let destination = try RestoreDestination(directory: "/new/data", mapping: [(key, "/new/space")], record: record)
        #expect(destination.tablespaces == ["16384": "/new/space", "16385": "/srv/other"])
    }

    @Test("is refused where a tablespace is mapped that the backup does not have")
    func unknownTablespace() throws {
        let failure = try #require(throws: Failure.self) {
            try RestoreDestination(
                directory: "/new", mapping: [("/srv/typo", "/x")], record: Self.record([.init(oid: "1", location: "/srv/a")]))
        }
        #expect(failure.code == .usage && failure.details == ["it has: 1 at /srv/a"])
    }

    @Test("is refused where its places lie within each other", arguments: ["data", "data/space", "."])
    func nested(place: String) throws {
        try withScratchDirectory { root in
            let record = Self.record([.init(oid: "1", location: "/srv/a")])
            let destination = try RestoreDestination(
                directory: root.appending("data"), mapping: [("1", root.pushing(FilePath(place)))], record: record)
            let failure = try #require(throws: Failure.self) { try destination.check(Self.reader(record)) }
            #expect(failure.code == .usage || failure.code == .directoryNotEmpty)
        }
    }
}
