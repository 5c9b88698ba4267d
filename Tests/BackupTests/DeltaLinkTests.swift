import Backup
import Glibc
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

/// `pg_upgrade --link` and `cp --archive --link` make directories whose files are the very files of another one.
@Suite("A restore into files that another directory has too")
struct DeltaLinkTests {
    typealias Content = RepositoryExample.Content

    static func link(_ old: FilePath, _ new: FilePath) throws {
        guard Glibc.link(old.string, new.string) == 0 else { throw Failure.system("link \(old) to", new) }
    }

    static func snapshot(_ directory: FilePath, _ copy: FilePath) throws {
        try Directory.create(copy)
        for name in try Directory.names(in: directory) ?? [] {
            let (old, new) = (directory.appending(name), copy.appending(name))
            if try Directory.status(old)?.kind == .directory { try snapshot(old, new) } else { try link(old, new) }
        }
    }

    @Test("leaves the other directory as it is, and makes its own files anew")
    func isLeft() throws {
        try RepositoryExample.with { example in
            func content(_ fill: UInt8, _ count: Int) -> [UInt8] { [UInt8](repeating: fill, count: count) }
            let first = try RestoreExample.backup(
                example,
                [
                    Content("base/5/same", content(1, 20_000)), Content("base/5/changed", content(1, 20_000)),
                    Content("base/5/longer", content(1, 20_000)), Content("base/5/emptied", content(1, 20_000)),
                    Content("base/5/shorter", content(1, 100)), Content("base/5/gone", [1]),
                    Content("postgresql.auto.conf", Array("port = 1\n".utf8)), RestoreExample.control,
                ], configuration: [(.hba, "/etc/x/pg_hba.conf", "# one\n")])
            let second = try RestoreExample.backup(
                example,
                [
                    Content("base/5/same", content(1, 20_000)),
                    Content("base/5/changed", content(1, 10_000) + content(2, 10_000)),
                    Content("base/5/longer", content(1, 9000)), Content("base/5/emptied", []),
                    Content("base/5/shorter", content(1, 200)),
                    Content("postgresql.auto.conf", Array("port = 2\n".utf8)), RestoreExample.control,
                ], id: "20261124T000000Z", configuration: [(.hba, "/etc/x/pg_hba.conf", "# two\n")])
            let (data, other) = (RestoreExample.data(example), example.directory.appending("snapshot"))
            let expected = example.directory.appending("expected")
            _ = try RestoreExample.restore(example, first)
            try overwrite(data.appending(RestoreDestinationTests.marker), "somebody else's".utf8)
            try Directory.setPermissions(of: data.pushing("base/5/same"), 0o640)
            try Self.snapshot(data, other)
            let before = try RestoreExample.tree(other, times: true)

            _ = try RestoreExample.restore(example, second, delta: true)
            #expect(try RestoreExample.differences(RestoreExample.tree(other, times: true), before) == [])
            _ = try RestoreExample.restore(example, second, to: expected)
            #expect(try RestoreExample.differences(RestoreExample.tree(data), RestoreExample.tree(expected)) == [])
            for name in try RestoreExample.tree(data).keys {
                let status = try #require(try Directory.status(data.pushing(FilePath(name))))
                #expect(status.kind == .directory || status.links == 1, "\(name)")
            }
        }
    }
}
