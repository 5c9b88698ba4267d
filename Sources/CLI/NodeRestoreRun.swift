import ArgumentParser
import Cluster
import Postgres
import PostgresModel
import Storage

/// `pgark restore --node`: the restored server first, then those who follow it.
struct NodeRestoreRun {
    let global: GlobalOptions
    let node: String
    let yes: Bool
    let dryRun: Bool

    func run(_ target: TargetOptions, _ backup: String?) throws {
        let output = global.output, begin = Deadline.now
        let file = try global.clusterFile()
        let journal = try Journal(cluster: file.name, command: "restore", node: node)
        let hosts = try ClusterHosts(file)
        let (questions, outline) = try hosts.outline(target.recoveryTarget(), backup: backup)
        let restore = NodeRestore(file, node: node, questions, outline)
        let facts = try hosts.observe()
        let plan = try restore.plan(facts), followers = restore.followers(facts)
        if !output.json { output.note(text(plan, outline, followers, output)) }
        func document(steps: Int = 0, reseeded: [String] = [], blocked: [Plan.Blockage] = []) -> Document {
            Document(
                backup: outline.backup, target: outline.target, timeline: outline.timeline, node: node,
                directory: facts.nodes[node]?.facts?.instance?.layout?.data, bytes: outline.bytes, files: outline.files,
                durationSeconds: dryRun ? 0 : Double(Deadline.now - begin) / 1e9, started: !dryRun, dryRun: dryRun, steps: steps,
                reseeded: reseeded, blockedBy: blocked)
        }
        if dryRun { return try output.data(document()) { "nothing was changed" } }
        let run = ApplyRun(hosts: hosts, journal: journal, output: output)
        try run.confirm("Restore \(node) to \(outline.target)?", plan, yes: yes, hint: ApplyRun.dryRunHint, again: restore.plan)
        let done = try run.execute(plan, facts)
        // Whoever followed the old server has what the new one never had.
        let next = try Planner.plan(
            file, hosts.observe(), rejoin: Dictionary(uniqueKeysWithValues: followers.map { ($0, .reseed) }))
        if !output.json, !next.steps.isEmpty || !next.blocked.isEmpty { output.note(PlanDocument(next).text(output)) }
        let doneThen = try run.execute(next, facts), blocked = next.blocked.filter { followers.contains($0.node) }
        let reseeded = followers.subtracting(blocked.map(\.node)).sorted()
        try output.data(document(steps: done.count + doneThen.count, reseeded: reseeded, blocked: blocked)) { "" }
        if let status = next.blockedStatus { throw ExitCode(status) }
        output.next("pgark status")
    }

    private func text(_ plan: Plan, _ outline: RestoreOutline, _ followers: Set<String>, _ output: Output) -> String {
        var rows = [
            ["restore", "\(node), which is the primary then"], ["backup", "\(outline.backup): \(outline.reason)"],
            ["target", outline.target], ["timeline", "\(outline.timeline)"], ["WAL", "without a gap to \(outline.walTo)"],
            ["data", "\(ByteCount(outline.bytes)) in \(outline.files) files"],
        ]
        rows += plan.changes.filter { $0.from != nil }.map { ["kept", "\($0.from!) \($0.to ?? "")"] }
        rows += followers.sorted().map { ["made anew", "\($0), which followed the old server; what it has is kept beside"] }
        rows += plan.remarks.map { ["note", $0] }
        return Output.table(["", ""], rows).split(separator: "\n").dropFirst().joined(separator: "\n")
    }

    private struct Document: Encodable {
        let backup: String
        let target: String
        let timeline: UInt32
        let node: String
        @Nullable var directory: String?
        let bytes: Int
        let files: Int
        let durationSeconds: Double
        let started: Bool
        let dryRun: Bool
        let steps: Int
        /// Standbys that were made anew …
        let reseeded: [String]
        /// … and those that could not be.
        let blockedBy: [Plan.Blockage]
    }
}

/// Carries plans out, and tells what is done.
struct ApplyRun {
    static let dryRunHint = "Add --yes to answer it, or see what would be done: --dry-run"

    let hosts: ClusterHosts
    let journal: Journal
    let output: Output

    /// Asks, and makes the plan again: what a person agreed to must still be what is to be done.
    func confirm(_ question: String, _ plan: Plan, yes: Bool, hint: String, again: (ClusterFacts) throws -> Plan) throws {
        if yes { return }
        try output.confirm(question, yes: yes, hint: hint)
        guard try again(hosts.observe()).doesTheSame(as: plan) else {
            throw Failure(
                .diverged, "could not go on with the plan: the hosts have changed since it was made",
                hint: "Give the command again, and see it anew.")
        }
    }

    /// Throws what failed first, after everything was done that did not need it.
    @discardableResult
    func execute(_ plan: Plan, _ facts: ClusterFacts) throws -> [Plan.Step] {
        let outcome = try run(plan, facts)
        if let (_, failure) = outcome.failed.first { throw failure }
        return outcome.done
    }

    func run(_ plan: Plan, _ facts: ClusterFacts) throws -> Executor.Outcome {
        var watch: CopyWatch?
        return try Executor(hosts, journal: journal).run(plan, facts.passwords) { step, progress in
            watch?.end()
            watch = nil
            if case .begins = progress, !output.json, let total = step.copiedBytes {
                watch = CopyWatch(step, total, hosts, output)
            }
            tell(step, progress)
        }
    }

    private func tell(_ step: Plan.Step, _ progress: Executor.Progress) {
        if output.json { return }
        let what = step.changes.first?.object ?? step.action.title
        switch progress {
        case .begins: break
        case .done(let remark): output.note("done   \(step.host): \(what)" + (remark.map { "; \($0)" } ?? ""))
        case .failed(let failure): output.note(output.paint("failed", .bad) + " \(step.host): \(what): \(failure.message)")
        }
    }
}
