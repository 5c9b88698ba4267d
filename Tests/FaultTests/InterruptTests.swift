import Glibc
import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Asked to end, a command ends in order: what it had not completed is not there, what it had promised is.
@Suite("Interrupted")
struct InterruptTests {
    private static let times = 8

    @Test("a backup ends with 130 and leaves the repository as it was", arguments: Seed.some(1), [SIGINT, SIGTERM])
    func backup(seed: Seed, signal: Int32) throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            // Else what an interrupted backup had not received yet may be gone when the next one asks for it, which is a gap.
            try node.sql("SELECT pg_create_physical_replication_slot('pgark', true)")
            try node.fill("large", megabytes: 100)
            try pgark("backup", "--name", "first")
            let seconds = try timed { try pgark("backup") }
            var before = try pgark.contents()
            var moments = KillMoments(seed, over: seconds, count: Self.times)
            while let moment = moments.next() {
                let process = try pgark.start("backup", log: "interrupted.log")
                try process.waitForHandlers(printing: "backing up")
                pause(moment)
                process.send(signal)
                let status = try process.wait(seconds: 20)
                moments.note(killed: status == .exited(130))
                if status == .exited(0) { before = try pgark.contents() }
                #expect(
                    status == .exited(130) || status == .exited(0), "after \(moment) s, \(seed): \(status)\n\(process.output)")
                #expect(try pgark.contents() == before, "after \(moment) s, \(seed)")
                try pgark.expectWhole("after \(moment) s, \(seed)")
            }
            try pgark.expectNoGarbage()
        }
    }

    @Test("a restore ends with 130 and its directory can be begun anew", arguments: Seed.some(1))
    func restore(seed: Seed) throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.fill("large", megabytes: 100)
            try pgark("backup")
            let before = try pgark.contents()
            let place = site.directory.appending("restored")
            let arguments = ["restore", "--to", place.string, "--yes"]
            let seconds = try timed { try pgark.succeed(arguments) }
            try Directory.removeTree(place)
            var moments = KillMoments(seed, over: seconds, count: Self.times)
            while let moment = moments.next() {
                let process = try site.start(pgark.command(arguments), log: "interrupted.log")
                try process.waitForHandlers(printing: "restore to")
                pause(moment)
                process.send(SIGINT)
                let status = try process.wait(seconds: 20)
                moments.note(killed: status == .exited(130))
                #expect(
                    status == .exited(130) || status == .exited(0), "after \(moment) s, \(seed): \(status)\n\(process.output)")
                if status == .exited(0) { try Directory.removeTree(place) }
                #expect(try !Directory.exists(place.pushing(FilePath("global/pg_control"))), "after \(moment) s, \(seed)")
            }
            #expect(try pgark.contents() == before)
            try pgark.restore().recover()
        }
    }

    @Test("a WAL receiver ends with 0 and has all that it reported, byte for byte what the server wrote", arguments: Seed.some(1))
    func receiver(seed: Seed) throws {
        var generator = seed.generator
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["wal_keep_size": "1GB"])
            let pgark = try site.pgark(node)
            try Writer.prepare(node)
            let writer = Writer(node)
            for _ in 1...5 {
                let receiver = try pgark.receive()
                pause(Double.random(in: 0...0.5, using: &generator))
                #expect(try receiver.stop() == .exited(0), "\(receiver.output)")
                let position = "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'pgark' AND NOT active"
                let reported = try eventually("the slot is free") { try node.sql(position).first?[0].flatMap { LSN($0) } }
                let (received, durable) = try pgark.walPositions
                #expect(received.map { $0 >= reported } == true && durable.map { $0 >= reported } == true, "\(seed)")
                // The file begins with what the server's own begins with, up to what was reported.
                let size = try #require(WALSegmentSize(bytes: 16 << 20))
                let name = WALSegment(timeline: .first, endingAt: reported, size: size).name(size: size)
                let count = size.offset(of: LSN(rawValue: reported.rawValue - 1)) + 1
                let delivered = site.directory.appending(name)
                #expect(try pgark.run("wal", "get", name, delivered.string).status == .exited(0))
                try site.command("/usr/bin/cmp", ["--bytes=\(count)", delivered.string, "\(node.data)/pg_wal/\(name)"]).run()
            }
            try writer.stop()
        }
    }
}

/// Two of a kind get in each other's way; the second one gives way and says to whom.
@Suite("A second writer")
struct LockTests {
    @Test("of backups is refused with 7 and names the first, which ends well")
    func secondBackup() throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.fill("large", megabytes: 100)
            let first = try pgark.start("backup", log: "first.log")
            try first.stopInTheMiddle(of: node)
            let error = try pgark.fails(.locked, 7, "backup")
            #expect(error.message.string?.contains("\(first.pid)") == true, "\(error)")
            #expect(try pgark("list").backups.array.map(\.status.string) == ["running"])
            first.send(SIGCONT)
            #expect(try first.wait() == .exited(0), "\(first.output)")
            try pgark.expectWhole("after both")
            try pgark.expectNoGarbage()
        }
    }

    @Test("of WAL is refused with 7 and names the first, which streams on")
    func secondReceiver() throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let first = try pgark.receive()
            let error = try pgark.fails(.locked, 7, "wal", "receive")
            #expect(error.message.string?.contains("\(first.pid)") == true, "\(error)")
            try node.sql("CREATE TABLE public.t AS SELECT generate_series(1, 1000)")
            try pgark.waitUntilStored(try node.lsn())
            #expect(try first.stop() == .exited(0))
        }
    }
}

extension BackgroundProcess {
    /// Before its handlers are there a signal ends it as any program. They are when it says what it is about to do.
    fileprivate func waitForHandlers(printing text: String) throws { try waitUntil(prints: text) }
}
