import ArgumentParser
import Backup
import Cluster
import Postgres
import PostgresModel
import Repository
import Storage

struct UpgradeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upgrade", abstract: "Go on with a cluster after pg_upgrade, under its new system identifier.",
        discussion: """
            pg_upgrade makes a new system of a cluster: another identifier, timeline 1, positions anew. Without this command \
            pgark takes it for a foreign server and refuses it. Backups and WAL of before the upgrade stay, apart from the new \
            ones, and can be restored until retention lets them go. The next backup is a full one.
            """)

    @OptionGroup var global: GlobalOptions
    @Option(help: "The node that was upgraded (default: the primary).") var node: String?
    @Flag(help: "Do not ask.") var yes = false
    @Flag(help: "Only say what would change.") var dryRun = false

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile(writes: true)
        let repository = Repository(of: file)
        let known = try repository.requireSystem()
        let node = try NodeChoice(file).source(named: node)
        let system = try system(of: node)
        guard system.systemIdentifier != known.systemIdentifier else {
            return try output.data(Document(from: known, to: system, changed: false, dryRun: dryRun)) {
                "nothing is to be done: \(node.name) is system \(known.systemIdentifier), which is the current one"
            }
        }
        guard system.serverMajor >= known.serverMajor else {
            throw Failure(
                .foreignSystem, "could not go on with node \"\(node.name)\": PostgreSQL \(system.serverMajor) is no upgrade",
                details: ["the repository's current system is of PostgreSQL \(known.serverMajor)"],
                hint: "Is it the right server? Correct its node in \(file.path), or give it its own cluster name.")
        }
        let text =
            "system \(known.systemIdentifier), PostgreSQL \(known.serverMajor), is followed by "
            + "\(system.systemIdentifier), PostgreSQL \(system.serverMajor), of node \(node.name)"
        if dryRun { return try output.data(Document(from: known, to: system, changed: false, dryRun: true)) { text } }
        output.note(text)
        try output.confirm("Is this the same cluster, upgraded?", yes: yes)
        let write = try repository.lockForWriting(to: "go on with an upgraded cluster")
        let receive = try repository.lockForReceiving()
        defer { withExtendedLifetime((write, receive)) {} }
        try repository.succeed(by: system)
        try output.data(Document(from: known, to: system, changed: true, dryRun: false)) { text }
        output.next("pgark backup")
    }

    private func system(of node: ClusterFile.Node) throws -> Repository.System {
        let connection = try Connection(node.connection, mode: .replication, application: "pgark upgrade")
        return Repository.System(
            systemIdentifier: try connection.identifySystem().systemIdentifier,
            serverMajor: connection.serverVersion.major, walSegmentSize: try connection.walSegmentSize())
    }

    private struct Document: Encodable {
        let fromSystemIdentifier: SystemIdentifier
        let fromMajor: Int
        let toSystemIdentifier: SystemIdentifier
        let toMajor: Int
        let changed: Bool
        let dryRun: Bool

        init(from: Repository.System, to: Repository.System, changed: Bool, dryRun: Bool) {
            (fromSystemIdentifier, fromMajor) = (from.systemIdentifier, from.serverMajor)
            (toSystemIdentifier, toMajor) = (to.systemIdentifier, to.serverMajor)
            self.changed = changed
            self.dryRun = dryRun
        }
    }
}
