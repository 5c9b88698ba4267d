import Hosts
import Lab
import PostgresModel
import TestSupport
import Testing

/// Promise P1: with the repository as the only synchronous standby, what a client was told is committed survives whatever is
/// killed, and the loss of the primary with all that it had.
@Suite("An acknowledged commit", .serialized)
struct CommitLossTests {
    /// `make soak` plays two hundred.
    private static var rounds: Int { Environment["PGARK_TEST_ROUNDS"].flatMap { Int($0) } ?? 60 }

    @Test("comes back from the repository alone, whatever process was killed", arguments: Seed.some(1))
    func kills(seed: Seed) throws { try play(seed, powerCuts: false) }

    @Test("comes back after a power cut of the repository's host", arguments: Seed.some(1))
    func powerCuts(seed: Seed) throws {
        let lost = try play(seed, powerCuts: true)
        // Otherwise nothing was tried.
        #expect(lost.changes > 0 && lost.names > 0, "\(lost), \(seed)")
    }

    @discardableResult
    private func play(_ seed: Seed, powerCuts: Bool) throws -> PowerCut.Report {
        try TestSite.with(18) { site in
            var rounds = try CommitRounds(site, seed.generator, powerCuts: powerCuts)
            let seconds = try timed {
                for _ in 1...Self.rounds {
                    let verdict = try rounds.play()
                    #expect(verdict.isRight, "\(verdict), \(seed)")
                }
            }
            print("\(Self.rounds) rounds in \(seconds) s, lost by power cuts: \(rounds.lost), \(seed)")
            try rounds.end()
            return rounds.lost
        }
    }

    /// The test of the test: where the disk lies, nothing that pgark does can help, and it must show.
    @Test("is lost where the disk lies about its syncs, and that is noticed", arguments: Seed.some(1))
    func lies(seed: Seed) throws {
        try TestSite.with(18) { site in
            var rounds = try CommitRounds(site, seed.generator, powerCuts: true, lies: true)
            var isNoticed = false
            for _ in 1...5 where !isNoticed { isNoticed = try !rounds.play().isRight }
            #expect(isNoticed, "\(seed)")
            try rounds.end()
        }
    }
}
