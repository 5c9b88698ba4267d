import ArgumentParser
import Backup
import PostgresModel
import Repository
import Storage

/// A command that a timer or cron runs.
struct ScheduledOption: ParsableArguments {
    @Flag(
        help: ArgumentHelp(
            "As a timer runs it: wait for others who are at work here, and show no progress.",
            discussion: "Where the scheduled run before this one still goes on, it ends at once and well."))
    var scheduled = false

    /// A restore or a first backup of a large cluster takes hours. Who waits longer than this for one has something to report.
    private static let patienceSeconds = 12.0 * 3600

    /// Runs `body` with the patience that is due. As a scheduled run it is the only one of its command.
    func run(_ command: String, in repository: Repository, _ output: Output, _ body: (Patience) throws -> Void) throws {
        guard scheduled else { return try body(.none) }
        guard let lock = try repository.lockForScheduled(command) else {
            let reason = "the scheduled \(command) before this one still goes on"
            return try output.data(Skipped(skipped: reason)) { "nothing was done: \(reason)" }
        }
        defer { withExtendedLifetime(lock) {} }
        try body(Patience(seconds: Self.patienceSeconds) { output.note("waiting: \($0.message)") })
    }

    private struct Skipped: Encodable { let skipped: String }
}
