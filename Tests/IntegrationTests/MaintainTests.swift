import Glibc
import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("Maintaining a repository")
struct MaintainTests {
    /// A row and a segment of its own for each number.
    private static func write(_ number: Int, to node: TestServer) throws {
        try node.sql("INSERT INTO public.marks VALUES (\(number))")
        try node.sql("SELECT pg_switch_wal()")
    }

    private static func marks(_ server: TestServer) throws -> String {
        try server.value("SELECT string_agg(n::text, ' ' ORDER BY n) FROM public.marks")
    }

    private static func prepared(_ site: TestSite, retention: String) throws -> (TestServer, Pgark) {
        let node = try site.primary(initdb: ["--wal-segsize=1"])
        try node.sql("CREATE TABLE public.marks (n int)")
        let pgark = try site.pgark(node)
        try pgark.configure("backup:\n  retention: \(retention)\n")
        return (node, pgark)
    }

    @Test("removes what retention does not need, and what stays restores as before", arguments: [15, 18])
    func retention(major: Int) throws {
        try TestSite.with(major) { site in
            let (node, pgark) = try Self.prepared(site, retention: "{ redundancy: 2 }")
            try pgark.receive()
            var backups: [String] = []
            var moment = ""
            for number in 1...4 {
                backups.append(try #require(try pgark("backup").id.string))
                try Self.write(number, to: node)
                if number == 3 { moment = try node.value("SELECT clock_timestamp()") }
            }
            try pgark("keep", backups[0])
            try pgark.waitUntilStored(try node.lsn())
            let obsolete = try pgark("list").backups.array.filter { $0.obsolete.bool == true }.map(\.id.string)
            #expect(obsolete == [backups[1]])
            let before = try pgark("wal", "status").timelines[0]

            let plan = try pgark("maintain", "--dry-run")
            #expect(try pgark("list").backups.array.count == 4)
            let outcome = try pgark("maintain")
            #expect(plan.deleted == outcome.deleted && outcome.deleted.array.map(\.string) == [backups[1]])
            #expect(plan.removed_segments == outcome.removed_segments && (outcome.removed_segments.int ?? 0) > 0)
            #expect(outcome.due_backup == .null)
            #expect(outcome.backups.array.allSatisfy { !$0.reasons.array.isEmpty })
            let after = try pgark("wal", "status").timelines[0]
            #expect(after.segments.int == before.segments.int! - outcome.removed_segments.int!)
            #expect(try pgark("maintain").deleted.array.isEmpty)
            #expect(try pgark("verify", "--all", "--deep").problems.array.isEmpty)

            // A pinned backup is worth itself, the others every later moment.
            for (name, target, expected) in [
                ("pinned", [backups[0], "--target-immediate"], "none"), ("end", [backups[2]], "1 2 3 4"),
                ("moment", ["--target-time", moment], "1 2 3"),
            ] {
                let restored = try pgark.restore(to: name, target)
                try restored.recover()
                let found = try restored.value("SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), 'none') FROM public.marks")
                #expect(found == expected, "\(name)")
                restored.discard()
            }
            try pgark.fails(
                .targetUnreachable, nil, "restore", backups[0], "--to", "\(site.directory)/never", "--yes", "--target-lsn",
                "\(try node.lsn())")
            try Self.expectRemoved(pgark, site, before.from_lsn.string)
        }
    }

    /// A recovery that asks for what retention took must stop, and not take it for the end of the archive.
    private static func expectRemoved(_ pgark: Pgark, _ site: TestSite, _ from: String?) throws {
        let status = try pgark("wal", "status")
        let gap = try #require(status.gaps[0].from_lsn.string.flatMap { LSN($0) })
        let segment = WALSegment(timeline: .first, holding: gap, size: WALSegmentSize(bytes: 1 << 20)!)
        let target = site.directory.appending("asked")
        let error = try pgark.fails(
            .walGap, 254, "wal", "get", segment.name(size: WALSegmentSize(bytes: 1 << 20)!), target.string)
        #expect(error.message.string?.contains("retention has removed it") == true)
        #expect(try !Directory.exists(target))
    }

    @Test("answers a gap with a backup, and nothing else with one")
    func gap() throws {
        try TestSite.with(18) { site in
            let (node, pgark) = try Self.prepared(site, retention: "{ window: 7d }")
            #expect(try pgark("maintain").backup.string != nil)  // without one nothing can be restored
            let receiver = try pgark.receive()
            try pgark("backup")
            try Self.write(1, to: node)
            try pgark.waitUntilStored(try node.lsn())
            #expect(try pgark("maintain").due_backup == .null)
            try receiver.stop()
            try node.sql("SELECT pg_drop_replication_slot('pgark')")
            for number in 2...4 { try Self.write(number, to: node) }
            try node.sql("CHECKPOINT")
            try node.sql("CHECKPOINT")
            try pgark.receive(log: "again.log")
            try pgark.waitUntilStored(try node.lsn())

            let status = try pgark("wal", "status")
            let gap = status.gaps[0]
            let (from, to) = (try #require(gap.from_lsn.string), try #require(gap.to_lsn.string))
            #expect(gap.reason.string?.isEmpty == false && gap.noticed_time.string != nil && gap.from_time.string != nil)
            #expect(try pgark("maintain", "--dry-run").due_backup.string?.contains("gap") == true)
            let backup = try #require(try pgark("maintain").backup.string)
            #expect(try pgark("maintain").due_backup == .null)
            #expect(try pgark("list").recovery_window.timelines[0].stretches.array.count == 2)

            // Before the gap and after it, but not within.
            try Self.write(5, to: node)
            try pgark.waitUntilStored(try node.lsn())
            let error = try pgark.fails(
                .targetUnreachable, nil, "restore", "--to", "\(site.directory)/never", "--yes", "--target-lsn", to)
            #expect("\(error)".contains(from), "\(error)")
            let before = try pgark.restore(to: "before", ["--target-lsn", from])
            try before.recover()
            #expect(try Self.marks(before) == "1")
            let after = try pgark.restore(to: "after", [backup])
            try after.recover()
            #expect(try Self.marks(after) == "1 2 3 4 5")
        }
    }
}

extension Pgark {
    /// Adds to the cluster file.
    func configure(_ text: String) throws {
        let old = try SmallFile.readText(configuration) ?? ""
        try SmallFile.write(old + text, to: configuration, owner: site.owner)
    }
}
