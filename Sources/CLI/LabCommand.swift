import ArgumentParser
import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage

struct LabCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab", abstract: "A primary, a standby and a repository on this machine, to try pgark on.",
        subcommands: [LabUpCommand.self, LabStatusCommand.self, LabTourCommand.self, LabDownCommand.self])
}

/// Options of every lab command.
struct LabOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The lab's directory (default: /var/tmp/pgark-lab for root, else ~/.local/state/pgark-lab).", valueName: "dir"))
    var directory: String?

    @Flag(help: "Print one JSON document on stdout.")
    var json = false

    @Flag(help: "Print no colours (also: the variable NO_COLOR).")
    var noColor = false

    var output: Output { Output(json: json, noColor: noColor) }
    var path: FilePath? { directory.map { FilePath($0) } }
}

/// Which PostgreSQL a new lab runs, and where it listens.
struct LabServerOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The major version of PostgreSQL (default: the first that is found).", valueName: "version"))
    var postgres: Int?

    @Option(help: ArgumentHelp("The directory with PostgreSQL's programs.", valueName: "dir"))
    var postgresBin: String?

    @Option(help: ArgumentHelp("The first port to try; three free ones are taken from there on.", valueName: "base"))
    var port = 54341

    func validate() throws {
        guard (1024...65000).contains(port) else { throw ValidationError("--port must be from 1024 to 65000") }
        if let postgres, !ServerVersion.supportedMajors.contains(postgres) {
            throw ValidationError("--postgres must be from 15 to 18")
        }
    }

    func programs() throws -> PostgresPrograms {
        try PostgresPrograms.find(major: postgres, in: postgresBin.map { FilePath($0) })
    }

    /// An existing lab keeps its PostgreSQL; asked for another one, it says so.
    func check(_ state: LabState) throws {
        guard postgres != nil || postgresBin != nil else { return }
        let wanted = try programs()
        guard wanted.directory.string != state.postgresDirectory else { return }
        throw Failure(
            .configuration, "could not start the lab with PostgreSQL \(wanted.version): it was made with \(state.version)",
            details: ["its programs: \(state.postgresDirectory)"], hint: "Remove it first: pgark lab down")
    }
}

struct LabUpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Make the lab, or start what has stopped of it.")

    @OptionGroup var options: LabOptions
    @OptionGroup var server: LabServerOptions

    func run() throws {
        let output = options.output
        let programs = try server.programs()
        let home = try LabHome.prepare(options.path)
        let lock = try home.lock("up")
        defer { withExtendedLifetime(lock) {} }
        let narrator = LabNarrator(output)
        let hosts: LabHosts
        if let state = try home.state() {
            try server.check(state)
            hosts = try LabHosts(home: home, state: state, tell: narrator.tell)
        } else {
            hosts = try LabHosts.create(in: home, for: .up, programs: programs, basePort: server.port, tell: narrator.tell)
        }
        try hosts.up()
        if hosts.changes.isEmpty { output.note("the lab is up already") }
        let status = try hosts.status()
        try output.data(status) { status.text(output) }
        output.next(home.typed("backup"))
    }
}

struct LabStatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "status", abstract: "The lab's hosts at a glance.")

    @OptionGroup var options: LabOptions

    func run() throws {
        let output = options.output
        let home = try LabHome.open(options.path)
        let status = try LabHosts.existing(in: home).status()
        try output.data(status) { status.text(output) }
        if !status.isUp { output.next("pgark lab up\(home.option)") }
    }
}

struct LabDownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "down", abstract: "Stop the lab and remove its directory.")

    @OptionGroup var options: LabOptions

    @Flag(help: "Answer yes to the question.")
    var yes = false

    @Flag(help: "Show what would be stopped and removed, and change nothing.")
    var dryRun = false

    func run() throws {
        let output = options.output
        let home = try LabHome.open(options.path)
        if dryRun {
            let status = try LabHosts.existing(in: home).status()
            return try output.data(status) { status.text(output) + "\nwould be stopped, and \(home.directory) removed" }
        }
        try output.confirm("Stop the lab and remove \(home.directory) with all its data?", yes: yes)
        let lock = try home.lock("down")
        defer { withExtendedLifetime(lock) {} }
        let isGone = try LabHosts.remove(home, tell: LabNarrator(output).tell)
        try output.data(Document(directory: home.directory.string, removed: isGone)) {
            isGone ? "the lab in \(home.directory) is gone" : "the lab is gone; its empty directory \(home.directory) stays"
        }
    }

    private struct Document: Encodable { let directory: String, removed: Bool }
}

extension LabStatus {
    fileprivate func text(_ output: Output) -> String {
        let rows = hosts.map { $0.cells(output) }
        return "PostgreSQL \(serverVersion) in \(directory)\n"
            + Output.table(["host", "role", "state", "port", "timeline", "lsn", "slot", "lag"], rows)
    }
}

extension LabStatus.Host {
    fileprivate func cells(_ output: Output) -> [String] {
        let numbers = [port, timeline].map { $0.map(String.init) ?? "" }
        let position: String = lsn.map { "\($0)" } ?? ""
        let holding: String = slot.map { $0 + (slotActive == true ? "" : " (not active)") } ?? ""
        let standing = output.paint(state.rawValue, state == .running ? .good : .bad)
        return [name, role, standing] + numbers + [position, holding, lag]
    }

    private var lag: String {
        let parts = [
            lagBytes.map { "\(ByteCount($0))" }, lagSeconds.map { "\(decimal($0, places: 1)) s" },
        ].compactMap { $0 }
        return parts.joined(separator: ", ")
    }
}
