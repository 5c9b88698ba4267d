import ArgumentParser
import Cluster
import PostgresModel
import Storage

struct StandbyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "standby", abstract: "Let a standby join the cluster, or leave it.", subcommands: [Add.self, Remove.self])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add a standby to the cluster file, and apply it.",
            discussion: """
                It is made from the repository's newest backup, without load on the primary, or else as a copy of the primary. \
                A node that the file has already is only made what the file says.
                """)

        @OptionGroup var global: GlobalOptions
        @Argument(help: "Its name.") var node: String
        @Option(help: "How the other hosts reach it.") var host: String?
        @Option(help: "Its server's port (default: 5432).") var port: Int?
        @Option(help: "What to give ssh, where that is not the host.") var ssh: String?
        @Option(help: "The data directory, where it is not the system's usual one.") var data: String?
        @Option(help: "The node to follow, where that is not the primary.") var upstream: String?
        @Option(help: "How far it stays behind on purpose, such as 1h.") var delay: String?
        @Flag(help: "Do not ask.") var yes = false
        @Flag(help: "Only print the plan.") var dryRun = false

        func run() throws {
            let old = try global.clusterFile()
            let new = try edited(old)
            try MemberRun(global: global, command: "standby add", node: node, yes: yes, dryRun: dryRun).run(
                hosts: new, new, isSavedFirst: new.text != old.text
            ) {
                facts in
                let plan = try Planner.plan(new, facts)
                if let blocked = plan.blocked.first(where: { $0.node == node }) {
                    throw Failure(
                        blocked.isUnreachable ? .hostUnreachable : .diverged,
                        "could not add standby \"\(node)\": \(blocked.reason)", hint: blocked.hint)
                }
                return plan
            }
        }

        private func edited(_ file: ClusterFile) throws -> ClusterFile {
            if file.nodes.contains(where: { $0.name == node }) {
                guard host == nil, port == nil, ssh == nil, data == nil, upstream == nil, delay == nil else {
                    throw Failure(
                        .usage, "could not add standby \"\(node)\": \(file.path) has a node of that name",
                        hint: "Change it there, or make it what the file says: pgark apply --node \(node)")
                }
                try file.requirePlaced(node, to: "add")
                return file
            }
            guard let host else {
                throw Failure(
                    .usage, "could not add standby \"\(node)\": its host is not named",
                    hint: "pgark standby add \(node) --host ADDRESS")
            }
            let seconds = try delay.map { text in
                guard let seconds = DurationText.seconds(text) else {
                    throw Failure(.usage, "could not understand --delay \(text)", hint: "A span of time is such as 30min or 1h.")
                }
                return seconds
            }
            return try ClusterFileEdit(file).adding(
                node,
                ClusterFile.Placement(
                    host: host, port: port ?? 5432, ssh: ssh ?? host, data: data, upstream: upstream, delaySeconds: seconds))
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop a standby, drop its slots, and take it out of the cluster file.",
            discussion: """
                Its data directory is kept beside, under another name. Of a host that cannot be reached the slots are dropped \
                all the same; its server is left as it is, and cannot follow any more.
                """)

        @OptionGroup var global: GlobalOptions
        @Argument(help: "The node.") var node: String
        @Flag(help: "Do not ask.") var yes = false
        @Flag(help: "Only print the plan.") var dryRun = false

        func run() throws {
            let old = try global.clusterFile()
            try old.requirePlaced(node, to: "remove")
            if let follower = old.nodes.first(where: { $0.placement?.upstream == node }) {
                throw Failure(
                    .diverged, "could not remove standby \"\(node)\": \(follower.name) follows it",
                    hint: "Change or remove nodes.\(follower.name).upstream in \(old.path), then: pgark apply")
            }
            let new = try ClusterFileEdit(old).removing(node)
            try MemberRun(global: global, command: "standby remove", node: node, yes: yes, dryRun: dryRun).run(
                hosts: old, new, isSavedFirst: false
            ) { facts in
                let plan = try Planner.plan(new, facts, remove: old.nodes.filter { $0.name == node })
                if let blocked = plan.blocked.first(where: { $0.node == node && !$0.isUnreachable }) {
                    throw Failure(
                        .diverged, "could not remove standby \"\(node)\": \(blocked.reason)", hint: blocked.hint)
                }
                return plan
            }
        }
    }
}

/// A plan of a cluster file that has changed, and the file.
private struct MemberRun {
    let global: GlobalOptions
    let command: String
    let node: String
    let yes: Bool
    let dryRun: Bool

    /// `isSavedFirst`: cut short, `apply` goes on with the file; else the same command does.
    func run(hosts: ClusterFile, _ file: ClusterFile, isSavedFirst: Bool, _ makePlan: (ClusterFacts) throws -> Plan) throws {
        let output = global.output
        let journal = try Journal(cluster: file.name, command: command, node: node)
        let hosts = try ClusterHosts(hosts)
        let facts = try hosts.observe()
        let plan = try makePlan(facts)
        if !output.json { output.note(PlanDocument(plan).text(output)) }
        if dryRun { return try output.data(PlanDocument(plan)) { "nothing was changed" } }
        let run = ApplyRun(hosts: hosts, journal: journal, output: output)
        try run.confirm("Do this?", plan, yes: yes, hint: ApplyRun.dryRunHint, again: makePlan)
        if isSavedFirst { try file.save() }
        try run.execute(plan, facts)
        if !isSavedFirst { try file.save() }
        try output.data(PlanDocument(plan)) { "" }
        output.next("pgark status")
    }
}
