@testable import Cluster
import Postgres
import PostgresModel
import SystemPackage

/// A cluster in which all is well: a primary, a standby, a repository with a receiver and a backup. Tests break one
/// thing at a time.
struct Example {
    var file: ClusterFile
    var primary = Example.server(isInRecovery: false)
    var standby: ServerObservation? = Example.server(isInRecovery: true)
    /// Only in `cascading()`.
    var third: ServerObservation?
    var standbyFailure = Failure(.serverUnreachable, "could not connect to PostgreSQL at b:5432: Connection refused")
    var facts: RepositoryFacts
    /// Seconds east of Greenwich.
    var zone = 0

    static let now = Timestamp(seconds: 1_800_000_000)
    static let system = SystemIdentifier(rawValue: 7_000_000_000_000_000_001)
    static let end = LSN("0/5000000")!

    init() throws {
        file = try ClusterFile.parse(
            text: """
                cluster: shop
                nodes: { node1: { host: a }, node2: { host: b } }
                repository: { path: /repo }
                """, path: "/etc/pgark/shop.yaml")
        facts = Self.repository
        primary.positions.current = Self.end
        primary.walSenders = [
            .init(
                processIdentifier: 11, application: "pgark", state: "streaming", sync: "async", sentLSN: Self.end,
                flushedLSN: Self.end,
                replayedLSN: Self.end),
            .init(
                processIdentifier: 12, application: "node2", state: "streaming", sync: "async", sentLSN: Self.end,
                flushedLSN: Self.end,
                replayedLSN: Self.end, replayLagSeconds: 0.5),
        ]
        primary.slots = [
            Self.slot("pgark", process: 11, application: "pgark"), Self.slot("node2", process: 12, application: "node2"),
        ]
        standby?.positions.received = Self.end
        standby?.positions.replayed = Self.end
        standby?.slots = [Self.spare("node1"), Self.spare("pgark")]
        standby?.walReceiver = .init(status: "streaming", slot: "node2", senderHost: "a", senderPort: "5432", timeline: .first)
    }

    /// With a third node that follows the second one, an hour late, as `apply` makes it.
    static func cascading() throws -> Example {
        var example = try Example()
        example.file = try ClusterFile.parse(
            text: """
                cluster: shop
                nodes: { node1: { host: a }, node2: { host: b }, node3: { host: c, upstream: node2, delay: 1h } }
                repository: { path: /repo }
                """, path: "/etc/pgark/shop.yaml")
        example.primary.slots.append(spare("node3"))
        example.standby?.slots.append(slot("node3", process: 21, application: "node3"))
        example.standby?.walSenders = [
            .init(
                processIdentifier: 21, application: "node3", state: "streaming", sync: "async", sentLSN: end, flushedLSN: end,
                replayedLSN: LSN("0/4000000")!, replayLagSeconds: 3590)
        ]
        var third = server(isInRecovery: true)
        third.positions.received = end
        third.positions.replayed = LSN("0/4000000")
        third.settings.values["recovery_min_apply_delay"] = "3600000"
        third.slots = [spare("node1"), spare("node2"), spare("pgark")]
        third.walReceiver = .init(status: "streaming", slot: "node3", senderHost: "b", senderPort: "5432", timeline: .first)
        example.third = third
        return example
    }

    static func server(isInRecovery: Bool) -> ServerObservation {
        ServerObservation(
            version: ServerVersion(number: 180_001), isInRecovery: isInRecovery, systemIdentifier: system, timeline: .first,
            positions: .init(), clock: .init(aheadSeconds: 0.01, uncertaintySeconds: 0.001),
            settings: ServerSettings(values: [
                "wal_level": "replica", "max_wal_senders": "10", "max_replication_slots": "10", "data_checksums": "on",
                "summarize_wal": "on", "archive_mode": "off", "max_slot_wal_keep_size": "1024", "data_directory": "/data",
                "config_file": "/data/postgresql.conf", "hba_file": "/data/pg_hba.conf", "ident_file": "/data/pg_ident.conf",
            ]),
            role: .init(name: "pgark", mayReplicate: true, isMonitor: true, readsAllSettings: true, listsFileSettings: true))
    }

    static func slot(_ name: String, process: Int?, application: String?) -> ServerObservation.Slot {
        .init(
            name: name, kind: "physical", isActive: process != nil, activeProcess: process, activeApplication: application,
            restartLSN: end, walStatus: "reserved", retained: ByteCount(1 << 20))
    }

    /// As `apply` makes them where nobody reads yet.
    static func spare(_ name: String) -> ServerObservation.Slot { .init(name: name, kind: "physical", isActive: false) }

    private static var repository: RepositoryFacts {
        var facts = RepositoryFacts(path: "/repo")
        facts.exists = true
        facts.isWritable = true
        facts.free = ByteCount(50 << 30)
        facts.total = ByteCount(100 << 30)
        facts.systemIdentifier = system
        facts.receiver = .init(isRunning: true, receivedLSN: end, timeline: .first, durableLSN: end)
        facts.segmentCount = 5
        facts.scheduledSince = now - 30 * 86400.0
        facts.maintained = now - 1800.0
        facts.backups = [backup("20270115T080000Z", ageSeconds: 3600, begin: "0/2000028", end: "0/2000120")]
        return facts
    }

    static func backup(_ id: String, ageSeconds: Int64, begin: String, end: String) -> RepositoryFacts.Backup {
        .init(
            id: id, status: .done,
            content: .init(
                beginLSN: LSN(begin)!, endLSN: LSN(end)!, timeline: .first,
                beginTime: Timestamp(microseconds: now.microseconds - (ageSeconds + 60) * 1_000_000),
                endTime: Timestamp(microseconds: now.microseconds - ageSeconds * 1_000_000), dataBytes: ByteCount(30 << 20),
                badPages: 0, configurationMissing: [], isRestorable: true))
    }

    var view: ClusterView {
        var view = ClusterView(
            file: file,
            nodes: [
                NodeObservation(node: "node1", state: .reached(primary)),
                NodeObservation(node: "node2", state: standby.map { .reached($0) } ?? .unreachable(standbyFailure)),
            ] + (third.map { [NodeObservation(node: "node3", state: .reached($0))] } ?? []), repository: facts, time: Self.now)
        view.zone = { [zone] _ in zone }
        return view
    }

    var results: [CheckResult] { Checks(view).results() }

    /// Those that are not OK.
    var remarks: [CheckResult] { results.filter { $0.result != .ok } }
}
