import Glibc
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// The receiver as the only synchronous standby: what a client was told is committed survives the loss of the primary.
@Suite("With synchronous replication to the repository")
struct SynchronousTests {
    private static let rounds = 10

    private enum Victim: CaseIterable { case nobody, receiver, walSender }

    /// Each round loses the primary with all of its data. The server restored from the repository alone is the next one's
    /// primary, so the rounds go through as many timelines.
    @Test("every acknowledged row comes back from the repository alone", arguments: Seed.some(1))
    func losesNothing(seed: Seed) throws {
        var generator = seed.generator
        print("\(seed)")
        try TestSite.with(18) { site in
            // Dynamic shared memory in the data directory, so that a killed server leaves nothing of it behind.
            var node = try site.primary(settings: ["dynamic_shared_memory_type": "mmap"], initdb: ["--wal-segsize=1"])
            var pgark = try site.pgark(node)
            var receiver = try pgark.receive()
            try Writer.prepare(node)
            try node.sql("ALTER SYSTEM SET synchronous_standby_names = 'pgark'")
            try node.sql("SELECT pg_reload_conf()")
            try pgark("backup")
            for round in 1...Self.rounds {
                let writer = Writer(node)
                let before = writer.acknowledged
                try writer.waitUntilAcknowledged(before + 20)
                pause(Double.random(in: 0...0.3, using: &generator))
                let victim = Victim.allCases.randomElement(using: &generator) ?? .nobody
                switch victim {
                case .nobody: break
                case .receiver:
                    receiver.kill()
                    receiver = try pgark.receive()
                case .walSender:
                    if let pid = try? node.value("SELECT pid FROM pg_stat_replication WHERE application_name = 'pgark'") {
                        kill(try #require(Int32(pid)), SIGKILL)  // all sessions end, the server recovers from its crash
                    }
                }
                let reached = writer.acknowledged
                if victim != .walSender || Bool.random(using: &generator) { try writer.waitUntilAcknowledged(reached + 20) }
                pause(Double.random(in: 0...0.3, using: &generator))
                if Bool.random(using: &generator) { receiver.kill() }  // both at once, the repository's host a little earlier
                try node.vanish()
                let acknowledged = try writer.stop()
                receiver.kill()

                let restored = try pgark.restore(to: "restored\(round)")
                try restored.recover()
                let rows = try NumberedRows(restored)
                // One more may have been on its way; a row that was not acknowledged may be there or not.
                #expect(
                    rows.hasNoHole && rows.last >= acknowledged && rows.last <= acknowledged + 2,
                    "round \(round), \(victim): \(rows), acknowledged \(acknowledged), \(seed)")
                node = restored
                pgark = try site.pgark(node)
                receiver = try pgark.receive(log: "receiver\(round).log")
            }
        }
    }
}
