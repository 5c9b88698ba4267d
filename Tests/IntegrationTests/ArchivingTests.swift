import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A server that archives by itself")
struct ArchivingTests {
    static let segments = ["--wal-segsize=1"]

    @Test(
        "can be restored to any moment, and archives its new timeline", arguments: [15, 18].filter(TestMachine.majors.contains))
    func restores(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(settings: ["archive_mode": "on"], initdb: Self.segments)
            let pgark = try site.pgark(node)
            try node.archive(with: pgark)
            try node.createMarkers(1)
            try pgark("backup")
            try node.sql("INSERT INTO public.marker VALUES (2)")
            try node.sql("SELECT pg_create_restore_point('here')")
            try node.fillWAL(segments: 12)
            try node.sql("INSERT INTO public.marker VALUES (3)")
            try node.waitUntilArchived()
            #expect(try pgark("wal", "status").gaps.array.isEmpty)
            try node.stop()

            let early = try pgark.restore(to: "early", ["--target-name", "here"])
            try early.recover(settings: ["archive_mode": "on"])
            #expect(try early.markers() == 2)
            // It archives as the one that it was restored from does.
            try early.fillWAL(segments: 2)
            try early.waitUntilArchived()
            #expect(try Directory.exists(pgark.repository.appending("wal/00000002.history")))
            #expect(try pgark("wal", "status").timelines.array.count == 2)
            try early.stop()

            let late = try pgark.restore(to: "late", ["--target-timeline", "1"])
            try late.recover()
            #expect(try late.markers() == 3)
        }
    }

    @Test("does so beside its standby, which archives the same segments at the same time")
    func twoNodes() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary(settings: ["archive_mode": "always"], initdb: Self.segments)
            let pgark = try site.pgark(node)
            try node.archive(with: pgark)
            let standby = try site.standby(of: node, settings: ["archive_mode": "always"])
            try standby.archive(with: pgark)
            try node.fillWAL(segments: 20)
            let last = try node.waitUntilArchived()
            try eventually("the standby archives \(last)") {
                try standby.value("SELECT coalesce(last_archived_wal, '') >= '\(last)' FROM pg_stat_archiver") == "t"
            }
            for server in [node, standby] {
                #expect(try server.value("SELECT failed_count FROM pg_stat_archiver") == "0", "\(server.log)")
            }
            let status = try pgark("wal", "status")
            #expect(status.gaps.array.isEmpty && status.timelines[0].segments.int ?? 0 >= 20)

            // A promotion archives the history first, and the unfinished end of what it left.
            try node.sql("SELECT pg_logical_emit_message(true, 'test', 'unfinished')")
            let unfinished = try node.value("SELECT pg_walfile_name(pg_current_wal_lsn())")
            let end = try node.lsn()
            try eventually("the standby has it all") { try standby.lsn() >= end }
            try node.stop(.immediate)  // in order, it would end its segment
            try standby.promote()
            try standby.waitUntilArchived()
            let archive = pgark.repository.appending("wal")
            #expect(try Directory.exists(archive.appending("00000002.history")))
            let partial = archive.appending(String(unfinished.prefix(16))).appending(unfinished + ".partial.zst")
            #expect(try Directory.exists(partial), "\(standby.log)")
            #expect(try pgark("wal", "status").timelines.array.count == 2)
        }
    }

    @Test("does so beside a receiver, which fills the hole that archiving left")
    func besideReceiver() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary(settings: ["archive_mode": "on"], initdb: Self.segments)
            let pgark = try site.pgark(node)
            try node.archive(with: pgark)
            var receiver = try pgark.receive()
            try node.fillWAL(segments: 10)
            try node.waitUntilArchived()
            try pgark.waitUntilStored(try node.lsn())
            try receiver.stop()
            // Its slot keeps what is archived nowhere.
            try node.archive(command: "/bin/true")
            try node.fillWAL(segments: 5)
            try node.waitUntilArchived()
            try node.archive(with: pgark)
            try node.fillWAL(segments: 5)
            try node.waitUntilArchived()
            #expect(try pgark("wal", "status").gaps.array.count == 1)
            receiver = try pgark.receive(log: "second.log")
            try pgark.waitUntilStored(try node.lsn())
            try eventually("the hole is filled") { try pgark("wal", "status").gaps.array.isEmpty }
            #expect(try node.value("SELECT failed_count FROM pg_stat_archiver") == "0", "\(node.log)")
            try receiver.stop()
        }
    }

    @Test("is restored without what was given up, also while its new timeline has archived nothing but its history")
    func givenUpBranch() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary(settings: ["archive_mode": "on"], initdb: Self.segments)
            let pgark = try site.pgark(node)
            try node.archive(with: pgark)
            try node.createMarkers(1)
            try pgark("backup")
            try node.sql("SELECT pg_create_restore_point('good')")
            try node.sql("INSERT INTO public.marker VALUES (2)")
            try node.fillWAL(segments: 3)
            try node.waitUntilArchived()
            try node.stop()
            let back = try pgark.restore(to: "back", ["--target-name", "good", "--archive"])
            try back.recover(settings: ["archive_mode": "on"])
            try eventually("its history is archived") { try Directory.exists(pgark.repository.appending("wal/00000002.history")) }
            back.discard()

            let restored = try pgark.restore(to: "again", ["--target-timeline", "2"])
            try restored.recover()
            #expect(try restored.markers() == 1)
            // By itself a restored server archives nothing.
            #expect(try restored.value("SHOW archive_mode") == "off")
            restored.discard()
            let other = try pgark.restore(to: "other", ["--target-timeline", "1"])
            try other.recover()
            #expect(try other.markers() == 2)
        }
    }

    @Test("as a restored copy, on a new timeline, does not keep a receiver from the server that it follows")
    func restoredCopy() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary(settings: ["archive_mode": "on"], initdb: Self.segments)
            let pgark = try site.pgark(node)
            try node.archive(with: pgark)
            var receiver = try pgark.receive()
            try node.createMarkers(1)
            try pgark("backup")
            try pgark.waitUntilStored(try node.lsn())
            let copy = try pgark.restore(to: "copy")
            try copy.startBesideOriginal(settings: ["archive_mode": "on"])
            try eventually("it is recovered") { (try? copy.value("SELECT pg_is_in_recovery()")) == "f" }
            try copy.fillWAL(segments: 2)
            try copy.waitUntilArchived()
            try copy.stop()
            #expect(try pgark("wal", "status").timelines.array.map(\.timeline.int) == [1, 2])

            try receiver.stop()
            try node.sql("INSERT INTO public.marker VALUES (2)")
            receiver = try pgark.receive(log: "second.log")
            try receiver.waitUntil(prints: "Does a restored copy archive into this repository?")
            try pgark.waitUntilStored(try node.lsn())
            #expect(try pgark("wal", "status").gaps.array.isEmpty)
            try receiver.stop()
            try node.stop()
            let restored = try pgark.restore(to: "late", ["--target-timeline", "1"])
            try restored.recover()
            #expect(try restored.markers() == 2)
        }
    }

    @Test("is told of another segment of the same name, and of one that is not its own")
    func refused() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary(initdb: Self.segments)
            let pgark = try site.pgark(node)
            let name = try node.value("SELECT pg_walfile_name(pg_switch_wal())")
            let path = node.data.appending("pg_wal").appending(name)
            #expect(try pgark("wal", "put", path.string).was_stored.bool == false)
            #expect(try pgark("wal", "put", path.string).was_stored.bool == true)
            let copy = site.directory.appending(name)
            _ = try site.shell(
                "cp \"$1\" \"$2\"; printf X | dd of=\"$2\" bs=1 seek=500000 conv=notrunc status=none", "\(path)", "\(copy)")
            let error = try pgark.fails(.walConflict, 1, "wal", "put", copy.string)
            #expect(error.message.string?.contains(copy.string) == true && error.message.string?.contains("\(name).zst") == true)
            let other = try site.primary("other", initdb: Self.segments)
            let foreign = try other.value("SELECT pg_walfile_name(pg_switch_wal())")
            try pgark.fails(.foreignSystem, 3, "wal", "put", other.data.appending("pg_wal").appending(foreign).string)
        }
    }
}
