import Backup
import Glibc
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("The destination of a restore into content")
struct DeltaDestinationTests {
    typealias Content = RepositoryExample.Content

    static func with(_ body: (RepositoryExample, BackupRecord, FilePath) throws -> Void) throws {
        try RepositoryExample.with { example in
            let record = try RestoreExample.backup(
                example, [Content("base/5/1", [UInt8](repeating: 1, count: 3 * Frame.capacity)), RestoreExample.control])
            _ = try RestoreExample.restore(example, record)
            try body(example, record, RestoreExample.data(example))
        }
    }

    static func mark(_ directory: FilePath) -> FilePath { directory.appending("pgark_restore.json") }

    static func edit(_ path: FilePath, _ old: String, _ new: String) throws {
        let text = try #require(try SmallFile.readText(path))
        #expect(text.contains(old))
        try overwrite(path, text.replacing(old, with: new).utf8)
    }

    static func expectRefusal(
        _ example: RepositoryExample, _ record: BackupRecord, to directory: FilePath, delta: Bool = true,
        _ code: Failure.Code = .directoryNotEmpty
    ) throws {
        let before = try RestoreExample.tree(directory, times: true)
        let failure = try #require(throws: Failure.self) {
            try RestoreExample.restore(example, record, delta: delta, to: directory)
        }
        #expect(failure.code == code, "\(failure)")
        #expect(try RestoreExample.tree(directory, times: true) == before, "nothing was touched")
    }

    @Test("is one that pgark made, and says so")
    func accepted() throws {
        try Self.with { example, record, data in
            let mark = try JSON(parsing: try #require(try SmallFile.readText(Self.mark(data))))
            #expect(mark.directory.path.string == data.string && mark.backup.string == record.id)
            // Where the machine has a name.
            #expect(mark.keys.union(["machine"]) == ["machine", "directory", "system_identifier", "tablespaces", "backup"])
            #expect(try #require(try Directory.status(Self.mark(data))).permissions == 0o600)
            _ = try RestoreExample.restore(example, record, delta: true)
        }
    }

    @Test("may be missing or empty", arguments: [true, false])
    func empty(isThere: Bool) throws {
        try Self.with { example, record, data in
            let other = example.directory.appending("other")
            if isThere { try Directory.create(other) }
            _ = try RestoreExample.restore(example, record, delta: true, to: other)
            #expect(try RestoreExample.differences(RestoreExample.tree(other), RestoreExample.tree(data)) == [])
        }
    }

    enum Spoiled: CaseIterable {
        case noMark, noJSON, emptyMark, otherDirectory, otherMachine, otherBirth, otherSystemInMark, otherSystem, foreign
    }

    @Test("is refused and left alone where it is not one that pgark made for this system", arguments: Spoiled.allCases)
    func refused(spoiled: Spoiled) throws {
        try Self.with { example, record, data in
            var code = Failure.Code.directoryNotEmpty
            switch spoiled {
            case .noMark: try Directory.remove(Self.mark(data))
            case .noJSON: try overwrite(Self.mark(data), "pgark was here".utf8)
            case .emptyMark: try overwrite(Self.mark(data), [])
            case .otherDirectory: try Self.edit(Self.mark(data), data.string, data.string + "2")
            case .otherMachine:
                let machine = try JSON(parsing: try #require(try SmallFile.readText(Self.mark(data)))).machine.string
                try Self.edit(
                    Self.mark(data), machine.map { "\"\($0)\"" } ?? "{", machine == nil ? "{\"machine\":\"x\"," : "\"x\"")
            case .otherBirth: try Self.edit(Self.mark(data), "\"born\" : \"2", "\"born\" : \"1")
            case .otherSystemInMark: try Self.edit(Self.mark(data), "\(record.systemIdentifier)", "5")
            case .otherSystem:
                let control = RestoreExample.control(of: SystemIdentifier(rawValue: 5))
                try overwrite(data.pushing(FilePath(control.path)), control.bytes)
                code = .foreignSystem
            case .foreign:
                try Directory.removeContents(data)
                try overwrite(data.appending("precious"), [1])
            }
            try Self.expectRefusal(example, record, to: data, code)
        }
    }

    @Test("is refused where it is a copy of one, whose mark names the original")
    func copy() throws {
        try Self.with { example, record, data in
            let copy = example.directory.appending("copy")
            try Directory.rename(data, to: copy)
            try Self.expectRefusal(example, record, to: copy)
            // In its own place it is what it was.
            try Directory.rename(copy, to: data)
            _ = try RestoreExample.restore(example, record, delta: true)
        }
    }

    /// As pg_basebackup and rsync make it for a standby, or in the place of what was moved away.
    @Test("is refused where it is a copy of one under the same path")
    func copyInPlace() throws {
        try Self.with { example, record, data in
            let original = example.directory.appending("original")
            try Directory.rename(data, to: original)
            try Directory.create(data)
            for name in try #require(try Directory.names(in: original)) {
                try Directory.rename(original.appending(name), to: data.appending(name))
            }
            try Self.expectRefusal(example, record, to: data)
        }
    }

    @Test("is refused where the backup is known to be damaged, before anything is touched")
    func knownDamage() throws {
        try Self.with { example, record, data in
            let problems = ["base/5/1", "base/5/2"].map {
                Verification.Problem(backup: record.id, file: $0, block: 7, message: "it is gone")
            }
            try example.catalogue.note(
                DamageReport(time: Timestamp(seconds: 5), deep: true, frames: [], problems: problems), in: record.id)
            try Self.expectRefusal(example, record, to: data, .damaged)
            let failure = try #require(throws: Failure.self) { try RestoreExample.restore(example, record, delta: true) }
            #expect(failure.message.contains(record.id) && failure.details == ["base/5/1 block 7: it is gone"])
            // What nobody has yet is no worse than nothing.
            _ = try RestoreExample.restore(example, record, to: example.directory.appending("new"))
        }
    }

    @Test("is refused where a server runs in it")
    func running() throws {
        try Self.with { example, record, data in
            try overwrite(data.appending("postmaster.pid"), "\(getpid())\n".utf8)
            try Self.expectRefusal(example, record, to: data, .serverRunning)
        }
    }

    @Test("is refused without --delta, and the way out is named")
    func plain() throws {
        try Self.with { example, record, data in
            try Self.expectRefusal(example, record, to: data, delta: false)
            let failure = try #require(throws: Failure.self) { try RestoreExample.restore(example, record) }
            #expect(failure.hint?.contains("--delta") == true)
        }
    }

    @Test("is refused where a tablespace would go to a place that pgark did not make")
    func foreignTablespace() throws {
        try Self.with { example, _, data in
            let record = try RestoreExample.backup(
                example, [Content("pg_tblspc/16384/PG_15/1", [1]), RestoreExample.control], id: "20261124T000000Z",
                entries: DeltaRestoreTests.spaceEntries, tablespaces: [.init(oid: "16384", location: "/srv/space")])
            let space = example.directory.appending("space")
            try Directory.create(space)
            try overwrite(space.appending("precious"), [1])
            let before = try (RestoreExample.tree(data, times: true), RestoreExample.tree(space, times: true))
            let failure = try #require(throws: Failure.self) {
                try RestoreExample.restore(example, record, delta: true, mapping: [("16384", space)])
            }
            #expect(failure.code == .directoryNotEmpty && failure.message.contains(space.string))
            #expect(try (RestoreExample.tree(data, times: true), RestoreExample.tree(space, times: true)) == before)
        }
    }

    // MARK: Interrupted

    /// A delta restore that came upon a damaged frame.
    static func interrupted(_ body: (RepositoryExample, BackupRecord, FilePath, [String: RestoreExample.Found]) throws -> Void)
        throws
    {
        try Self.with { example, record, data in
            let expected = try RestoreExample.tree(data)
            try overwrite(data.pushing("base/5/1"), [])
            let pack = example.packPath("\(record.id)-0")
            let bytes = try #require(try SmallFile.read(pack))
            try overwrite(pack, bytes.prefix(bytes.count / 2) + [UInt8](repeating: 0, count: bytes.count - bytes.count / 2))
            let failure = try #require(throws: Failure.self) { try RestoreExample.restore(example, record, delta: true) }
            #expect(failure.code == .damaged)
            #expect(try !Directory.exists(data.pushing("global/pg_control")), "no server starts from this")
            #expect(try Directory.exists(data.appending(RestoreDestinationTests.marker)))
            try overwrite(pack, bytes)
            try body(example, record, data, expected)
        }
    }

    @Test("may be what an interrupted one left, and it does not matter how it goes on", arguments: [true, false])
    func resumed(delta: Bool) throws {
        try Self.interrupted { example, record, data, expected in
            _ = try RestoreExample.restore(example, record, delta: delta)
            #expect(try RestoreExample.differences(RestoreExample.tree(data), expected) == [])
        }
    }

    @Test("may be what an interrupted restore of all left")
    func begunAnew() throws {
        try Self.interrupted { example, record, data, expected in
            try Directory.remove(Self.mark(data))
            _ = try RestoreExample.restore(example, record, delta: true)
            #expect(try RestoreExample.differences(RestoreExample.tree(data), expected) == [])
        }
    }

    /// Killed before the control file went: the marker is there, and so is a whole directory.
    @Test("is still one with content while the control file is there", arguments: [true, false])
    func early(delta: Bool) throws {
        try Self.with { example, record, data in
            let expected = try RestoreExample.tree(data)
            try overwrite(data.appending(RestoreDestinationTests.marker), "pgark is restoring to \(data)\n".utf8)
            guard delta else { return try Self.expectRefusal(example, record, to: data, delta: false) }
            _ = try RestoreExample.restore(example, record, delta: true)
            #expect(try RestoreExample.differences(RestoreExample.tree(data), expected) == [])
        }
    }

    @Test("may have a scratch file that a killed one left")
    func scratchFile() throws {
        try Self.with { example, record, data in
            let expected = try RestoreExample.tree(data)
            try overwrite(data.appending(RestoreDestinationTests.marker + ".map"), [1, 2, 3])
            _ = try RestoreExample.restore(example, record, delta: true)
            #expect(try RestoreExample.differences(RestoreExample.tree(data), expected) == [])
        }
    }
}
