import Glibc
import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// A disk that is full, read-only or not ours is told as such, and costs nothing that was stored before.
@Suite("A repository or a target", .enabled(if: Tmpfs.isPossible, Tmpfs.condition))
struct FullDiskTests {
    @Test("that fills up during a backup: disk-full, and what was stored is as before")
    func fullForBackup() throws {
        try TestSite.with(18) { site in
            try Tmpfs.with(site, megabytes: 200) { disk in
                let node = try site.primary()
                let pgark = try site.pgark(node, repository: "small/repository")
                let receiver = try pgark.receive()
                try pgark("backup")
                try node.fill("large", megabytes: 60)
                try pgark.waitUntilStored(try node.lsn())
                let before = try pgark.contents()
                try disk.fill(leaving: 20)
                let error = try pgark.fails(.diskFull, 1, "backup")
                #expect(error.message.string?.contains("No space left") == true, "\(error)")
                #expect(try pgark.contents() == before)
                #expect(try pgark("verify", "--deep", "--all").problems.array.isEmpty)
                try disk.makeSpace()
                try pgark("backup")
                try receiver.stop()
                try pgark.expectNoGarbage()
            }
        }
    }

    @Test("that is full for WAL: the receiver says so, stays, and goes on without a gap when there is space again")
    func fullForWAL() throws {
        try TestSite.with(18) { site in
            try Tmpfs.with(site, megabytes: 200) { disk in
                let node = try site.primary(initdb: ["--wal-segsize=1"])
                let pgark = try site.pgark(node, repository: "small/repository")
                let receiver = try pgark.receive()
                try pgark("backup")
                try Writer.prepare(node)
                let writer = Writer(node)
                try writer.waitUntilAcknowledged(100)
                try disk.fill(leaving: 4)
                try node.sql("CREATE TABLE public.bulk AS SELECT g, md5(g::text) FROM generate_series(1, 200000) g")
                try receiver.waitUntil(prints: "No space left on device")
                // It goes on trying for as long as it takes.
                try eventually("it tries again") { receiver.output.split(separator: "No space left").count > 3 }
                #expect(receiver.status == nil)
                #expect(try pgark("list").backups.array.count == 1)
                try disk.makeSpace()
                try pgark.waitUntilStored(try node.lsn())
                let acknowledged = try writer.stop()
                try pgark.waitUntilStored(try node.lsn())
                try pgark.expectWhole(held: [.receive], "after the disk was full")
                #expect(try receiver.stop() == .exited(0))

                let restored = try pgark.restore()
                try restored.recover()
                let rows = try NumberedRows(restored)
                #expect(rows.hasNoHole && rows.last >= acknowledged, "\(rows), acknowledged \(acknowledged)")
                #expect(try restored.value("SELECT count(*) FROM public.bulk") == "200000")
                try restored.stop()
            }
        }
    }

    @Test("that is too small for a restore: refused before anything is written")
    func tooSmall() throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try pgark("backup")
            try Tmpfs.with(site, megabytes: 10) { disk in
                let place = disk.path.appending("restored")
                let error = try pgark.fails(.noSpace, 3, "restore", "--to", place.string, "--yes")
                #expect(error.message.string?.contains("are free") == true)
                #expect(try !Directory.exists(place))
            }
        }
    }

    @Test("that fills up during a restore: disk-full, nothing that could start, and it can be begun anew")
    func fillsUpDuringRestore() throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try pgark("backup")
            // There is space, but only for so many files: that is noticed half-way.
            try Tmpfs.with(site, megabytes: 200, files: 400) { disk in
                let place = disk.path.appending("restored")
                let error = try pgark.fails(.diskFull, 1, "restore", "--to", place.string, "--yes")
                #expect(error.message.string?.contains("No space left") == true)
                #expect(try Directory.exists(place.appending("pgark_restore_incomplete")))
                #expect(try !Directory.exists(place.pushing(FilePath("global/pg_control"))))
                try disk.remount("nr_inodes=10000")
                let restored = try site.restored(in: place)
                try pgark("restore", "--to", place.string, "--yes")
                try restored.recover()
                try restored.stop()
            }
        }
    }

    @Test("that is read-only: out of reach for what writes, and named")
    func readOnly() throws {
        try TestSite.with(18) { site in
            try Tmpfs.with(site, megabytes: 200) { disk in
                let node = try site.primary()
                let pgark = try site.pgark(node, repository: "small/repository")
                try pgark("backup")
                let before = try pgark.contents()
                try disk.remount("ro")
                for arguments in [["backup"], ["wal", "receive"]] {
                    let error = try pgark.fails(.repositoryUnreachable, 8, arguments)
                    #expect(error.message.string?.contains("Read-only file system") == true, "\(arguments): \(error)")
                }
                #expect(try pgark("list").backups.array.map(\.status.string) == ["done"])
                try disk.remount("rw")
                #expect(try pgark.contents() == before)
            }
        }
    }

    @Test("that we may not read: out of reach, exit status 8, whatever the command")
    func unreadable() throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try pgark("backup")
            let before = try pgark.contents()
            let place = "\(site.directory)/restored"
            for directory in [pgark.repository.removingLastComponent(), pgark.repository] {
                try Directory.setPermissions(of: directory, 0)
                defer { try? Directory.setPermissions(of: directory, 0o750) }
                for arguments in [
                    ["backup"], ["list"], ["show", "latest"], ["verify"], ["wal", "status"], ["wal", "receive"],
                    ["restore", "--to", place, "--yes"], ["delete", "latest", "--yes"],
                ] {
                    let error = try pgark.fails(.repositoryUnreachable, 8, arguments)
                    #expect(error.message.string?.contains("\(directory)") == true, "\(arguments): \(error)")
                }
            }
            #expect(try pgark.contents() == before)
            #expect(try !Directory.exists(FilePath(place)))
        }
    }
}
