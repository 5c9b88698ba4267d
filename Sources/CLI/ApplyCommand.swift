import ArgumentParser
import Cluster
import Glibc
import PostgresModel

struct ApplyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Make the cluster what its file says.",
        discussion: """
            Shows the plan, asks, and does exactly that plan, or stops where the hosts have changed meanwhile. What a stopped \
            server lacks is seen when it runs: then there is another plan. Interrupted, it goes on when it is run again. Exit status 8: a host could not be reached, 3: something stands in the way of a \
            part of it; the rest was done.
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var selection: PlanSelectionOptions
    @Flag(help: "Do not ask.") var yes = false

    func run() throws {
        let output = global.output
        let file = try global.clusterFile()
        let journal = try Journal(cluster: file.name, command: "apply")
        let hosts = try ClusterHosts(file)
        let run = ApplyRun(hosts: hosts, journal: journal, output: output)
        var whole = Plan(), outcome = Executor.Outcome()
        func round() throws -> Plan {
            let facts = try hosts.observe()
            let plan = try selection.plan(file, facts)
            if !output.json, !plan.steps.isEmpty || whole.steps.isEmpty { output.note(PlanDocument(plan).text(output)) }
            if !plan.steps.isEmpty {
                try run.confirm("Do this?", plan, yes: yes, hint: "Add --yes to answer it, or see what would be done: pgark plan")
                {
                    try selection.plan(file, $0)
                }
                outcome.add(try run.run(plan, facts))
            }
            whole.goOn(with: plan)
            return plan
        }
        if try round().startsStopped, outcome.failed.isEmpty { _ = try round() }
        try finish(whole, outcome, output)
    }

    private struct Document: Encodable {
        let plan: PlanDocument
        let done: Int
        let failed: [Failed]
        let skipped: Int

        struct Failed: Encodable {
            let node: String
            let code: String
            let message: String
            let detail: [String]
            @Nullable var hint: String?

            init(_ node: String, _ failure: Failure) {
                self.node = node
                code = failure.code.rawValue
                message = failure.message
                detail = failure.details
                hint = failure.hint
            }
        }
    }

    private func finish(_ plan: Plan, _ outcome: Executor.Outcome, _ output: Output) throws {
        let document = Document(
            plan: PlanDocument(plan), done: outcome.done.count,
            failed: outcome.failed.map { .init($0.step.host, $0.failure) },
            skipped: outcome.skipped.count)
        try output.data(document) { "" }
        if !outcome.failed.isEmpty {
            if !output.json {
                for (_, failure) in outcome.failed { output.failure(failure) }
                output.note("\(outcome.done.count) steps done, \(outcome.failed.count) failed, \(outcome.skipped.count) left out")
            }
            throw ExitCode(outcome.failed[0].failure.code.exitStatus)
        }
        if let status = plan.blockedStatus { throw ExitCode(status) }
    }
}

extension Plan {
    /// What the command ends with where a part of it cannot be done; nil where nothing stands in the way.
    var blockedStatus: Int32? {
        if blocked.isEmpty { return nil }
        return (blocked.contains(where: \.isUnreachable) ? Failure.Code.hostUnreachable : .diverged).exitStatus
    }
}
