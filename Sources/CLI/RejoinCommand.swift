import ArgumentParser
import Cluster
import PostgresModel

struct RejoinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rejoin", abstract: "Make a node a standby of the primary again, whatever it has.",
        discussion: """
            For a node whose history is not the primary's: an old primary after a failover, or a standby that was ahead. A copy \
            of its data directory is rewound (pg_rewind), so that only what differs travels; where that cannot be, a new one is \
            made from the repository's newest backup, or from the primary. What it had is kept beside.
            """)

    @OptionGroup var global: GlobalOptions
    @Argument(help: "The node.") var node: String
    @Flag(help: "Rewind its data directory itself; what only it has is lost. Takes no space.") var inPlace = false
    @Flag(help: "Make it anew, also where it could be rewound.") var reseed = false
    @Flag(help: "Do not ask.") var yes = false
    @Flag(help: "Only print the plan.") var dryRun = false

    func validate() throws {
        if inPlace, reseed { throw ValidationError("--in-place and --reseed contradict each other") }
    }

    func run() throws {
        let output = global.output
        let file = try global.clusterFile()
        try file.requirePlaced(node, to: "rejoin")
        let journal = try Journal(cluster: file.name, command: "rejoin", node: node)
        let hosts = try ClusterHosts(file)
        let facts = try hosts.observe()
        let way: Rejoin = reseed ? .reseed : inPlace ? .rewindInPlace : .rewind
        var plan = try plan(file, facts, way)
        if !output.json { output.note(PlanDocument(plan).text(output)) }
        if dryRun { return try output.data(PlanDocument(plan)) { "nothing was changed" } }
        let run = ApplyRun(hosts: hosts, journal: journal, output: output)
        let question = "Give up what only \(node) has, and make it a standby?"
        try run.confirm(question, plan, yes: yes, hint: ApplyRun.dryRunHint) { try self.plan(file, $0, way) }
        let outcome = try run.run(plan, facts)
        if let (step, failure) = outcome.failed.first {
            guard step.action.rewinds else { throw failure }
            let reasons = [failure.message] + failure.details
            output.note("\(node) could not be rewound and is made anew: \(reasons.joined(separator: "; "))")
            let facts = try hosts.observe()
            plan = try self.plan(file, facts, .reseed)
            if !output.json { output.note(PlanDocument(plan).text(output)) }
            try run.execute(plan, facts)
        }
        try output.data(PlanDocument(plan)) { "" }
        output.next("pgark status")
    }

    private func plan(_ file: ClusterFile, _ facts: ClusterFacts, _ way: Rejoin) throws -> Plan {
        let plan = try Planner.plan(file, facts, rejoin: [node: way])
        if let blocked = plan.blocked.first(where: { $0.node == node }) {
            throw Failure(.diverged, "could not rejoin \(node): \(blocked.reason)", hint: blocked.hint)
        }
        guard plan.steps.contains(where: { $0.host == node }) else {
            throw Failure(
                .diverged, "could not rejoin \(node): it is not clear which node is the primary",
                details: plan.blocked.map { "\($0.node): \($0.reason)" }, hint: "See the cluster: pgark status")
        }
        return plan
    }
}

extension HostAction {
    fileprivate var rewinds: Bool { if case .rewind = self { true } else { false } }
}

extension ClusterFile {
    /// Throws where no host of that name is set up by this file.
    func requirePlaced(_ node: String, to verb: String) throws {
        if nodes.contains(where: { $0.name == node && $0.placement != nil }) { return }
        throw Failure(
            .nodeMissing, "could not \(verb) node \"\(node)\": the cluster file names no such host",
            details: ["nodes there: \(nodes.map(\.name).joined(separator: ", "))"])
    }
}
