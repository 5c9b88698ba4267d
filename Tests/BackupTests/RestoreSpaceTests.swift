import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("The space for a restore")
struct RestoreSpaceTests {
    /// A backup that is larger than what is free, in a directory and in a tablespace.
    static func with(_ body: (RepositoryExample, BackupRecord, [(path: String, size: Int)]) throws -> Void) throws {
        try RepositoryExample.with { example in
            let extent = Extent(blocks: 1, pack: 0, frame: 0, block: 0)
            let extents = [Extent](repeating: extent, count: 100_000)
            let size = extents.count * Frame.blockSize
            let free = try Directory.space(at: example.directory).free.rawValue
            let files = (0...(free / size)).map { (["base/5/\($0)", "pg_tblspc/16384/PG_15/\($0)"][$0 % 2], size) }
            var record = try RestoreExample.backup(
                example, [RestoreExample.control],
                entries: DeltaRestoreTests.spaceEntries
                    + files.map {
                        MapEntry(path: $0.0, mode: 0o600, modified: 0, kind: .file(size: $0.1, checksum: 0, extents: extents))
                    }, tablespaces: [.init(oid: "16384", location: "/srv/space")])
            record.dataBytes = files.count * size
            try body(example, record, files)
        }
    }

    static func check(_ example: RepositoryExample, _ record: BackupRecord, delta: Bool = false) throws {
        try RestoreDestination(
            directory: RestoreExample.data(example), mapping: [("16384", example.directory.appending("space"))], record: record,
            reusesContent: delta
        ).check(example.reader(record))
    }

    @Test("is that of all places on a file system, and a restore that needs more is refused")
    func refused() throws {
        try Self.with { example, record, _ in
            let failure = try #require(throws: Failure.self) { try Self.check(example, record) }
            #expect(failure.code == .noSpace && failure.hint?.contains("df -h \(example.directory)") == true)
            #expect(try !Directory.exists(RestoreExample.data(example)))
        }
    }

    /// The files that are there have their lengths and no blocks, so that the disk has room for them.
    @Test("is not needed for what is in its place already", arguments: [true, false])
    func replaced(areLinked: Bool) throws {
        try Self.with { example, record, files in
            let (data, space) = (RestoreExample.data(example), example.directory.appending("space"))
            try Directory.create(data)
            for place in [data, space] {
                try Directory.create(place)
                try overwrite(place.appending(RestoreDestinationTests.marker), "pgark is restoring to \(data)\n".utf8)
            }
            for (path, size) in files {
                let path =
                    path.hasPrefix("base")
                    ? data.pushing(FilePath(path)) : space.pushing(FilePath("PG_15/\(path.split(separator: "/")[3])"))
                try Directory.create(path.removingLastComponent())
                try File(path, .create).truncate(to: size)
                if areLinked { try DeltaLinkTests.link(path, FilePath("\(example.directory)/\(path.lastComponent!)")) }
            }
            guard areLinked else { return try Self.check(example, record) }
            #expect(try #require(throws: Failure.self) { try Self.check(example, record) }.code == .noSpace)
        }
    }
}
