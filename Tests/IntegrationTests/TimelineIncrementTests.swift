import Lab
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
            let node = try site.primary(settings: settings(18))
            var pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try node.sql("CREATE TABLE public.filler AS SELECT n, md5(n::text) AS r FROM generate_series(1, 800000) n")
            try node.sql("CREATE TABLE public.large AS SELECT n, repeat('x', 1000) AS r FROM generate_series(1, 5000) n")
            let common = try pgark.backUp(node)

            // Every change is on a page of its own, so those after the fork are of this history alone.
            var positions: [LSN] = []
            let process = try pgark.start("backup", "--full")
            while process.status == nil {
                try node.sql("UPDATE public.large SET r = 'dead' WHERE n = \(positions.count * 7 % 5000 + 1)")
                positions.append(try node.lsn())
            }
            let only = try pgark("show", "latest")
            let (begin, end) = (try #require(only.begin_lsn.string), try #require(only.end_lsn.string))
            let within = try positions.filter { try #require(LSN(begin)) < $0 && $0 < #require(LSN(end)) }
            #expect(within.count > 3, "\(begin) to \(end): \(positions)")
            try node.stop()
            try receiver.stop()

            let living = try pgark.restore(to: "living", [common.id, "--target-lsn", "\(try #require(within.first))"])
            try living.recover()
            pgark = try site.pgark(living)
            try pgark("delete", common.id, "--yes")
            try living.sql("CREATE TABLE public.other AS SELECT n FROM generate_series(1, 300000) n")
            try living.sql("CHECKPOINT")
            #expect(try living.lsn() > #require(LSN(end)))
            let next = try pgark.backUp(living)
            #expect(next.backup.reference == only.id)
            #expect(next.backup.read_reason.string == "no earlier backup is of the server's history")
            try living.stop()
            try pgark.expectRestored(next)
        }
    }
}
