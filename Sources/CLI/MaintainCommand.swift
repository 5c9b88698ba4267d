import ArgumentParser
import Backup
import Cluster
import PostgresModel
import Repository
import Storage

struct MaintainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "maintain", abstract: "One round of housekeeping: a backup where one is due, then retention.",
        discussion: """
            Backups and WAL that the cluster file's backup.retention does not need are removed, without a question: the file \
            is the answer. Where `apply` set up the repository's host it runs there every hour; elsewhere run it from cron, with --scheduled. A backup is due where the WAL that arrives cannot be used with any \
            that is there: after a gap, on a timeline that none leads to, or where there is none.
            """)

    @OptionGroup var global: GlobalOptions
    @Option(help: "The node to back up where a backup is due (default: the primary).") var node: String?
    @OptionGroup var threads: JobsOption
    @OptionGroup var timing: ScheduledOption
    @Flag(help: "Only say what would be done, and of each backup why it stays or goes.") var dryRun = false

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile(writes: true)
        try timing.run("maintain", in: Repository(of: file), output) { try run(file, $0, output) }
    }

    private func run(_ file: ClusterFile, _ patience: Patience, _ output: Output) throws {
        let job = MaintainJob(
            repository: Repository(of: file), policy: file.backup.retention, level: file.repository.compression)
        let outcome = try dryRun ? job.plan() : job.run(patience) { try takeBackup(file, patience, output) }
        try output.data(Document(outcome, dryRun: dryRun)) { text(outcome, output) }
        if let failure = outcome.backupFailure { throw failure }
    }

    private func takeBackup(_ file: ClusterFile, _ patience: Patience, _ output: Output) throws -> String {
        let progress = ProgressLine("received", isSilent: timing.scheduled)
        defer { progress.clear() }
        let job = BackupJob(
            repository: Repository(of: file),
            settings: BackupJob.Settings(file, try NodeChoice(file).source(named: node), threads: threads.jobs),
            reporter: progress.reporter(output))
        return try patience.run { try job.run().id }
    }

    // MARK: For a person

    private func text(_ outcome: MaintainJob.Outcome, _ output: Output) -> String {
        var lines: [String] = []
        if let due = outcome.dueBackup {
            let fate =
                outcome.backup.map { "taken: \($0)" } ?? (dryRun ? "would be taken" : output.paint("could not be taken", .bad))
            lines.append("a backup was due (\(due)) and \(fate)")
        }
        if !outcome.verdicts.isEmpty {
            lines.append(
                Output.table(
                    ["backup", dryRun ? "would" : "verdict", "because"],
                    outcome.verdicts.map { verdict in
                        let word = verdict.isObsolete ? output.paint(dryRun ? "go" : "deleted", .bad) : (dryRun ? "stay" : "kept")
                        return [verdict.id, word, verdict.reasons.joined(separator: "; ")]
                    }))
        }
        let (verb, deleted) = (dryRun ? "would free" : "freed", outcome.deleted.count)
        let freed = outcome.collection.freed + outcome.removedWAL.freed
        lines.append(
            "\(verb) \(freed): \(deleted) backup\(deleted == 1 ? "" : "s"), \(outcome.removedWAL.segments) WAL segments, "
                + "\(outcome.collection.removedPacks) packs; \(outcome.collection.rewrittenPacks) packs written anew")
        return lines.joined(separator: "\n")
    }

    private struct Document: Encodable {
        @Nullable var dueBackup: String?
        @Nullable var backup: String?
        let backups: [Retention.Verdict]
        @Nullable var windowBegin: Timestamp?
        let deleted: [String]
        let freedBytes: Int
        let removedPacks: Int
        let rewrittenPacks: Int
        let removedSegments: Int
        let removedWALBytes: Int
        let dryRun: Bool

        init(_ outcome: MaintainJob.Outcome, dryRun: Bool) {
            dueBackup = outcome.dueBackup
            backup = outcome.backup
            backups = outcome.verdicts
            windowBegin = outcome.windowBegin
            deleted = outcome.deleted
            freedBytes = (outcome.collection.freed + outcome.removedWAL.freed).rawValue
            removedPacks = outcome.collection.removedPacks
            rewrittenPacks = outcome.collection.rewrittenPacks
            removedSegments = outcome.removedWAL.segments
            removedWALBytes = outcome.removedWAL.freed.rawValue
            self.dryRun = dryRun
        }
    }
}
