import Glibc
import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport

/// A client that commits rows, pgark as the only synchronous standby, and a process or a machine that dies, again and again.
///
/// At the end of each round there is nothing but the repository: what is restored from it must have every row whose commit
/// was acknowledged. A primary that was lost is replaced by what was restored, so the rounds go through many timelines.
struct CommitRounds {
    enum Victim: CaseIterable {
        /// All processes of the primary at once, and its data too.
        case machine
        /// All processes of the primary at once.
        case server
        /// The client's, after which the server ends all others too and recovers.
        case backend
        case walSender
        case receiver
    }

    struct Verdict: CustomStringConvertible {
        let round: Int
        let victim: Victim
        let rows: NumberedRows
        let acknowledged: Int
        let attempted: Int

        var isRight: Bool { rows.hasNoHole && rows.last >= acknowledged && rows.last <= attempted }
        var description: String { "round \(round), \(victim): \(rows), acknowledged \(acknowledged), attempted \(attempted)" }
    }

    private static let roundsPerBackup = 6

    private let site: TestSite
    private let cut: PowerCut?
    private let lies: Bool
    private var generator: SeededGenerator
    private var node: TestServer
    private var pgark: Pgark
    private var receiver: BackgroundProcess
    private var writer: Writer
    private var round = 0
    /// What was taken back by power cuts in all.
    private(set) var lost = PowerCut.Report()

    /// With power cuts, whenever the receiver dies its host loses its power; with `lies`, the host's disk lies.
    init(_ site: TestSite, _ generator: SeededGenerator, powerCuts: Bool, lies: Bool = false) throws {
        self.site = site
        self.lies = lies
        self.generator = generator
        // Dynamic shared memory in the data directory, so that a killed server leaves nothing of it behind.
        node = try site.primary(
            settings: ["dynamic_shared_memory_type": "mmap", "fsync": "on", "recovery_init_sync_method": "syncfs"],
            initdb: ["--wal-segsize=1"])
        let repository = site.directory.appending("repository")
        try Directory.create(repository, owner: site.owner)
        cut =
            powerCuts ? try PowerCut(of: repository, store: site.directory.appending("power-cut"), owner: site.owner) : nil
        pgark = try site.pgark(node)
        try Writer.prepare(node)
        try node.dropTemplates()
        // Whoever is restored from the backup wants a synchronous standby too.
        try node.waitForRepository()
        // What is there before the disk begins to lie stays.
        receiver = try Self.receive(pgark, lies ? nil : cut, false, round)
        try pgark("backup")
        writer = Writer(node)
        if lies {
            receiver.kill()
            try beginReceiving()
        }
    }

    private static func receive(_ pgark: Pgark, _ cut: PowerCut?, _ lies: Bool, _ round: Int) throws -> BackgroundProcess {
        var watched = pgark
        watched.environment = cut?.environment(lies: lies) ?? [:]
        return try watched.receive(log: "receiver\(round).log")
    }

    // MARK: A round

    mutating func play() throws -> Verdict {
        round += 1
        if round.isMultiple(of: Self.roundsPerBackup) { try backUp() }
        try writer.waitUntilAcknowledged(writer.acknowledged + 5)
        // Now and then segments end and are archived when it happens.
        if generator.below(3) == 0 { try node.writeWAL(megabytes: 1 + generator.below(2)) }
        pause(Double.random(in: 0...0.08, using: &generator))
        let victim = Victim.allCases[generator.below(Victim.allCases.count)]
        try strike(victim)
        pause(Double.random(in: 0...0.05, using: &generator))
        try loseReceiver()

        let restored = try pgark.restore(to: "restored\(round)")
        // What is thrown away at once need not be durable.
        try restored.recover(settings: victim == .machine ? [:] : ["fsync": "off"])
        // Nobody was there to acknowledge any more meanwhile.
        let verdict = Verdict(
            round: round, victim: victim, rows: try NumberedRows(restored), acknowledged: writer.acknowledged,
            attempted: writer.attempted)
        try goOn(after: victim, with: restored)
        return verdict
    }

    private mutating func strike(_ victim: Victim) throws {
        switch victim {
        case .machine: try node.vanish()
        case .server: try node.crash()
        case .backend: try killProcess("SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT INTO numbered%'")
        case .walSender: try killProcess("SELECT pid FROM pg_stat_replication WHERE application_name = 'pgark'")
        case .receiver:
            try loseReceiver()
            try beginReceiving()
        }
        // Now and then it goes on before the end comes.
        guard [.backend, .walSender, .receiver].contains(victim), generator.below(3) == 0 else { return }
        try writer.waitUntilAcknowledged(writer.acknowledged + 3)
    }

    private func killProcess(_ query: String) throws {
        guard let pid = try node.sql(query).first?[0].flatMap({ Int32($0) }) else { throw TestFailure("nobody: \(query)") }
        kill(pid, SIGKILL)
    }

    private mutating func loseReceiver() throws {
        receiver.kill()
        guard let cut else { return }
        let loss: PowerCut.Loss = lies || generator.below(2) == 0 ? .everything : .someThings
        lost += try cut.strike(loss, using: &generator)
    }

    private mutating func beginReceiving() throws { receiver = try Self.receive(pgark, cut, lies, round) }

    private mutating func goOn(after victim: Victim, with restored: TestServer) throws {
        switch victim {
        case .machine:
            try writer.stop()
            node = restored
            pgark = try site.pgark(node)
            writer = Writer(node)
        case .server:
            try restored.vanish()
            try node.startBesideOriginal()
        case .backend, .walSender, .receiver: try restored.vanish()
        }
        try beginReceiving()
    }

    /// A new backup, on the host whose power will be cut; the one before goes.
    private mutating func backUp() throws {
        var watched = pgark
        watched.environment = cut?.environment() ?? [:]
        let old = try pgark("list").backups[0].id.string ?? ""
        let new = try watched("backup").id.string ?? ""
        try watched("delete", old, "--yes")
        let left = try pgark("list").backups.array.map(\.id.string)
        guard left == [new] else { throw TestFailure("the backups are \(left), not \(new)") }
    }

    /// Ends what runs, so that no process outlives the site in a wait.
    mutating func end() throws {
        receiver.kill()
        try node.crash()
        try writer.stop()
    }
}
