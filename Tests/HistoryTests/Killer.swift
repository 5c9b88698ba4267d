import Hosts
import Lab
import Storage
import SystemPackage
import TestSupport
import Testing

/// Runs commands that write to a repository: to their end, or to a random moment before it.
struct Killer {
    private let stage: Stage
    private var generator: SeededGenerator
    /// How long a command took when it was left alone the last time.
    private var seconds: [String: Double] = [:]
    /// How many of each command were killed while they lived.
    private(set) var kills: [String: Int] = [:]
    /// How many kills left a backup half made or half deleted.
    private(set) var leftovers = 0
    private var killsInARow = 0

    init(_ stage: Stage) {
        self.stage = stage
        generator = Seed(value: stage.seed.value &+ 2).generator
    }

    var allKills: Int { kills.values.reduce(0, +) }

    /// Whatever was killed before, it just works.
    mutating func complete(_ command: String, _ arguments: String...) throws {
        let outcome = try stage.pgark.run([command] + arguments)
        #expect(outcome.status == .exited(0), "\(command) after \(killsInARow) kills, \(stage.seed)\n\(outcome.text)")
        seconds[command] = outcome.seconds
        killsInARow = 0
        try expectWhole("after \(command)")
    }

    /// The moment is anywhere in the time that the command takes, so one that is quicker than before is over by then. A
    /// command that was never left alone before is left alone.
    mutating func kill(_ command: String, _ arguments: String...) throws {
        guard let seconds = seconds[command] else { return }
        let moment = seconds * Double.random(in: 0..<1, using: &generator)
        let process = try stage.site.start(stage.pgark.command([command] + arguments), log: "killed.log")
        if try process.kill(after: moment) {
            kills[command, default: 0] += 1
            killsInARow += 1
            if try hasLeftover() { leftovers += 1 }
        } else {
            killsInARow = 0
        }
        try expectWhole("\(command) killed after \(moment) s")
    }

    /// Each kill leaves one leftover at the most, and none outlives a command that comes to its end.
    private func expectWhole(_ context: String) throws {
        #expect(try stage.pgark.flaws(held: [.receive], leftovers: killsInARow) == [], "\(context), \(stage.seed)")
    }

    private func hasLeftover() throws -> Bool {
        let backups = stage.pgark.repository.appending("backups")
        let names = try Directory.names(in: backups) ?? []
        return try names.contains { try !Directory.exists(backups.pushing(FilePath("\($0)/backup.json"))) }
    }
}
