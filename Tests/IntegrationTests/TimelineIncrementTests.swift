import Hosts
import Lab
import Postgres
import PostgresModel
import SystemPackage
import TestSupport
import Testing

@Suite("A backup after a switch of timelines")
struct TimelineIncrementTests {
    static let majors = TestMachine.majors.filter { $0 != 16 }

    private func settings(_ major: Int) -> [String: String] { major < 17 ? [:] : ["summarize_wal": "on"] }

    @Test("by a promotion builds on one of before", arguments: majors)
    func followsPromotion(major: Int) throws {
        try TestSite.with(major) { site in
            let node1 = try site.primary(settings: settings(major))
            let node2 = try site.standby(of: node1, settings: settings(major))
            let pgark = try site.pgark(node1, node2)
            try node1.createMarkers(20_000)
            let before = try pgark.backUp(node1)
            try node1.sql("UPDATE public.marker SET n = -n WHERE n % 5000 = 0")
            let position = try node1.lsn()
            try eventually("node2 has it") { try node2.lsn() >= position }
            try node1.stop()
            try node2.promote()
            try node2.sql("DELETE FROM public.marker WHERE n = 1")
            let after = try pgark.backUp(node2)
            #expect(after.backup.timeline.int == 2 && after.backup.reference.string == before.id)
            if major >= 17 { #expect(after.backup.read_reason == .null) }
            try pgark.expectRestored(before, ["--target-timeline", "current"])
            try pgark("delete", before.id, "--yes")
            try pgark.expectRestored(after)
        }
    }

    /// The newest backup is from a history that the server never had: what it has must not be taken for the server's.
    @Test("to the past builds on one that the server's history has, not on the newest", arguments: majors)
    func leavesDeadTimeline(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(settings: settings(major))
            var pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try node.createMarkers(20_000)
            let common = try pgark.backUp(node)
            try node.sql("UPDATE public.marker SET n = -n WHERE n % 5000 = 0")
            let fork = try node.lsn()
            try node.sql("UPDATE public.marker SET n = 0 WHERE n % 3 = 0")
            try node.sql("CREATE TABLE public.lost AS SELECT n FROM public.marker")
            let dead = try pgark.backUp(node)
            #expect(dead.backup.reference.string == common.id)
            try node.stop()
            try receiver.stop()

            let living = try pgark.restore(to: "living", ["--target-lsn", "\(fork)"])
            try living.recover()
            pgark = try site.pgark(living)
            try living.sql("UPDATE public.marker SET n = 1 WHERE n % 7 = 0")
            try living.sql("CREATE TABLE public.other AS SELECT -n AS n FROM public.marker")
            let next = try pgark.backUp(living)
            #expect(next.backup.timeline.int == 2 && next.backup.reference.string == common.id)
            let last = try pgark.backUp(living)
            #expect(last.backup.reference.string == next.id)
            if major >= 17 { #expect(last.backup.read_reason == .null) }
            try living.stop()

            #expect(try pgark("verify", "--all", "--deep").problems.array.isEmpty)
            try pgark.expectRestored(dead, ["--target-timeline", "current"])
            try pgark.expectRestored(next)
            try pgark("delete", common.id, dead.id, next.id, "--yes")
            try pgark.expectRestored(last)
        }
    }

    /// The server would take that backup, of a timeline that it knows, and leave out what only that timeline changed.
    @Test("that left within the only earlier backup is compared with that one, and no changes are asked for")
    func leftWithinBackup() throws {
        try TestSite.with(18) { site in
            let node = try site.primary(settings: settings(18).merging(["autovacuum": "off"]) { $1 })
            var pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try node.sql("CREATE TABLE public.filler AS SELECT n, md5(n::text) AS r FROM generate_series(1, 800000) n")
            // In many files, so that some are read late.
            try node.sql("CREATE TABLE public.large (n int, r text) PARTITION BY HASH (n)")
            for part in 0..<16 {
                try node.sql(
                    "CREATE TABLE public.part\(part) PARTITION OF public.large FOR VALUES WITH (MODULUS 16, REMAINDER \(part))")
            }
            try node.sql("INSERT INTO public.large SELECT n, repeat('x', 1000) FROM generate_series(1, 10000) n")
            // Nothing but an update changes a page from now on.
            try node.sql("VACUUM (FREEZE) public.large")
            let common = try pgark.backUp(node)

            // Each time a row on another page.
            let connection = try node.connect()
            try connection.query("SET synchronous_commit = off")
            let process = try pgark.start("backup", "--full")
            var updates = 0
            while process.status == nil {
                try connection.query("UPDATE public.large SET r = 'dead' WHERE n = \(updates * 7 % 10_000 + 1)")
                updates += 1
            }
            let only = try pgark("show", "latest")
            let begin = try #require(only.begin_lsn.string.flatMap { LSN($0) })
            let end = try #require(only.end_lsn.string.flatMap { LSN($0) })
            let fork = begin + 1000
            #expect(fork + 10_000 < end, "\(updates) updates")
            try node.stop()
            try receiver.stop()

            let living = try pgark.restore(to: "living", [common.id, "--target-lsn", "\(fork)"])
            try living.recover()
            pgark = try site.pgark(living)
            try pgark("delete", common.id, "--yes")
            try living.sql("CREATE TABLE public.other AS SELECT n FROM generate_series(1, 300000) n")
            // The numbers of the lost transactions are those of others now, which committed.
            let later = try living.connect()
            try later.query("SET synchronous_commit = off")
            for _ in 0...updates { try later.query("SELECT pg_current_xact_id()") }
            try living.sql("CHECKPOINT")
            #expect(try living.lsn() > end)
            let next = try pgark.backUp(living)
            #expect(next.backup.reference == only.id)
            #expect(next.backup.read_reason.string == "no earlier backup is of the server's history")
            try living.stop()
            try pgark.expectRestored(next)
        }
    }
}
