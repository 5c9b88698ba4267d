import Glibc
import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// kill -9 at any moment leaves a repository as before or as after (promise P3), and nothing in the way of the next run.
@Suite("Killed at any moment")
struct KillTests {
    static let kills = 20
    /// Large enough that each phase of a command takes long enough to be hit.
    static let megabytes = 120

    /// With a receiver the server sends what changed, else everything and it is compared.
    @Test("a backup leaves a whole repository, and the next one leaves no garbage", arguments: Seed.some(1), [true, false])
    func backup(seed: Seed, withReceiver: Bool) throws {
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["summarize_wal": "\(withReceiver)"], initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            try node.fill("large", megabytes: Self.megabytes)
            try Writer.prepare(node)
            // Its own stream holds WAL only while it runs, so without a receiver a slot keeps what is between two backups.
            if withReceiver {
                try pgark.receive()
            } else {
                try node.sql("SELECT pg_create_physical_replication_slot('pgark', true)")
            }
            let writer = Writer(node)
            try pgark("backup")
            let seconds = try timed { try pgark("backup") }
            var moments = KillMoments(seed, over: seconds, count: Self.kills)
            while let moment = moments.next() {
                let process = try pgark.start("backup", log: "killed.log")
                try moments.note(killed: process.kill(after: moment))
                try pgark.expectWhole(held: withReceiver ? [.receive] : [], "killed after \(moment) s, \(seed)")
            }
            try pgark("backup")
            let acknowledged = try writer.stop()
            try pgark("wal", withReceiver ? "switch" : "status")
            try pgark("backup")
            try pgark.expectNoGarbage()

            let restored = try pgark.restore()
            try restored.recover()
            let rows = try NumberedRows(restored)
            #expect(rows.hasNoHole && rows.last >= acknowledged, "\(rows), acknowledged \(acknowledged), \(seed)")
        }
    }

    @Test("a WAL receiver leaves WAL without a gap, and all that it reported", arguments: Seed.some(1), [15, 18])
    func receiver(seed: Seed, major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            try Writer.prepare(node)
            let receiver = try pgark.receive()
            try pgark("backup")
            try receiver.stop()
            let writer = Writer(node)
            let load = try site.start(
                node.instance.command("psql", ["--dbname=\(node.conninfo())", "--quiet", "--command=\(Self.bulk)"]),
                log: "load.log")
            // It starts, streams, completes segments and archives them within this time.
            var moments = KillMoments(seed, over: 1.5, count: Self.kills)
            var promised = 0
            while let moment = moments.next() {
                let process = try pgark.start("wal", "receive", log: "killed.log")
                let sample = (row: writer.acknowledged, end: try node.lsn())
                pause(moment)
                // Heard by the server before the kill, so it must be in the repository whatever comes.
                let reported = try node.reportedFlush()
                try moments.note(killed: process.kill(after: 0))
                if let reported, reported >= sample.end { promised = sample.row }
                try pgark.expectWhole("killed after \(moment) s, \(seed)")
                let received = try #require(try pgark.walPositions.received)
                #expect(try received >= reported ?? .zero && received >= node.slotPosition(), "\(seed)")
            }
            #expect(promised > 0, "no report was seen in \(Self.kills) runs")
            let orderly = try pgark.receive()
            try pgark.waitUntilStored(try node.lsn())
            #expect(try orderly.stop() == .exited(0))
            try pgark.expectNoGarbage()
            // Now both are lost in one moment, and there is nothing but the repository.
            let last = try pgark.start("wal", "receive", log: "last.log")
            let (row, end) = (writer.acknowledged, try node.lsn())
            try eventually("the last receiver reports row \(row)") { try node.reportedFlush().map { $0 >= end } ?? false }
            last.kill()
            load.kill()
            try node.crash()
            _ = try writer.stop()
            try pgark.expectWhole("after all kills, \(seed)")

            let restored = try pgark.restore()
            try restored.recover()
            let rows = try NumberedRows(restored)
            #expect(rows.hasNoHole && rows.last >= row && row >= promised, "\(rows), reported \(row), \(seed)")
        }
    }

    /// Fills a segment now and then.
    private static let bulk = """
        DO $$BEGIN FOR i IN 1..10000 LOOP
        EXECUTE 'CREATE TABLE bulk AS SELECT md5(g::text) FROM generate_series(1, 4000) g'; COMMIT;
        EXECUTE 'DROP TABLE bulk'; COMMIT; PERFORM pg_sleep(0.02); END LOOP; END$$
        """

    @Test("a restore leaves a directory that never starts and that the next one begins anew", arguments: Seed.some(1))
    func restore(seed: Seed) throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.fill("large", megabytes: Self.megabytes)
            try Writer.prepare(node)
            try pgark.receive()
            let writer = Writer(node)
            try writer.waitUntilAcknowledged(10)
            try pgark("backup")
            let place = site.directory.appending("restored")
            let arguments = ["restore", "--to", place.string, "--yes"]
            let seconds = try timed { try pgark.succeed(arguments) }
            try Directory.removeTree(place)

            var moments = KillMoments(seed, over: seconds, count: Self.kills)
            while let moment = moments.next() {
                let process = try site.start(pgark.command(arguments), log: "killed.log")
                try moments.note(killed: process.kill(after: moment))
                if process.status == .exited(0) { try Directory.removeTree(place) }
                try expectUnfinished(place, "killed after \(moment) s, \(seed)")
                // Complete but for the removal of the marker: that is never begun anew.
                if try Directory.exists(place.pushing(FilePath("global/pg_control"))) { try Directory.removeTree(place) }
                try pgark.expectWhole(held: [.receive], "killed after \(moment) s, \(seed)")
            }
            let acknowledged = try writer.stop()
            try pgark.waitUntilStored(try node.lsn())
            let restored = try pgark.restore()
            try restored.recover()
            let rows = try NumberedRows(restored)
            #expect(rows.hasNoHole && rows.last >= acknowledged, "\(rows), acknowledged \(acknowledged), \(seed)")
            #expect(try restored.dumpDigest() == node.dumpDigest())
        }
    }

    /// A directory is either empty or says that it is unfinished, and without its control file no server starts there.
    /// With the control file it is complete but for the marker, which goes last.
    private func expectUnfinished(_ place: FilePath, _ context: String) throws {
        guard let names = try Directory.names(in: place), !names.isEmpty else { return }
        let isMarked = names.contains("pgark_restore_incomplete")
        let canStart = try Directory.exists(place.pushing(FilePath("global/pg_control")))
        #expect(isMarked, "\(context): \(names)")
        if canStart { #expect(names.contains("recovery.signal") && names.contains("PG_VERSION"), "\(context): \(names)") }
    }
}

extension TestServer {
    /// Where the receiver's slot stands: the last report that the server took note of.
    fileprivate func slotPosition() throws -> LSN {
        LSN(try value("SELECT coalesce(restart_lsn, '0/0') FROM pg_replication_slots WHERE slot_name = 'pgark'")) ?? .zero
    }
}

/// Moments spread over a command's whole duration, one at random in each equal part of it, until `count` kills have met
/// a running process. A command that is quicker than its measure is not killed; then another moment takes its place, and the
/// measure, which was taken at a slower moment of the machine, becomes less.
struct KillMoments {
    private var generator: SeededGenerator
    private var seconds: Double
    private let count: Int
    private var killed = 0
    private var tried = 0

    /// So often it may be over already before the machine is too uneven for this test.
    private var most: Int { count * 3 }

    init(_ seed: Seed, over seconds: Double, count: Int) {
        generator = seed.generator
        self.seconds = seconds
        self.count = count
        print("\(count) kills within \(seconds) s, \(seed)")
    }

    mutating func next() -> Double? {
        if killed == count { return nil }
        guard tried < most else {
            Issue.record("only \(killed) of \(tried) processes were still running when they were to be killed")
            return nil
        }
        defer { tried += 1 }
        let part = Double(tried % count)
        return seconds * (part + Double.random(in: 0..<1, using: &generator)) / Double(count)
    }

    mutating func note(killed isKilled: Bool) {
        if isKilled { killed += 1 } else { seconds *= 0.8 }
    }
}
