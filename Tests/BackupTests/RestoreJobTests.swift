import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A restore")
struct RestoreJobTests {
    typealias Content = RepositoryExample.Content

    @Test("writes every byte of every file in its place, whatever the threads", arguments: [1, 3], Seed.some(2))
    func content(threads: Int, seed: Seed) throws {
        var random = seed.generator
        try RepositoryExample.with { example in
            let sizes = [0, 1, 8191, 8192, 8193, Frame.capacity, Frame.capacity + 1, 2 << 20]
            let contents = sizes.map { Content("base/5/\($0)", random.bytes($0)) } + [RestoreExample.control]
            let outcome = try RestoreExample.restore(example, try RestoreExample.backup(example, contents), threads: threads)
            #expect(outcome.files == contents.count && outcome.bytes == contents.reduce(0) { $0 + $1.bytes.count })
            let data = RestoreExample.data(example)
            for content in contents {
                let path = data.pushing(FilePath(content.path))
                #expect(try SmallFile.read(path) == content.bytes, "\(content.path)")
                #expect(try Directory.status(path)?.permissions == 0o600)
            }
            #expect(try Directory.status(data.appending("base").appending("5"))?.permissions == 0o750)
            #expect(
                try Directory.names(in: data) == [
                    "backup_manifest", "base", "global", "pgark_restore.json", "postgresql.auto.conf", "recovery.signal",
                ])
        }
    }

    @Test("of a damaged pack ends with what is damaged, and leaves no control file", arguments: [0.1, 0.5, 0.9])
    func damaged(place: Double) throws {
        try RepositoryExample.with { example in
            var random = Seed(value: 1).generator
            let record = try RestoreExample.backup(example, [Content("base/5/1", random.bytes(3 << 20)), RestoreExample.control])
            let path = example.packPath("\(record.id)-0")
            let file = try File(path, .update)
            try [UInt8](repeating: 0x55, count: 16).withUnsafeBytes { try file.write($0, at: Int(Double(try file.size) * place)) }
            let failure = try #require(throws: Failure.self) { try RestoreExample.restore(example, record) }
            #expect(failure.code == .damaged && failure.message.contains(path.string))
            #expect(try !Directory.exists(RestoreExample.data(example).pushing("global/pg_control")))
        }
    }

    @Test("of a backup without a control file is refused")
    func noControlFile() throws {
        try RepositoryExample.with { example in
            let record = try RestoreExample.backup(example, [Content("base/5/1", [1])])
            #expect(try #require(throws: Failure.self) { try RestoreExample.restore(example, record) }.code == .damaged)
        }
    }

    @Test("that was cut short is begun anew in the same place")
    func again() throws {
        try RepositoryExample.with { example in
            let incomplete = try RestoreExample.backup(example, [Content("base/5/1", [1])])
            #expect(throws: Failure.self) { try RestoreExample.restore(example, incomplete) }
            try overwrite(RestoreExample.data(example).pushing("base/5/leftover"), [1])
            _ = try example.catalogue.delete([incomplete.id], level: .standard)
            _ = try RestoreExample.restore(
                example, try RestoreExample.backup(example, [Content("base/5/2", [2]), RestoreExample.control]))
            #expect(try Directory.names(in: RestoreExample.data(example).pushing("base/5")) == ["2"])
        }
    }

    @Test("that is complete is not done again over it")
    func twice() throws {
        try RepositoryExample.with { example in
            let record = try RestoreExample.backup(example, [RestoreExample.control])
            _ = try RestoreExample.restore(example, record)
            #expect(throws: Failure.self) { try RestoreExample.restore(example, record) }
            #expect(try Directory.exists(RestoreExample.data(example).pushing("global/pg_control")))
        }
    }

    @Test("puts configuration files back, without the lines that lead to the old places", arguments: ["\n", "\r\n"])
    func configuration(lineEnd: String) throws {
        let lines = [
            "# a remark", "port = 5433", "data_directory = '/var/lib/old'", "hba_file = '/etc/old/pg_hba.conf'",
            "include 'extra.conf'",
            "include '/etc/other.conf'", "include_dir 'conf.d'", "",
        ]
        try RepositoryExample.with { example in
            let record = try RestoreExample.backup(
                example, [RestoreExample.control],
                configuration: [
                    (.config, "/etc/old/postgresql.conf", lines.joined(separator: lineEnd)),
                    (.hba, "/etc/old/pg_hba.conf", "data_directory all trust\n"),
                    (.included, "/etc/old/extra.conf", "work_mem = 5\n"),
                    (.included, "/etc/other.conf", "hba_file = 'x'\n"),
                ])
            let outcome = try RestoreExample.restore(example, record)
            let data = RestoreExample.data(example)
            #expect(outcome.configuration.files == ["postgresql.conf", "pg_hba.conf", "extra.conf", "included/3"])
            let text = try #require(try SmallFile.readText(data.appending("postgresql.conf")))
            // As the server reads it: lines end with a line feed, and a carriage return is white space.
            let kept = text.unicodeScalars.split(separator: "\n").map { String($0.filter { $0 != "\r" }) }
                .filter { !$0.hasPrefix("# ") && !$0.isEmpty }
            #expect(kept == ["port = 5433", "include 'extra.conf'", "include_dir 'conf.d'"])
            #expect(outcome.configuration.changes.count == 4)
            #expect(try SmallFile.readText(data.appending("pg_hba.conf")) == "data_directory all trust\n")
            #expect(try SmallFile.readText(data.appending("extra.conf")) == "work_mem = 5\n")
            #expect(try SmallFile.readText(data.pushing("included/3"))?.hasPrefix("# hba_file") == true)
            #expect(try Directory.status(data.appending("conf.d"))?.kind == .directory)
        }
    }

    @Test("leaves the directory's own configuration file beside the one that its server read")
    func setAside() throws {
        try RepositoryExample.with { example in
            let record = try RestoreExample.backup(
                example, [Content("postgresql.conf", Array("port = 1\n".utf8)), RestoreExample.control],
                configuration: [(.config, "/etc/old/postgresql.conf", "port = 2\n")])
            _ = try RestoreExample.restore(example, record)
            #expect(try SmallFile.readText(RestoreExample.data(example).appending("postgresql.conf")) == "port = 2\n")
            #expect(try SmallFile.readText(RestoreExample.data(example).appending("postgresql.conf.unused")) == "port = 1\n")
        }
    }
}
