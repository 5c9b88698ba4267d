import ArgumentParser
import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage

struct LabTourCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tour", abstract: "A fresh lab from nothing to a database that comes back, every step proved.")

    @OptionGroup var options: LabOptions
    @OptionGroup var server: LabServerOptions

    @Flag(help: "Leave the lab running and print how to look at it.")
    var keep = false

    @Flag(help: "Replace a lab that `lab up` made.")
    var yes = false

    func run() throws {
        let output = options.output
        let programs = try server.programs()
        let home = try LabHome.prepare(options.path)
        let lock = try home.lock("tour")
        defer { withExtendedLifetime(lock) {} }
        try programs.requireReachable()
        let narrator = LabNarrator(output)
        try makeRoom(home, output, narrator)
        let hosts = try LabHosts.create(in: home, for: .tour, programs: programs, basePort: server.port, tell: narrator.tell)
        narrator.opening(hosts)
        let tour = Tour(hosts, tell: narrator.tell)
        let steps = try tour.run()
        if !keep { _ = try LabHosts.remove(home, tell: narrator.tell) }
        let document = TourDocument(
            ok: true, serverVersion: "\(programs.version)", directory: home.directory.string, kept: keep, steps: steps)
        try output.data(document) { document.text(output) + (keep ? "\n\n" + keptText(hosts) : "") }
    }

    /// A lab of an earlier tour goes; one that somebody made with `lab up` only with their consent.
    private func makeRoom(_ home: LabHome, _ output: Output, _ narrator: LabNarrator) throws {
        guard let state = try home.state() else { return }
        if state.madeBy == .up {
            try output.confirm("Stop the lab in \(home.directory) and replace it by the tour's own?", yes: yes)
        }
        try LabHosts(home: home, state: state, tell: narrator.tell).clear()
    }

    private func keptText(_ hosts: LabHosts) -> String {
        let servers = [hosts.node1, hosts.node2, hosts.restored].map { server in
            let database = server.name == "restored" ? "otus" : "postgres"
            return "  \(hosts.programs.path(of: "psql")) \(Shell.quoted("\(hosts.conninfo(server, database: database))"))"
        }
        return
            (["kept: look at node1, node2 and the restored server with"] + servers + [
                "  " + hosts.home.typed("list"),
                "and remove it with",
                "  pgark lab down --yes\(hosts.home.option)",
            ]).joined(separator: "\n")
    }
}

struct TourDocument: Encodable {
    let ok: Bool
    let serverVersion: String
    let directory: String
    let kept: Bool
    let steps: [TourStep]

    func text(_ output: Output) -> String {
        let rows = steps.map { step in
            [
                "\(step.number)", step.title, output.paint("proved", .good) + " \(step.facts.count) facts",
                "\(decimal(step.durationSeconds, places: 1)) s",
            ]
        }
        let facts = steps.reduce(0) { $0 + $1.facts.count }
        let seconds = steps.reduce(0) { $0 + $1.durationSeconds }
        return "\n" + Output.table(["step", "what", "outcome", "time"], rows)
            + "\n\n\(output.paint("all proved", .good)): \(facts) facts in \(steps.count) steps, \(Output.duration(seconds)), "
            + "PostgreSQL \(serverVersion)"
    }
}
