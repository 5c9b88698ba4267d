import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("After a promotion")
struct TimelineTests {
    /// One row before the promotion, a second one after it, on timeline 2; the backup is from before both.
    @Test("the receiver follows, and each timeline can be restored from a backup of before", arguments: TestMachine.majors)
    func followsPromotion(major: Int) throws {
        try TestSite.with(major) { site in
            let node1 = try site.primary(settings: ["wal_keep_size": "1GB"])
            let node2 = try site.standby(of: node1, settings: ["wal_keep_size": "1GB"])
            let pgark = try site.pgark(node1, node2)
            let receiver = try pgark.receive()
            try pgark("backup")
            try node1.createMarkers(1)
            let before = try node1.lsn()
            try eventually("node2 has the row") { (try? node2.markers()) == 1 }

            try node1.stop()
            try node2.promote()
            try node2.sql("INSERT INTO public.marker VALUES (2)")
            let after = try node2.lsn()
            try receiver.waitUntil(prints: "timeline 2")
            try pgark.waitUntilStored(after)
            #expect(receiver.status == nil)
            #expect(try node2.slots().contains("pgark"))
            let history = try #require(try SmallFile.readText(pgark.repository.pushing("wal/00000002.history")))
            #expect(try SmallFile.readText(node2.data.pushing("pg_wal/00000002.history")) == history)
            let status = try pgark("wal", "status")
            #expect(status.timelines.array.map(\.timeline.int) == [1, 2])
            #expect(status.gaps.array.isEmpty)
            try node2.stop()
            try receiver.stop()

            let targets: [(name: String, arguments: [String], rows: Int)] = [
                ("latest", [], 2), ("by-number", ["--target-timeline", "2"], 2), ("by-lsn", ["--target-lsn", "\(after)"], 2),
                ("current", ["--target-timeline", "current"], 1), ("first", ["--target-timeline", "1"], 1),
                ("before", ["--target-lsn", "\(before)"], 1),
            ]
            for target in targets {
                let restored = try pgark.restore(to: target.name, target.arguments)
                try restored.recover()
                #expect(try restored.markers() == target.rows, "\(target.name)")
                // A new timeline never takes the number of one that is stored.
                #expect(try restored.timeline() == "3", "\(target.name)")
                restored.discard()
            }
            let never = site.directory.appending("never")
            try pgark.fails(.targetUnreachable, 3, "restore", "--to", never.string, "--yes", "--target-timeline", "7")
            #expect(try site.isAbsent(never))
        }
    }

    @Test("the receiver takes nothing from the old primary when only that answers, and goes on when the new one is back")
    func refusesOldPrimary() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node1 = try site.primary(settings: ["wal_keep_size": "1GB"])
            let node2 = try site.standby(of: node1, settings: ["wal_keep_size": "1GB"])
            let pgark = try site.pgark(node1, node2)
            let receiver = try pgark.receive()
            try node1.createMarkers(1)
            let position = try node1.lsn()
            try eventually("node2 has the row") { (try? node2.markers()) == 1 }
            try pgark.waitUntilStored(position)
            try node1.stop()
            try node2.promote()
            try node2.sql("INSERT INTO public.marker VALUES (2)")
            try pgark.waitUntilStored(try node2.lsn())

            try node2.stop()
            try node1.start()
            try node1.sql("INSERT INTO public.marker VALUES (3)")
            try receiver.waitUntil(prints: "the server is on timeline 1")
            try node1.stop()
            try node2.start()
            try node2.sql("INSERT INTO public.marker VALUES (4)")
            try pgark.waitUntilStored(try node2.lsn())
            #expect(receiver.status == nil)
            let timelines = try pgark("wal", "status").timelines.array
            #expect(timelines.map(\.timeline.int) == [1, 2])
            try node2.stop()
            try node1.start()
            try receiver.stop()
            // One that only begins has no reason to believe that it will pass.
            let error = try pgark.fails(.diverged, 3, "wal", "receive")
            #expect(error.detail.string?.contains("the server is on timeline 1") == true, "\(error)")
        }
    }

    @Test("and two more while it was away, the receiver takes one timeline after the other")
    func severalTimelines() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary(settings: ["wal_keep_size": "1GB"])
            let pgark = try site.pgark(node)
            let first = try pgark.receive(log: "first.log")
            try pgark("backup")
            try node.createMarkers(1)
            try pgark.waitUntilStored(try node.lsn())
            try first.stop()
            for timeline in 2...4 {
                try node.stop()
                try SmallFile.write("", to: node.data.appending("standby.signal"), owner: site.owner)
                try node.start()
                try node.promote()
                try node.sql("INSERT INTO public.marker VALUES (\(timeline))")
            }
            let receiver = try pgark.receive()
            try pgark.waitUntilStored(try node.lsn())
            let status = try pgark("wal", "status")
            #expect(status.timelines.array.map(\.timeline.int) == [1, 2, 3, 4] && status.gaps.array.isEmpty)
            try receiver.stop()
            try node.stop()
            let restored = try pgark.restore()
            try restored.recover()
            #expect(try restored.markers() == 4 && restored.timeline() == "5")
        }
    }

    @Test("a backup of the new primary is restored by default, and the old one can still be named")
    func backsUpNewPrimary() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node1 = try site.primary(settings: ["wal_keep_size": "1GB"])
            let node2 = try site.standby(of: node1, settings: ["wal_keep_size": "1GB"])
            let pgark = try site.pgark(node1, node2)
            let old = try pgark("backup")
            try node1.createMarkers(1)
            let receiver = try pgark.receive()
            try pgark.waitUntilStored(try node1.lsn())
            try node1.stop()
            try node2.promote()
            let new = try pgark("backup")
            #expect(new.node.string == "node2" && new.timeline.int == 2)
            #expect(try pgark("list").backups.array.map(\.id) == [new.id, old.id])
            try receiver.stop()

            for backup in [new, old] {
                let id = try #require(backup.id.string)
                let restored = try pgark.restore(to: id, backup == new ? [] : [id])
                try restored.recover()
                #expect(try restored.markers() == 1)
                restored.discard()
            }
        }
    }

    @Test("a restore with --standby becomes a standby of the primary")
    func becomesStandby() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try pgark("backup")
            try node.createMarkers(1)
            try node.sql("SELECT pg_create_physical_replication_slot('third')")
            let standby = try pgark.restore(to: "standby", ["--standby", "--slot", "third"])
            try standby.startBesideOriginal()
            try eventually("it streams on its slot") {
                try node.value("SELECT active FROM pg_replication_slots WHERE slot_name = 'third'") == "t"
            }
            try eventually("it has the row") { (try? standby.markers()) == 1 }
            #expect(try standby.value("SELECT pg_is_in_recovery()") == "t")
        }
    }
}
