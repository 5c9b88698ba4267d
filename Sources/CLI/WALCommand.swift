import ArgumentParser
import Backup
import Cluster
import Postgres
import PostgresModel
import Repository
import Storage
import SystemPackage

struct WALCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wal", abstract: "Receive or archive WAL, serve it to a recovery, look at what is stored.",
        subcommands: [
            WALReceiveCommand.self, WALPutCommand.self, WALGetCommand.self, WALPrefetchCommand.self, WALStatusCommand.self,
            WALSwitchCommand.self,
        ])
}

struct WALReceiveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "receive", abstract: "Receive WAL in the foreground until interrupted.")

    @OptionGroup var global: GlobalOptions

    @Option(help: "The node to stream from (default: the primary).")
    var node: String?

    @Flag(help: "Where a receiver of this cluster runs already, end at once and well, without a word: for cron.")
    var unlessRunning = false

    @Option(help: ArgumentHelp("Write there instead of on stderr, and rename it to FILE.1 when it has 1 MiB.", valueName: "file"))
    var log: String?

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile(writes: true)
        let repository = Repository(of: file)
        if unlessRunning, try LockFile.isHeld(repository.receiveLock) { return }
        let log = log.map { OwnLog(path: FilePath($0)) }
        try log?.take()
        let name = node
        if let name { _ = try NodeChoice(file).source(named: name) }
        // Anew for each connection: what apply changes reaches a receiver that runs. A file that is broken just now waits.
        let latest = { @Sendable in NodeChoice((try? ClusterFile.find(config: file.path, cluster: nil)) ?? file) }
        let lock = try repository.lockForReceiving()
        defer { withExtendedLifetime(lock) {} }
        let receiver = WALReceiver(
            repository: repository,
            settings: WALReceiver.Settings(
                connection: { try latest().source(named: name).connection }, application: "pgark",
                slot: .permanent(file.repository.slot),
                level: file.repository.compression),
            reporter: Reporter(note: { text in
                try? log?.take()  // where no new file can be begun, the one before goes on
                output.note("\(Timestamp.now.shortText) \(text)")
            }))
        try receiver.run()
        output.note("\(Timestamp.now.shortText) WAL stream: ended in order")
    }
}

extension SystemIdentifier: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

extension TimelineID: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

extension LSN: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

struct WALStatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "What is stored for each timeline, gaps, and how far behind it is.")

    @OptionGroup var global: GlobalOptions

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile()
        let repository = Repository(of: file)
        _ = try repository.requireSystem()
        let document = try WALStatusDocument(Inventory(repository))
        try output.data(document) { document.text(output) }
    }
}

struct WALStatusDocument: Encodable {
    struct Timeline: Encodable { let timeline: TimelineID, fromLSN: LSN, toLSN: LSN, segments: Int, bytes: Int }

    let timelines: [Timeline]
    let gaps: [GapDocument]
    @Nullable var recoveryWindow: RecoveryWindowDocument?
    @Nullable var receivedLSN: LSN?
    @Nullable var durableLSN: LSN?
    @Nullable var durableTime: Timestamp?
    let connected: Bool

    init(_ inventory: Inventory) throws {
        guard let part = inventory.current else { preconditionFailure("asked only of a repository with a system") }
        let (archive, segments, ranges) = (part.archive, part.segments, part.wal.ranges)
        let bytes = try archive.storedBytes(of: segments)
        timelines = Dictionary(grouping: ranges, by: \.timeline).sorted { $0.key < $1.key }.map { timeline, ranges in
            Timeline(
                timeline: timeline, fromLSN: ranges.first!.from, toLSN: ranges.last!.to,
                segments: ranges.reduce(0) { $0 + $1.segments }, bytes: bytes[timeline] ?? 0)
        }
        gaps = part.wal.gaps.map { GapDocument($0, part.notedGaps) }
        recoveryWindow = RecoveryWindowDocument(inventory)
        let moment = try archive.moment()
        receivedLSN = ranges.last?.to
        // What is archived is durable, whatever was noted last.
        let archived = segments.last {
            if case .partial = $0.place { false } else { $0.segment.timeline == ranges.last?.timeline }
        }
        durableLSN = [moment?.durableLSN, archived?.segment.end(size: archive.segmentSize)].compactMap(\.self).max()
        durableTime = moment?.time
        connected = try archive.isReceiving()
    }

    func text(_ output: Output) -> String {
        var lines = [
            Output.table(
                ["timeline", "from", "to", "segments", "stored"],
                timelines.map {
                    ["\($0.timeline)", "\($0.fromLSN)", "\($0.toLSN)", "\($0.segments)", "\(ByteCount($0.bytes))"]
                })
        ]
        lines += gaps.map { output.paint($0.text, .bad) }
        lines += recoveryWindow?.restorable ?? []
        lines.append("receiver: " + (connected ? output.paint("running", .good) : output.paint("not running", .bad)))
        if let durableLSN, let durableTime { lines.append("durable: up to \(durableLSN), which was all at \(durableTime)") }
        return lines.joined(separator: "\n")
    }
}

struct WALSwitchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "switch", abstract: "Ask the primary to finish its segment and wait until it is stored.")

    @OptionGroup var global: GlobalOptions

    @Option(help: "The node to ask (default: the primary).")
    var node: String?

    @Option(help: ArgumentHelp("How long to wait.", valueName: "seconds"))
    var timeout = 60

    func validate() throws {
        guard (1...86400).contains(timeout) else { throw ValidationError("--timeout must be from 1 to 86400 seconds") }
    }

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile(writes: true)
        let repository = Repository(of: file)
        let archive = WALArchive(repository, system: try repository.requireSystem())
        let node = try NodeChoice(file).source(named: node)
        let segment = try WALSwitch(connection: node.connection, archive: archive).run(timeoutSeconds: Double(timeout))
        let name = segment.name(size: archive.segmentSize)
        try output.data(Document(segment: name)) { "\(name) is stored" }
    }

    private struct Document: Encodable { let segment: String }
}
