import ArgumentParser
import Backup
import Cluster
import PostgresModel
import Repository
import Storage

struct BackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Take a backup; when it returns, the backup is complete and its WAL is stored.")

    @OptionGroup var global: GlobalOptions

    @Flag(help: "Read and store everything, whatever earlier backups have.")
    var full = false

    @Option(help: "A name to find the backup by.")
    var name: String?

    @Option(help: "The node to back up (default: the primary).")
    var node: String?

    @OptionGroup var threads: JobsOption

    @OptionGroup var timing: ScheduledOption

    func validate() throws {
        if let name, name.isEmpty || ["latest", "oldest"].contains(name) || name.contains("/") {
            throw ValidationError("--name must not be empty, \"latest\" or \"oldest\", nor contain a slash")
        }
    }

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile(writes: true)
        try timing.run("backup", in: Repository(of: file), output) { try run(file, $0, output) }
    }

    private func run(_ file: ClusterFile, _ patience: Patience, _ output: Output) throws {
        let repository = Repository(of: file)
        try patience.run { try repository.requireIdle(to: "take a backup") }
        let node = try NodeChoice(file).source(named: node)
        let progress = ProgressLine("received", isSilent: timing.scheduled)
        let job = BackupJob(
            repository: repository,
            settings: BackupJob.Settings(file, node, name: name, isFull: full, threads: threads.jobs),
            reporter: progress.reporter(output))
        output.note("backing up \(node.name) of cluster \(file.name)")
        let record = try patience.run { try job.run() }
        progress.clear()
        let catalogue = Catalogue(repository)
        let entry = try catalogue.find(record.id)
        if try catalogue.damage(record.id) != nil {
            output.note(
                "meanwhile a verification found damage in what this backup shares with earlier ones: pgark show \(record.id); "
                    + "the next backup stores that anew")
        }
        try output.data(BackupDocument(entry, cluster: file.name)) { summary(record, output) }
        output.next("pgark show \(record.id)")
    }

    private func summary(_ record: BackupRecord, _ output: Output) -> String {
        var lines = [
            "backup \(record.id) of \(record.node) \(output.paint("done", .good)) in \(Output.duration(record.durationSeconds))",
            "  \(record.method.rawValue)" + (record.reference.map { ", on backup \($0)" } ?? "")
                + (record.readReason.map { "; everything was read: \($0)" } ?? ""),
            "  data \(ByteCount(record.dataBytes)) in \(record.files) files, received \(ByteCount(record.readBytes)), "
                + "stored \(ByteCount(record.storedBytes))",
            "  from LSN \(record.beginLSN) to \(record.endLSN), timeline \(record.timeline); the WAL up to there is stored",
        ]
        if !record.configuration.isEmpty {
            lines.append("  configuration saved: \(record.configuration.map(\.path).joined(separator: ", "))")
        }
        lines += record.configurationMissing.map { "  " + output.paint("configuration not saved: ", .warning) + $0 }
        lines += record.badPages.prefix(20).map { "  " + output.paint("bad page: ", .bad) + "\($0.path) block \($0.block)" }
        if record.badPages.count > 20 {
            lines.append("  and \(record.badPages.count - 20) more bad pages: pgark show \(record.id)")
        }
        return lines.joined(separator: "\n")
    }
}

extension BackupJob.Settings {
    init(_ file: ClusterFile, _ node: ClusterFile.Node, name: String? = nil, isFull: Bool = false, threads: Int) {
        self.init(
            node: node.name, connection: node.connection, name: name, isFull: isFull, level: file.repository.compression,
            threads: threads, slot: file.repository.slot)
    }
}
