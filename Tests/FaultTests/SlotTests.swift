import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// What becomes of the receiver's slot while the receiver is away.
@Suite("The receiver's slot")
struct SlotTests {
    @Test("that was dropped behind its back is made anew, and nothing is missed where the server has the WAL still")
    func dropped() throws {
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["wal_keep_size": "1GB"], initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try node.createMarkers(1)
            try pgark("backup")
            try receiver.stop()
            try node.sql("SELECT pg_drop_replication_slot('pgark')")
            try node.sql("INSERT INTO marker VALUES (2)")
            try node.writeWAL(megabytes: 3)
            try pgark.receive(log: "again.log")
            try pgark.waitUntilStored(try node.lsn())
            #expect(try node.value("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'pgark'") == "reserved")
            try pgark.expectWhole(held: [.receive], "after the slot was dropped")
            try expectMarkers(2, pgark, "restored", [])
        }
    }

    @Test("that the server invalidated because it was idle is made anew, by the receiver and by a backup without one")
    func idle() throws {
        try TestSite.with(18) { site in
            let node = try site.primary(
                settings: ["idle_replication_slot_timeout": "1s", "wal_keep_size": "1GB"], initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try pgark("backup")
            try node.createMarkers(1)
            try receiver.stop()
            func invalidate() throws {
                try eventually("the slot is invalidated") {
                    try node.writeWAL(megabytes: 1)
                    try node.sql("CHECKPOINT")
                    let why = "SELECT coalesce(invalidation_reason, '') FROM pg_replication_slots WHERE slot_name = 'pgark'"
                    return try node.value(why) == "idle_timeout"
                }
            }
            try invalidate()
            let again = try pgark.receive(log: "again.log")
            try node.sql("INSERT INTO marker VALUES (2)")
            try pgark.waitUntilStored(try node.lsn())
            #expect(again.output.contains("was invalidated") && !again.output.contains("GAP"), "\(again.output)")
            try again.stop()
            try invalidate()
            try pgark("backup")
            try expectMarkers(2, pgark, "idle", [])
        }
    }

    @Test(
        "that has never held anything, as apply leaves it on a standby, is taken over when that is the primary",
        arguments: [15, 18])
    func spare(major: Int) throws {
        try TestSite.with(major) { site in
            let node1 = try site.primary(settings: ["wal_keep_size": "1GB"])
            let node2 = try site.standby(of: node1, settings: ["wal_keep_size": "1GB"])
            try node2.sql("SELECT pg_create_physical_replication_slot('pgark')")
            let pgark = try site.pgark(node1, node2)
            let receiver = try pgark.receive()
            try pgark("backup")
            try node1.createMarkers(1)
            let position = try node1.lsn()
            try eventually("node2 has the row") { try node2.value("SELECT pg_last_wal_replay_lsn() >= '\(position)'") == "t" }
            try pgark.waitUntilStored(position)

            try node1.stop()
            try node2.promote()
            try node2.sql("INSERT INTO marker VALUES (2)")
            try receiver.waitUntil(prints: "has never held any WAL; it is made anew")
            try pgark.waitUntilStored(try node2.lsn())
            #expect(!receiver.output.contains("GAP") && !receiver.output.contains("lost its WAL"), "\(receiver.output)")
            #expect(try node2.value("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'pgark'") == "reserved")
            try receiver.stop()
            try node2.stop()
            try expectMarkers(2, pgark, "spare", [])
        }
    }

    @Test("that was away for longer than its budget leaves a gap, which a new backup ends; around the gap everything restores")
    func overBudget() throws {
        try TestSite.with(18) { site in
            let node = try site.primary(
                settings: ["max_slot_wal_keep_size": "2MB", "wal_keep_size": "0", "min_wal_size": "2MB", "max_wal_size": "4MB"],
                initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try pgark("backup")
            try node.createMarkers(1)
            let before = try node.lsn()
            try pgark.waitUntilStored(before)
            try receiver.stop()

            try node.writeWAL(megabytes: 8)
            try node.sql("INSERT INTO marker VALUES (2)")
            let within = try node.lsn()
            try node.writeWAL(megabytes: 8)
            try eventually("the slot is lost") {
                try node.sql("CHECKPOINT")
                return try node.value("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'pgark'") == "lost"
            }
            let again = try pgark.receive(log: "again.log")
            #expect(again.output.contains("GAP") && again.output.contains("lost its WAL"), "\(again.output)")
            try node.sql("INSERT INTO marker VALUES (3)")
            try pgark.waitUntilStored(try node.lsn())
            #expect(try node.value("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'pgark'") == "reserved")
            #expect(try pgark("wal", "status").gaps.array.count == 1)
            // The only backup lies before the gap.
            let place = site.directory.appending("never").string
            try pgark.fails(.targetUnreachable, 3, "restore", "--to", place, "--yes", "--target-lsn", "\(try node.lsn())")

            try pgark("backup")
            try node.sql("INSERT INTO marker VALUES (4)")
            try pgark.waitUntilStored(try node.lsn())
            try expectMarkers(1, pgark, "before", ["--target-lsn", "\(before)"])
            try expectMarkers(4, pgark, "after", [])
            let error = try pgark.fails(.targetUnreachable, 3, "restore", "--to", place, "--yes", "--target-lsn", "\(within)")
            // From before the gap, which is as far as one gets.
            #expect(error.detail.string?.contains("the WAL of timeline 1 reaches 0/") == true, "\(error)")
            #expect(try pgark("list").recovery_window.gaps.array.count == 1)
        }
    }

    private func expectMarkers(_ count: Int, _ pgark: Pgark, _ name: String, _ arguments: [String]) throws {
        let restored = try pgark.restore(to: name, arguments)
        try restored.recover()
        #expect(try restored.value("SELECT count(*) FROM marker") == "\(count)", "\(name)")
        restored.discard()
    }
}

extension TestServer {
    /// Rows 1 … `count` of a table that says how far a recovery came.
    func createMarkers(_ count: Int) throws {
        try sql("CREATE TABLE public.marker AS SELECT generate_series(1, \(count)) AS n")
    }
}
