import ArgumentParser
import Cluster
import Glibc
import PostgresModel

struct ApplyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Make the cluster what its file says.",
        discussion: """
            Shows the plan, asks, and does exactly that plan, or stops where the hosts have changed meanwhile. Interrupted, \
            it goes on when it is run again. Exit status 8: a host could not be reached, 3: something stands in the way of a \
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
        let facts = try hosts.observe()
        let plan = try selection.plan(file, facts)
        if !output.json { output.note(PlanDocument(plan).text(output)) }
        guard !plan.steps.isEmpty else { return try finish(plan, Executor.Outcome(), output) }
        let run = ApplyRun(hosts: hosts, journal: journal, output: output)
        try run.confirm("Do this?", plan, yes: yes, hint: "Add --yes to answer it, or see what would be done: pgark plan") {
            try selection.plan(file, $0)
        }
        try finish(plan, run.run(plan, facts), output)
    }

    private struct Document: Encodable {
        let plan: PlanDocument
        let done: Int
        let failed: [Failed]
        let skipped: Int

        struct Failed: Encodable { let node: String, message: String, detail: [String] }
    }

    private func finish(_ plan: Plan, _ outcome: Executor.Outcome, _ output: Output) throws {
        let document = Document(
            plan: PlanDocument(plan), done: outcome.done.count,
            failed: outcome.failed.map { .init(node: $0.step.host, message: $0.failure.message, detail: $0.failure.details) },
            skipped: outcome.skipped.count)
        try output.data(document) { "" }
        if !outcome.failed.isEmpty {
            if !output.json {
                for (_, failure) in outcome.failed { output.failure(failure) }
                output.note("\(outcome.done.count) steps done, \(outcome.failed.count) failed, \(outcome.skipped.count) left out")
            }
            throw ExitCode(outcome.failed[0].failure.code.exitStatus)
        }
        guard !plan.blocked.isEmpty else { return }
        let code: Failure.Code = plan.blocked.contains(where: \.isUnreachable) ? .hostUnreachable : .diverged
        throw ExitCode(code.exitStatus)
    }
}
