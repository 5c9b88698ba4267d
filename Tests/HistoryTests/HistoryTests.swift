import TestSupport
import Testing

/// Backups of a server that never rests, taken and deleted at random: those that are left are what the server was.
///
/// What they are compared with was made by PostgreSQL alone. `PGARK_TEST_SEED` repeats all decisions, though not the moments
/// at which they meet the server.
@Suite("A random history of backups and deletions")
struct HistoryTests {
    private static let backups = 30
    private static let survivors = 10
    /// So many of the backups must be incremental.
    private static let incrementals = 15

    @Test("leaves only backups that equal an independent copy, and nothing else", arguments: TestMachine.majors, Seed.some(1))
    func history(major: Int, seed: Seed) throws {
        try Stage.with(major, seed) { stage in
            var generator = seed.generator
            var (existing, incrementals): ([String], Int) = ([], 0)
            func deleteAny() throws {
                try stage.pgark("delete", existing.remove(at: Int.random(in: 0..<existing.count, using: &generator)), "--yes")
            }
            for number in 1...Self.backups {
                try stage.live(Int.random(in: 1...40, using: &generator))
                if Int.random(in: 1...3, using: &generator) == 1 { try stage.node.sql("CHECKPOINT") }
                let full = Int.random(in: 1...8, using: &generator) == 1 ? ["--full"] : []
                let backup = try stage.pgark.succeed(["backup"] + full)
                existing.append(try #require(backup.id.string))
                if backup.method.string == "incremental" { incrementals += 1 }
                #expect(backup.bad_pages.array.isEmpty, "\(seed)")
                // Two for each three backups; what is left over goes in the end.
                while existing.count > 2, Int.random(in: 1...5, using: &generator) <= 2 { try deleteAny() }
                if number % 10 == 0 { try stage.pgark("verify", "--all") }
            }
            while existing.count > Self.survivors { try deleteAny() }
            try stage.end()
            #expect(incrementals >= Self.incrementals, "\(seed)")

            let survivors = try stage.survivors()
            #expect(Set(survivors.map(\.id)) == Set(existing), "\(seed)")
            let garbage = try stage.pgark.garbage()
            #expect(garbage == [], "\(seed)")
            try stage.expectAllRestore(survivors)
            try stage.expectNothingLeft(afterDeleting: survivors.shuffled(using: &generator))
        }
    }
}
