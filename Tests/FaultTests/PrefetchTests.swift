import Glibc
import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A recovery whose segments are prefetched")
struct PrefetchTests {
    /// Segments of a stopped server, archived, and a directory as a server in recovery has it.
    struct Archive {
        let site: TestSite
        let pgark: Pgark
        let names: [String]
        let originals: FilePath
        var folder: FilePath { site.directory.appending("recovery/pg_wal") }
        var prefetched: FilePath { folder.appending("pgark.prefetch") }
        var target: FilePath { folder.appending("RECOVERYXLOG") }

        func get(_ name: String, _ options: String...) throws -> Pgark.Outcome {
            try pgark.run(["wal", "get", name, target.string] + options)
        }

        /// Takes it as the server does: it is used, and goes.
        func take(_ name: String) throws {
            let outcome = try get(name)
            guard outcome.status == .exited(0) else { throw TestFailure("\(outcome.status): \(outcome.text)") }
            guard try SmallFile.read(target) == SmallFile.read(originals.appending(name)) else {
                throw TestFailure("\(name) is not what was archived")
            }
            try Directory.remove(target)
        }

        func ready(_ name: String) throws -> FilePath? {
            try Directory.names(in: prefetched)?.map { prefetched.appending($0).appending(name) }.first {
                try Directory.exists($0)
            }
        }

        func pid() throws -> Int32? {
            let outcome = try site.command("/usr/bin/pgrep", ["-f", "wal [p]refetch .*\(folder)"]).outcome()
            return outcome.output.split(separator: "\n").first.flatMap { Int32($0) }
        }
    }

    static func with(_ segments: Int, _ body: (Archive) throws -> Void) throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary(settings: ["archive_mode": "on", "wal_keep_size": "2GB"], initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            try node.archive(with: pgark)
            try node.fillWAL(segments: segments)
            try node.waitUntilArchived()
            try node.stop()
            let originals = node.data.appending("pg_wal")
            let names = try Directory.names(in: originals)!.filter { $0.utf8.count == 24 }
            let stored = try names.filter {
                try Directory.exists(pgark.repository.appending("wal").appending(String($0.prefix(16))).appending($0 + ".zst"))
            }
            let archive = Archive(site: site, pgark: pgark, names: stored, originals: originals)
            try Directory.create(archive.folder, owner: site.owner)
            try Directory.setOwner(of: archive.folder.removingLastComponent(), site.owner)
            try body(archive)
        }
    }

    @Test("gets them by a rename, all of them, and nothing is left")
    func renamed() throws {
        try Self.with(20) { archive in
            try archive.take(archive.names[0])
            let ready = try eventually("the next one lies ready") { try archive.ready(archive.names[1]) }
            let inode = try #require(try Directory.status(ready)).inode
            #expect(try archive.get(archive.names[1]).status == .exited(0))
            #expect(try Directory.status(archive.target)?.inode == inode)
            for name in archive.names.dropFirst(2) { try archive.take(name) }
            try eventually("nothing is left") { try Directory.names(in: archive.folder) == [] }
        }
    }

    @Test("goes on when the process in the background is killed at any time")
    func killed() throws {
        try Self.with(40) { archive in
            var kills = 0
            for (number, name) in archive.names.enumerated() {
                try archive.take(name)
                if number % 4 == 0, let pid = try archive.pid() {
                    kill(pid, SIGKILL)
                    kills += 1
                }
            }
            #expect(kills >= 3)
            try eventually("nothing is left") { try archive.pid() == nil }
            // The last one may have been killed: then the next one takes its things away.
            try archive.take(archive.names[0])
            for name in archive.names.dropFirst() { try archive.take(name) }
            try eventually("nothing is left") { try Directory.names(in: archive.folder) == [] }
        }
    }

    @Test("stops at a damaged segment, which is named, with nothing in its place; and so without prefetching")
    func damaged() throws {
        try Self.with(6) { archive in
            let name = archive.names[3]
            let path = archive.pgark.repository.appending("wal").appending(String(name.prefix(16))).appending(name + ".zst")
            let size = try #require(try Directory.status(path)).size
            let file = try File(path, .update)
            let byte = try file.bytes(at: size / 2, count: 1)[0]
            try [byte ^ 1].withUnsafeBytes { try file.write($0, at: size / 2) }
            for name in archive.names[..<3] { try archive.take(name) }
            for options in [[], ["--no-prefetch"]] as [[String]] {
                let outcome = try archive.pgark.run(["wal", "get", name, archive.target.string] + options)
                #expect(outcome.status == .exited(254) && outcome.errors.contains(name), "\(outcome.text)")
                #expect(try !Directory.exists(archive.target))
            }
        }
    }

    @Test(
        "does without where that is said, and where the disk is small; a full one is the delivery's own failure",
        .enabled(if: Tmpfs.isPossible, Tmpfs.condition))
    func small() throws {
        try Self.with(20) { archive in
            #expect(try archive.get(archive.names[0], "--no-prefetch").status == .exited(0))
            #expect(try archive.pid() == nil && Directory.names(in: archive.folder) == ["RECOVERYXLOG"])
            try Directory.removeTree(archive.site.directory.appending("recovery"))
            try Tmpfs.with(archive.site, megabytes: 16) { disk in
                try Directory.create(archive.site.directory.appending("recovery"), owner: archive.site.owner)
                try Directory.create(disk.path.appending("pg_wal"), owner: archive.site.owner)
                try Directory.link("\(disk.path)/pg_wal", at: archive.folder, owner: archive.site.owner)
                for name in archive.names[..<10] { try archive.take(name) }
                try eventually("nothing is left") { try Directory.names(in: archive.folder) == [] }
                try disk.fill(leaving: 0)
                let outcome = try archive.get(archive.names[10])
                #expect(outcome.status == .exited(254) && outcome.errors.contains("No space left"), "\(outcome.text)")
                #expect(try !Directory.exists(archive.target))
            }
        }
    }

    @Test(
        "reads everything, is not disturbed by kills, and leaves nothing in its directory",
        arguments: [15, 18].filter(TestMachine.majors.contains))
    func recovery(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(settings: ["archive_mode": "on"], initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            try node.archive(with: pgark)
            try pgark("backup")
            try node.sql("CREATE TABLE public.bulk AS SELECT g, md5(g::text) FROM generate_series(1, 400000) g")
            try node.waitUntilArchived()
            let digest = try node.dumpDigest()
            try node.stop()
            let restored = try pgark.restore()
            let killer = try site.start(
                site.command(
                    "/bin/sh", ["-c", "while :; do sleep 0.2; pkill -9 -f 'wal [p]refetch .*\(restored.data)/pg_wal'; done"]),
                log: "killer.log")
            try restored.recover(settings: ["archive_mode": "off"])
            killer.kill()
            #expect(try restored.dumpDigest() == digest)
            #expect(!restored.log.contains("FATAL"), "\(restored.log)")
            #expect(try restored.value("SELECT pg_is_in_recovery()") == "f")
        }
    }

    @Test("leaves nothing in the data directory when it has ended")
    func nothingLeft() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary(settings: ["archive_mode": "on"], initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            try node.archive(with: pgark)
            try pgark("backup")
            try node.sql("SELECT pg_create_restore_point('here')")
            try node.fillWAL(segments: 20)
            try node.waitUntilArchived()
            try node.stop()
            // More is archived than this recovery wants: what lies ready then is not taken by anybody.
            let restored = try pgark.restore(to: "restored", ["--target-name", "here"])
            try restored.recover(settings: ["archive_mode": "off"])
            try eventually("what was prefetched is gone") {
                try !Directory.exists(restored.data.appending("pg_wal/pgark.prefetch"))
            }
            #expect(!restored.log.contains("FATAL"), "\(restored.log)")
        }
    }
}
