import ArgumentParser
import Cluster
import PostgresModel

struct RejoinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rejoin", abstract: "Make a node a standby of the primary again, whatever it has.",
        discussion: """
            For a node whose history is not the primary's: an old primary after a failover, or a standby that was ahead. Its \
            data directory is kept beside, and a new one is made from the repository's newest backup, or from the primary.
            """)

    @OptionGroup var global: GlobalOptions
    @Argument(help: "The node.") var node: String
    @Flag(help: "Do not ask.") var yes = false
    @Flag(help: "Only print the plan.") var dryRun = false

    func run() throws {
        let output = global.output
        let file = try global.clusterFile()
        guard file.nodes.contains(where: { $0.name == node && $0.placement != nil }) else {
            throw Failure(
                .nodeMissing, "could not rejoin node \"\(node)\": the cluster file names no such host",
                details: ["nodes there: \(file.nodes.map(\.name).joined(separator: ", "))"])
        }
        let journal = try Journal(cluster: file.name)
        let hosts = try ClusterHosts(file)
        let facts = try hosts.observe()
        let plan = try Planner.plan(file, text: file.text, facts, reseed: [node])
        if let blocked = plan.blocked.first(where: { $0.node == node }) {
            throw Failure(.diverged, "could not rejoin \(node): \(blocked.reason)", hint: blocked.hint)
        }
        guard plan.steps.contains(where: { $0.host == node }) else {
            throw Failure(
                .diverged, "could not rejoin \(node): it is not clear which node is the primary",
                details: plan.blocked.map { "\($0.node): \($0.reason)" }, hint: "See the cluster: pgark status")
        }
        if !output.json { output.note(PlanDocument(plan).text(output)) }
        if dryRun { return try output.data(PlanDocument(plan)) { "nothing was changed" } }
        try output.confirm("Give up what only \(node) has, and make it a standby?", yes: yes)
        try ApplyRun(hosts: hosts, journal: journal, output: output).execute(plan, facts)
        try output.data(PlanDocument(plan)) { "" }
        output.next("pgark status")
    }
}
