import Cluster
import PostgresModel

/// `pgark restore --node`: the restored server first, then those who follow it.
struct NodeRestoreRun {
    let global: GlobalOptions
    let node: String
    let yes: Bool
    let dryRun: Bool

    func run(_ target: TargetOptions, _ backup: String?) throws {
        let output = global.output
        let file = try global.clusterFile()
        let journal = try Journal(cluster: file.name, command: "restore", node: node)
        let hosts = try ClusterHosts(file)
        let (questions, outline) = try hosts.outline(target.recoveryTarget(), backup: backup)
        let restore = NodeRestore(file, node: node, questions, outline)
        let facts = try hosts.observe()
        let plan = try restore.plan(facts), followers = restore.followers(facts)
        if !output.json { output.note(text(plan, outline, followers, output)) }
        if dryRun { return try output.data(Document(outline, node, done: 0, reseeded: [])) { "nothing was changed" } }
        let run = ApplyRun(hosts: hosts, journal: journal, output: output)
        try run.confirm("Restore \(node) to \(outline.target)?", plan, yes: yes, hint: ApplyRun.dryRunHint, again: restore.plan)
        var done = try run.execute(plan, facts).count
        // Whoever followed the old server has what the new one never had.
        let next = try Planner.plan(
            file, hosts.observe(), rejoin: Dictionary(uniqueKeysWithValues: followers.map { ($0, .reseed) }))
        if !output.json, !next.steps.isEmpty { output.note(PlanDocument(next).text(output)) }
        done += try run.execute(next, facts).count
        try output.data(Document(outline, node, done: done, reseeded: followers.sorted())) { "" }
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
        let bytes: Int
        let files: Int
        let steps: Int
        /// Standbys that were made anew.
        let reseeded: [String]

        init(_ outline: RestoreOutline, _ node: String, done: Int, reseeded: [String]) {
            backup = outline.backup
            target = outline.target
            timeline = outline.timeline
            self.node = node
            bytes = outline.bytes
            files = outline.files
            steps = done
            self.reseeded = reseeded
        }
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
        guard try again(hosts.observe()) == plan else {
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
        try Executor(hosts, journal: journal).run(plan, facts.passwords) { tell($0, $1) }
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
