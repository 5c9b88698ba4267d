import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Timeline histories that are missing, or that two servers made under one number.
@Suite("A timeline's history")
struct HistoryFaultTests {
    @Test("that another server made under the same number is refused: both are named, and what is stored stays")
    func conflict() throws {
        try TestSite.with(18) { site in
            let node1 = try site.primary(settings: ["wal_keep_size": "1GB"], initdb: ["--wal-segsize=1"])
            try node1.createMarkers(1)
            let node2 = try site.standby("node2", of: node1)
            let node3 = try site.standby("node3", of: node1)
            // Node 3 has less of timeline 1 when it leaves it: equal histories would say nothing.
            try node3.stop()
            try node1.sql("CREATE TABLE missed AS SELECT 1")
            let position = try node1.lsn()
            try eventually("node2 has everything") { try node2.lsn() >= position }
            var pgark = try site.pgark(node1)
            let receiver = try pgark.receive()
            try pgark("backup")
            try pgark.waitUntilStored(try node1.lsn())
            try node1.stop()
            try receiver.stop()

            // Both take over, and so both begin timeline 2.
            try node2.promote()
            pgark = try site.pgark(node2)
            let second = try pgark.receive(log: "second.log")
            try node2.sql("INSERT INTO marker VALUES (2)")
            try pgark.waitUntilStored(try node2.lsn())
            try node2.stop()
            try second.stop()
            try node3.start()
            try node3.promote()
            let history = try #require(try SmallFile.readText(pgark.repository.pushing("wal/00000002.history")))

            let other = try site.pgark(node3)
            let error = try other.fails(.walConflict, 1, "wal", "receive")
            #expect(error.message.string?.contains("00000002.history") == true, "\(error)")
            #expect(error.detail.string?.contains("stored in") == true, "\(error)")
            #expect(try SmallFile.readText(pgark.repository.pushing("wal/00000002.history")) == history)
            let restored = try pgark.restore()
            try restored.recover()
            #expect(try restored.value("SELECT count(*) FROM marker") == "2")
        }
    }

    @Test("that is missing is noticed before a restore begins, and stored again by the receiver")
    func missing() throws {
        try TestSite.with(18) { site in
            let node1 = try site.primary(settings: ["wal_keep_size": "1GB"], initdb: ["--wal-segsize=1"])
            try node1.createMarkers(1)
            let node2 = try site.standby("node2", of: node1)
            let pgark = try site.pgark(node1, node2)
            let receiver = try pgark.receive()
            try pgark("backup")
            try node1.stop()
            try node2.promote()
            try node2.sql("INSERT INTO marker VALUES (2)")
            try pgark.waitUntilStored(try node2.lsn())
            try receiver.stop()

            try Directory.remove(pgark.repository.pushing("wal/00000002.history"))
            let place = site.directory.appending("never")
            for arguments in [[], ["--target-timeline", "2"]] {
                let error = try pgark.fails(
                    .targetUnreachable, 3, ["restore", "--to", place.string, "--yes"] + arguments)
                #expect(error.message.string?.contains("the history of timeline 2 is not stored") == true, "\(error)")
            }
            // Said to be absent, it would make a recovery end on timeline 1.
            let outcome = try pgark.run("wal", "get", "00000002.history", "\(place)", "--json")
            guard case .exited(126...255) = outcome.status else { throw TestFailure("\(outcome.status) \(outcome.text)") }
            #expect(try outcome.json.error.message.string?.contains("00000002.history") == true, "\(outcome.text)")

            let verified = try pgark.run("verify", "--all", "--json")
            #expect(verified.status == .exited(5), "\(verified.text)")
            #expect(try verified.json.problems.array.map(\.file.string) == ["WAL 00000002.history"], "\(verified.text)")

            try pgark.receive(log: "again.log")
            let restored = try pgark.restore()
            try restored.recover()
            #expect(try restored.value("SELECT count(*) FROM marker") == "2")
        }
    }
}
