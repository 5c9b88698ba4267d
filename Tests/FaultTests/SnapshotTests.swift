import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// A copy of a server's storage is put back and goes another way on the same timeline: its WAL has the names, and at first
/// the positions, of what is stored.
@Suite("A server whose storage was put back")
struct SnapshotTests {
    @Test(
        "is refused where what it sends differs from what was acknowledged, and what is stored stays",
        arguments: [(false, 3, "could not continue the WAL"), (true, 1, "has the same name and other content")]
            as [(Bool, Int32, String)])
    func refused(atSegmentEnd: Bool, exit: Int32, message: String) throws {
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["wal_keep_size": "1GB"], initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try node.createMarkers(1)
            try pgark("backup")
            try node.stop()
            let snapshot = site.directory.appending("snapshot")
            try Command("/bin/cp", ["--archive", node.data.string, snapshot.string]).run()
            try node.start()
            try node.sql("INSERT INTO marker VALUES (2)")
            try pgark.waitUntilStored(try node.lsn())
            if atSegmentEnd { try pgark("wal", "switch") }
            receiver.kill()
            try node.vanish()
            try Directory.rename(snapshot, to: node.data)
            try node.start()
            // It gets further than the one before.
            try node.sql("CREATE TABLE other AS SELECT generate_series(1, 10)")
            try node.writeWAL(megabytes: 4)

            let again = try pgark.start("wal", "receive", log: "again.log")
            let status = try? again.wait(seconds: 10)
            #expect(status == .exited(exit) && again.output.contains(message), "\(again.output)")
            again.kill()
            try node.stop()
            let restored = try pgark.restore()
            try restored.recover()
            #expect(try restored.value("SELECT count(*) FROM marker") == "2")
        }
    }
}
