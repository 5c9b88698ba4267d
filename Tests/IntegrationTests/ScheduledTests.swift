import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Commands as a timer runs them, while others are at work.
@Suite("A scheduled run")
struct ScheduledTests {
    private static func prepared(_ site: TestSite) throws -> Pgark {
        let pgark = try site.pgark(try site.primary())
        try pgark.receive()
        try pgark("backup")
        return pgark
    }

    private static func count(_ pgark: Pgark) throws -> Int { try pgark("list").backups.array.count }

    @Test("waits for a backup that somebody takes, and then takes its own; the next one finds it waiting and ends")
    func backup() throws {
        try TestSite.with(TestMachine.newest) { site in
            let pgark = try Self.prepared(site)
            var other = try LockFile.take(pgark.repository.appending("locks/write.lock"), purpose: "pgark take a backup")
            #expect(other != nil)
            try pgark.fails(.locked, 7, "backup")
            let waiting = try pgark.start("backup", "--scheduled", log: "waiting.log")
            try waiting.waitUntil(prints: "waiting: could not take a backup: pgark take a backup, process")
            let next = try pgark("backup", "--scheduled")
            #expect(next.skipped.string == "the scheduled backup before this one still goes on" && next.id == .null)
            #expect(try Self.count(pgark) == 1 && waiting.status == nil)
            other = nil
            #expect(try waiting.wait() == .exited(0))
            #expect(try Self.count(pgark) == 2)
            #expect(waiting.output.components("waiting:") == 2, "it says so once: \(waiting.output)")
            #expect(try pgark("backup", "--scheduled").status.string == "done")
        }
    }

    @Test("of maintain waits for readers, keeps no backup from being taken meanwhile, and notes when it ended")
    func maintain() throws {
        try TestSite.with(TestMachine.newest) { site in
            let pgark = try Self.prepared(site)
            let lock = pgark.repository.appending("locks/read.lock")
            var reader = try LockFile.take(lock, exclusive: false, purpose: "a restore")
            try Directory.setOwner(of: lock, site.owner)
            #expect(reader != nil)
            try pgark.fails(.locked, 7, "maintain")
            let waiting = try pgark.start("maintain", "--scheduled", log: "waiting.log")
            try waiting.waitUntil(prints: "waiting: could not maintain the repository: a restore or a verification is reading")
            try pgark("backup", "--scheduled")
            #expect(try Self.count(pgark) == 2 && waiting.status == nil)
            #expect(try pgark("maintain", "--scheduled").skipped.string?.contains("still goes on") == true)
            #expect(try !Directory.exists(pgark.repository.appending("maintained.json")))
            reader = nil
            #expect(try waiting.wait() == .exited(0))
            #expect(try Directory.exists(pgark.repository.appending("maintained.json")))
        }
    }

    @Test("that is asked to end while it waits ends at once")
    func interrupted() throws {
        try TestSite.with(TestMachine.newest) { site in
            let pgark = try Self.prepared(site)
            let other = try LockFile.take(pgark.repository.appending("locks/write.lock"), purpose: "another")
            let waiting = try pgark.start("backup", "--scheduled", log: "waiting.log")
            try waiting.waitUntil(prints: "waiting:")
            #expect(try waiting.stop(seconds: 5) == .exited(130))
            withExtendedLifetime(other) {}
            #expect(try Self.count(pgark) == 1)
        }
    }

    @Test("of a receiver ends well and without a word where one runs, and else is one")
    func receiver() throws {
        try TestSite.with(TestMachine.newest) { site in
            let pgark = try site.pgark(try site.primary())
            let receiver = try pgark.start("wal", "receive", "--unless-running", log: "receiver.log")
            try receiver.waitUntil(prints: "WAL stream: from")
            let second = try pgark.run("wal", "receive", "--unless-running")
            #expect(second.status == .exited(0) && second.text.isEmpty, "\(second.text)")
            #expect(receiver.status == nil)
        }
    }

    @Test("of a receiver with a log of its own writes all there, and begins a new file when it is large")
    func log() throws {
        try TestSite.with(TestMachine.newest) { site in
            let pgark = try site.pgark(try site.primary()), log = site.directory.appending("own.log")
            try overwrite(log, [UInt8](repeating: UInt8(ascii: "x"), count: (1 << 20) + 1))
            try Directory.setOwner(of: log, site.owner)
            let receiver = try pgark.start("wal", "receive", "--log", log.string, log: "receiver.log")
            try eventually("it streams") { try SmallFile.readText(log)?.contains("WAL stream: from") == true }
            #expect(try Directory.status(FilePath("\(log).1"))?.size == (1 << 20) + 1)
            #expect(try Directory.status(log)!.size < 1000)
            #expect(receiver.output.isEmpty, "\(receiver.output)")
            // What ends it is in there too.
            #expect(try pgark.run("wal", "receive", "--log", log.string).text.isEmpty)
            #expect(try SmallFile.readText(log)?.contains("holds the lock") == true)
        }
    }
}

extension String {
    /// How many parts `separator` makes of it.
    fileprivate func components(_ separator: String) -> Int {
        split(separator: separator, omittingEmptySubsequences: false).count
    }
}
