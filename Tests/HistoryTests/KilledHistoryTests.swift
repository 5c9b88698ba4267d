import Lab
import TestSupport
import Testing

/// The same with kill -9: wherever a backup or a deletion is killed, the next command goes on from there.
@Suite("A random history of backups and deletions that are killed")
struct KilledHistoryTests {
    private static let backups = 12
    private static let kills = 15
    private static let survivors = 6
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
            while backups < Self.backups || killer.allKills < Self.kills {
                #expect(backups < Self.mostBackups, "only \(killer.kills) were killed in time, \(seed)")
                try stage.live(Int.random(in: 1...40, using: &generator))
                try killer.kill("backup")
                // What comes next is as random as what was killed.
                if backups > 3, Bool.random(using: &generator) { try killer.kill("delete", anyBackup(), "--yes") }
                if backups > 3, Bool.random(using: &generator) { try killer.complete("delete", anyBackup(), "--yes") }
                try killer.complete("backup")
                backups += 1
                if backups > 3 { try killer.kill("delete", anyBackup(), "--yes") }
            }
            while try stage.survivors().count > Self.survivors { try killer.complete("delete", anyBackup(), "--yes") }
            try stage.end()
            print("\(backups) backups, killed: \(killer.kills), leftovers: \(killer.leftovers)")
            #expect(killer.kills["backup"] != nil && killer.kills["delete"] != nil && killer.leftovers > 0, "\(killer), \(seed)")

            let survivors = try stage.survivors()
            #expect(try stage.pgark.garbage() == [], "\(seed)")
            try stage.expectAllRestore(survivors)
            try stage.expectNothingLeft(afterDeleting: survivors.shuffled(using: &generator))
        }
    }
}
