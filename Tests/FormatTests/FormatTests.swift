import Hosts
import Lab
import Storage
import SystemPackage
import TestSupport
import Testing

/// reader.py was written from docs/repository-format.md alone, so what it reads is what that page says.
@Suite("The independent reader")
struct FormatTests {
    static let majors = [15, 18]

    @Test("restores a server with its tablespace, its configuration and the last transaction", arguments: majors)
    func restores(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(settings: ["work_mem": "7MB"], configurationOutside: true)
            let pgark = try site.pgark(node)
            try site.tablespace("space", on: node)
            let oid = try node.value("SELECT oid FROM pg_tablespace WHERE spcname = 'space'")
            try node.sql("CREATE TABLE public.near AS SELECT n, md5(n::text) FROM generate_series(1, 50000) n")
            try node.sql("CREATE TABLE public.far TABLESPACE space AS SELECT * FROM public.near")
            let receiver = try pgark.receive()
            let backup = try #require(try pgark("backup").id.string)
            try node.sql("INSERT INTO public.near SELECT n, 'in the archive' FROM generate_series(1, 200) n")
            try pgark("wal", "switch")
            try node.sql("INSERT INTO public.far SELECT n, 'in a segment that was never finished' FROM generate_series(1, 30) n")
            let dump = try node.dumpDigest()
            try node.stop()
            try receiver.stop()
            let incoming = try Directory.names(in: pgark.repository.appending("incoming")) ?? []
            #expect(incoming.contains { $0.hasSuffix(".partial") })

            let reader = try Reader(site)
            #expect(try reader.succeed("list").hasPrefix(backup))
            try reader.succeed("verify", backup)
            let place = site.directory.appending("restored")
            let elsewhere = site.directory.appending("elsewhere")
            try reader.succeed("restore", backup, place.string, "--tablespace", "\(oid)=\(elsewhere)")

            let restored = try site.restored(in: place)
            try restored.recover()
            #expect(try restored.value("SELECT count(*) FROM public.near") == "50200")
            #expect(try restored.value("SELECT count(*) FROM public.far") == "50030")
            #expect(try restored.dumpDigest() == dump)
            #expect(try restored.value("SELECT pg_tablespace_location(\(oid))") == elsewhere.string)
            #expect(try restored.value("SHOW work_mem") == "7MB")
            for setting in ["config_file", "hba_file", "ident_file", "data_directory"] {
                #expect(try restored.value("SHOW \(setting)").hasPrefix(place.string))
            }
        }
    }

    /// On 15 pgark compares with the earlier backup, on 18 the server sends its changes.
    @Test("restores full and incremental backups, also from packs that were written anew", arguments: majors)
    func restoresIncrements(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(settings: major == 18 ? ["summarize_wal": "on"] : [:])
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try node.sql("CREATE TABLE public.large AS SELECT n, random() AS r FROM generate_series(1, 250000) n")
            let full = try State(pgark("backup"), node)
            // Changed blocks, new ones, ones that became zeros on the server, files that came and went.
            try node.sql("UPDATE public.large SET r = 0 WHERE n % 1000 = 0")
            try node.sql("INSERT INTO public.large SELECT n, random() FROM generate_series(1, 1000) n")
            try node.sql("CREATE TABLE public.small AS SELECT generate_series(1, 3) AS n")
            let increment = try State(pgark("backup"), node)
            try node.sql("CREATE TABLE public.other AS SELECT n FROM public.large; DROP TABLE public.large, public.small")
            let last = try State(pgark("backup"), node)
            #expect([full, increment, last].map(\.method) == ["full", "incremental", "incremental"])

            let reader = try Reader(site)
            for state in [full, increment] { try restore(state, by: reader, site) }
            #expect(try #require(pgark("delete", full.backup, increment.backup, "--yes").rewritten_packs.int) > 0)
            try restore(last, by: reader, site)
            try receiver.stop()
        }
    }

    /// What the server has as a backup of it ends.
    private struct State {
        let backup: String
        let method: String?
        let dump: String

        init(_ backup: JSON, _ node: TestServer) throws {
            self.backup = try #require(backup.id.string)
            method = backup.method.string
            dump = try node.dumpDigest()
        }
    }

    private func restore(_ state: State, by reader: Reader, _ site: TestSite) throws {
        try reader.succeed("verify", state.backup)
        let place = site.directory.appending("restored")
        try reader.succeed("restore", state.backup, place.string, "--consistent")
        let restored = try site.restored(in: place)
        try restored.recover()
        #expect(try restored.dumpDigest() == state.dump)
        restored.discard()
    }

    @Test("names what one changed byte damaged: a frame by its number, the index, the map")
    func namesDamage() throws {
        try withBackup { site, backup, pack in
            let reader = try Reader(site)
            let size = try #require(try Directory.status(pack)?.size)
            let map = pack.removingLastComponent().removingLastComponent().pushing(FilePath("backups/\(backup)/map.zst"))
            let name = "pack \(pack.stem ?? "")"
            // The first frame's header is at 16, its payload at 48, its sums behind; the index ends 24 bytes before the end.
            for (file, offset, message) in [
                (pack, 16 + 9, "\(name): frame 0: its header is damaged"),
                (pack, 100, "\(name): frame 0: its payload is damaged"),
                (pack, try firstSums(pack), "\(name): frame 0: its sums are damaged"),
                (pack, size - 30, "\(name): its index is damaged"),
                (map, 50, "map.zst: its CRC is"),
            ] {
                try invert(file, at: offset)
                #expect(try reader.fail("verify", backup).contains(message))
                try invert(file, at: offset)
            }
            try reader.succeed("verify", backup)
        }
    }

    @Test("believes no record that was changed, or that has no checksum of its own")
    func namesDamagedRecord() throws {
        try withBackup { site, backup, pack in
            let cluster = pack.removingLastComponent().removingLastComponent()
            let record = cluster.pushing(FilePath("backups/\(backup)/backup.json"))
            let text = try #require(try SmallFile.readText(record))
            for (changed, message) in [
                (text.replacing("\"node1\"", with: "\"node2\""), "backup.json: its CRC is"),
                (text.replacing("\"record_crc32c\"", with: "\"record_crc32d\""), "backup.json: it has no record_crc32c"),
            ] {
                try overwrite(record, changed.utf8)
                for command in [["list"], ["verify", backup], ["restore", backup, site.directory.appending("restored").string]] {
                    #expect(try Reader(site).fail(command).contains(message))
                }
            }
        }
    }

    @Test("says which files it could not restore, and why")
    func namesDamagedFiles() throws {
        try withBackup { site, backup, pack in
            try invert(pack, at: 100)
            let errors = try Reader(site).fail("restore", backup, site.directory.appending("restored").string)
            #expect(errors.contains("frame 0: its payload is damaged"))
            #expect(errors.contains("file backup_label: cannot be had without frame 0 of pack 0"))
        }
    }

    @Test("restores without the index and without sums where those are damaged")
    func doesWithoutIndex() throws {
        try withBackup { site, backup, pack in
            let size = try #require(try Directory.status(pack)?.size)
            try invert(pack, at: size - 30)
            try invert(pack, at: firstSums(pack))
            let reader = try Reader(site)
            let restored = site.directory.appending("restored")
            try reader.succeed("restore", backup, restored.string)
            let server = try site.restored(in: restored)
            try server.recover()
            #expect(try server.value("SELECT count(*) FROM public.marker") == "20000")
        }
    }

    /// Makes a backup of a server with a table of 20000 rows, and gives its identifier and its pack.
    private func withBackup(_ body: (TestSite, String, FilePath) throws -> Void) throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            try node.sql("CREATE TABLE public.marker AS SELECT generate_series(1, 20000) AS n")
            let pgark = try site.pgark(node)
            let backup = try #require(try pgark("backup").id.string)
            try node.stop()
            let packs = pgark.repository.appending("packs")
            let name = try #require(try Directory.names(in: packs)?.first)
            try body(site, backup, packs.appending(name))
        }
    }

    /// Where the sums of a pack's first frame are: behind its payload, whose length is at 8 in its header.
    private func firstSums(_ pack: FilePath) throws -> Int {
        let length = try File(pack, .read).bytes(at: 16 + 8, count: 4)
        return 48 + length.reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    private func invert(_ file: FilePath, at offset: Int) throws {
        let file = try File(file, .update)
        try [~file.bytes(at: offset, count: 1)[0]].withUnsafeBytes { try file.write($0, at: offset) }
    }
}

/// reader.py, run as the account of the servers is.
private struct Reader {
    let site: TestSite
    /// A copy, for the account may have no way to the sources.
    private let script: FilePath

    init(_ site: TestSite) throws {
        self.site = site
        script = site.directory.appending("reader.py")
        let source = FilePath(#filePath).removingLastComponent().appending("reader.py")
        try SmallFile.write(#require(try SmallFile.readText(source)), to: script, owner: site.owner)
    }

    private func run(_ arguments: [String]) throws -> Command.Outcome {
        let repository = site.directory.appending("repository").string
        let words = [script.string, arguments[0], repository, "test"] + arguments.dropFirst()
        var command = site.command("/usr/bin/env", ["python3"] + words)
        // Not a Python in the home of whoever runs the tests, which the account may not enter.
        command.environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
        return try command.outcome()
    }

    @discardableResult
    func succeed(_ arguments: String...) throws -> String {
        let outcome = try run(arguments)
        guard outcome.succeeded else { throw TestFailure("reader.py \(arguments): \(outcome.status)\n\(outcome.errors)") }
        return outcome.output
    }

    /// What it says of the damage.
    func fail(_ arguments: String...) throws -> String { try fail(arguments) }

    func fail(_ arguments: [String]) throws -> String {
        let outcome = try run(arguments)
        guard outcome.status == .exited(1) else { throw TestFailure("reader.py \(arguments): \(outcome.status)") }
        return outcome.errors
    }
}
