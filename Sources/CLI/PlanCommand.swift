import ArgumentParser
import Cluster
import Glibc
import PostgresModel

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "What apply would do, in order, with its consequences.",
        discussion: """
            With --detailed-exitcode 0: nothing is to be done. 4: something is. 8: nothing can be, since a host cannot be \
            reached. 3: nothing can be, since something else stands in the way.
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var selection: PlanSelectionOptions
    @Flag(help: "End with 4 where there is something to do, and not with 0 where something stands in the way.")
    var detailedExitcode = false

    func run() throws {
        let output = global.output
        let file = try global.clusterFile()
        let hosts = try ClusterHosts(file)
        let plan = try selection.plan(file, hosts.observe())
        try output.data(PlanDocument(plan)) { PlanDocument(plan).text(output) }
        if detailedExitcode, !plan.changes.isEmpty { throw ExitCode(4) }
        if detailedExitcode, let status = plan.blockedStatus { throw ExitCode(status) }
        if !plan.steps.isEmpty { output.next((["pgark apply"] + selection.words).joined(separator: " ")) }
    }
}

/// Which part of a plan.
struct PlanSelectionOptions: ParsableArguments {
    @Option(help: "Only what is for this node (or \"repository\"); may be given several times.") var node: [String] = []
    @Option(
        help: "Only what changes this, as the plan names it or by its beginning, such as \"slot\"; may be given several times.")
    var only: [String] = []

    func plan(_ file: ClusterFile, _ facts: ClusterFacts) throws -> Plan {
        for name in node where name != Plan.repositoryHost { try file.requirePlaced(name, to: "plan for") }
        return try Planner.plan(file, facts).limited(toNodes: Set(node), objects: only) { name in
            file.nodes.first { $0.name == name }?.slot ?? name
        }
    }

    /// The same, as they are written.
    var words: [String] { node.map { "--node \($0)" } + only.map { "--only \"\($0)\"" } }
}

/// A plan, as `plan` and `apply` print it.
struct PlanDocument: Encodable {
    let changes: [Plan.Change]
    let writeOutageSeconds: Double
    let dataLossPossible: Bool
    let blockedBy: [Plan.Blockage]
    let remarks: [String]

    init(_ plan: Plan) {
        changes = plan.changes
        writeOutageSeconds = plan.writeOutageSeconds
        dataLossPossible = plan.mayLoseData
        blockedBy = plan.blocked
        remarks = plan.remarks
    }

    func text(_ output: Output) -> String {
        var lines = changes.map { line($0, output) }
        if changes.isEmpty {
            lines.append(blockedBy.isEmpty ? "nothing to do: the cluster is as its file says" : "nothing can be done")
        }
        for blockage in blockedBy {
            lines.append(output.paint("blocked", .bad) + "  \(blockage.node): \(blockage.reason)")
            if let hint = blockage.hint { lines.append("         \(hint)") }
        }
        lines += remarks.map { output.paint("note", .faint) + "     \($0)" }
        if !changes.isEmpty { lines += ["", consequences] }
        return lines.joined(separator: "\n")
    }

    private func line(_ change: Plan.Change, _ output: Output) -> String {
        let (mark, style): (String, Output.Style) =
            switch change.action {
            case .create: ("+", .good)
            case .change: ("~", .warning)
            case .remove: ("-", .bad)
            }
        var text = "\(output.paint(mark, style)) \(change.node): \(change.object)"
        switch (change.from, change.to) {
        case (let from?, let to?): text += ": \(from) → \(to)"
        case (nil, let to?): text += ": \(to)"
        case (let from?, nil): text += ": \(from)"
        case (nil, nil): break
        }
        if change.effect != .none { text += "  (\(change.effect.rawValue))" }
        return text
    }

    private var consequences: String {
        let restarts = changes.filter { $0.effect == .restart && $0.object == "server" }.map(\.node)
        let order = restarts.isEmpty ? "no server restarts" : "restarts, in this order: \(restarts.joined(separator: ", "))"
        let outage =
            writeOutageSeconds == 0 ? "no write outage" : "writes stop for about \(decimal(writeOutageSeconds, places: 0)) s"
        return "\(changes.count) changes; \(order); \(outage); \(dataLossPossible ? "data could be lost" : "no data can be lost")"
    }
}
