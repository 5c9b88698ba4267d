import Hosts
import Lab
import TestSupport
import Testing

/// The same with kill -9: wherever a backup or a deletion is killed, the next command goes on from there.
@Suite("A random history of backups and deletions that are killed")
struct KilledHistoryTests {
    private static let backups = 12
    private static let kills = 15
    private static let survivors = 6
    private static let least = 3
    /// Kills that come too late must be few enough that there are sufficient others after so many backups.
    private static let mostBackups = 40

    @Test("leaves only backups that equal an independent copy, and nothing else", arguments: TestMachine.majors, Seed.some(1))
    func history(major: Int, seed: Seed) throws {
        try Stage.with(major, seed) { stage in
            var killer = Killer(stage)
            var generator = seed.generator
            var backups = 0
            func anyBackup() throws -> String {
                try #require(try stage.survivors().map(\.id).randomElement(using: &generator))
            }
            // There shall be something left to restore.
            func deletable() throws -> String? { try stage.survivors().count > Self.least ? anyBackup() : nil }
            while backups < Self.backups || killer.allKills < Self.kills {
                #expect(backups < Self.mostBackups, "only \(killer.kills) were killed in time, \(seed)")
                try stage.live(Int.random(in: 1...40, using: &generator))
                try killer.kill("backup")
                // What comes next is as random as what was killed.
                if Bool.random(using: &generator), let id = try deletable() { try killer.kill("delete", id, "--yes") }
                if Bool.random(using: &generator), let id = try deletable() { try killer.complete("delete", id, "--yes") }
                try killer.complete("backup")
                backups += 1
                if let id = try deletable() { try killer.kill("delete", id, "--yes") }
            }
            // One at least, which takes away what the last kill left.
            repeat { try killer.complete("delete", anyBackup(), "--yes") } while try stage.survivors().count > Self.survivors
            try stage.end()
            print("\(backups) backups, killed: \(killer.kills), leftovers: \(killer.leftovers)")
            #expect(killer.kills["backup"] != nil && killer.kills["delete"] != nil && killer.leftovers > 0, "\(killer), \(seed)")

            let survivors = try stage.survivors()
            let garbage = try stage.pgark.garbage()
            #expect(garbage == [], "\(seed)")
            try stage.expectAllRestore(survivors)
            try stage.expectNothingLeft(afterDeleting: survivors.shuffled(using: &generator))
        }
    }
}
