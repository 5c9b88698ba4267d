import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// pg_upgrade makes a new system of a cluster: timeline 1 and low positions again, under another identifier.
@Suite("A cluster that was upgraded")
struct UpgradeTests {
    private static func marks(_ server: TestServer) throws -> String {
        try server.value("SELECT string_agg(n::text, ' ' ORDER BY n) FROM public.marks")
    }

    @Test("keeps both histories apart, and restores on either side")
    func upgrade() throws {
        try TestSite.with(16) { site in
            let node = try site.primary("old", initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            try node.sql("CREATE TABLE public.marks (n int)")
            try pgark("backup")
            let receiver = try pgark.receive()
            try node.sql("INSERT INTO public.marks VALUES (1)")
            let before = try node.value("SELECT clock_timestamp()")
            try node.sql("INSERT INTO public.marks VALUES (2)")
            try pgark.waitUntilStored(try node.lsn())
            let oldBackup = try #require(try pgark("list").backups[0].id.string)
            try node.stop()
            #expect(try receiver.stop() == .exited(0))

            let upgraded = try site.upgraded("new", from: node, to: 18, initdb: ["--wal-segsize=1"])
            let file = try site.pgark(upgraded)
            #expect(try file("list").backups.array.count == 1)
            // Not without being told; and what is there stays.
            try file.fails(.foreignSystem, nil, "backup")
            #expect(try file("upgrade", "--dry-run").changed.bool == false)
            #expect(try file("upgrade", "--yes").changed.bool == true)
            #expect(try file("upgrade", "--yes").changed.bool == false)

            let backup = try file("backup")
            #expect(backup.method.string == "full")
            let again = try file.receive(log: "upgraded.log")
            try upgraded.sql("INSERT INTO public.marks VALUES (3)")
            try file.waitUntilStored(try upgraded.lsn())
            #expect(try file("list").backups.array.map(\.id.string) == [backup.id.string, oldBackup])
            #expect(try file("list").recovery_window.timelines.array.count == 2)
            #expect(try file("verify", "--all", "--deep").problems.array.isEmpty)

            try file("restore", "--to", "\(site.directory)/after", "--yes")
            let after = try site.restored(in: site.directory.appending("after"), major: 18)
            try after.recover()
            #expect(try Self.marks(after) == "1 2 3")
            after.discard()
            // A moment of before the upgrade is one of the old server's, with its programs.
            let plan = try file("restore", "--to", "\(site.directory)/past", "--yes", "--target-time", before)
            #expect(plan.backup.string == oldBackup && "\(plan.remarks)".contains("before the upgrade"))
            let past = try site.restored(in: site.directory.appending("past"))
            try past.recover()
            #expect(try Self.marks(past) == "1")
            try file.fails(
                .noSuitableBackup, nil, "restore", "--to", "\(site.directory)/never", "--yes", "--target-lsn", "0/1000000")

            // Retention goes by the order of systems, not by names or positions.
            try file.configure("backup:\n  retention: { redundancy: 1 }\n")
            #expect(try file("maintain").deleted.array.map(\.string) == [oldBackup])
            #expect(try file("list").backups.array.map(\.id.string) == [backup.id.string])
            #expect(try again.stop() == .exited(0))
        }
    }
}
