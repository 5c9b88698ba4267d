import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// A server that works all the time, its repository with a receiver, and the independent copy that its backups are
/// compared with.
struct Stage {
    let site: TestSite
    let seed: Seed
    let node: TestServer
    let pgark: Pgark
    let places: TablespacePlaces
    private let archive: FilePath
    private let receiver: BackgroundProcess
    private let reference: Reference
    private let load: Load
    private let secondLoad: Load

    static func with(_ major: Int, _ seed: Seed, _ body: (Stage) throws -> Void) throws {
        print("PostgreSQL \(major), \(seed)")
        try TestSite.with(major) { site in
            let stage = try Stage(site, seed)
            defer {
                stage.load.halt()
                stage.secondLoad.halt()
            }
            try body(stage)
        }
    }

    private init(_ site: TestSite, _ seed: Seed) throws {
        self.site = site
        self.seed = seed
        archive = site.directory.appending("archive")
        try Directory.create(archive, owner: site.owner)
        var settings = [
            "archive_mode": "on", "archive_command": "cp \"%p\" \"\(archive)/%f\"", "max_wal_size": "64MB",
            "min_wal_size": "32MB", "max_prepared_transactions": "4",
        ]
        if site.major >= 17 { settings["summarize_wal"] = "on" }
        node = try site.primary(settings: settings, initdb: ["--wal-segsize=4"])
        places = try TablespacePlaces(site)
        try places.prepare(for: node.data)
        reference = try Reference(of: node, site, places, archive: archive)
        pgark = try site.pgark(node)
        receiver = try pgark.receive()

        let workload = Workload(seed, places, prefix: "a")
        let ordinary = Workload(Seed(value: seed.value &+ 1), places, prefix: "b", actions: Workload.Action.ordinary)
        let session = try node.connect()
        for statement in Workload.sharedPreparation + workload.preparation + ordinary.preparation { try session.query(statement) }
        load = Load(workload, on: node)
        secondLoad = Load(ordinary, on: node)
    }

    /// How far the loads may go until the next call.
    private static let allowance = 80

    /// Waits until the loads have gone on by so many steps; what is left of their allowance they do beside what comes next.
    func live(_ steps: Int) throws {
        let begin = load.allow(Self.allowance), secondBegin = secondLoad.allow(Self.allowance)
        try load.wait(for: begin + steps)
        try secondLoad.wait(for: secondBegin + 1)
    }

    // MARK: The end

    /// Ends loads, receiver and server, and proves that what was to happen did happen.
    func end() throws {
        let counts = try load.stop().merging(secondLoad.stop()) { $0 + $1 }
        print(counts.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))
        for action in Workload.Action.allCases { #expect(counts[action] != nil, "\(action) did not happen, \(seed)") }
        try completeArchive()
        try pgark.waitUntilStored(try node.lsn())
        try node.stop()
        try receiver.stop()
        try expectInWAL()
    }

    private func completeArchive() throws {
        let last = try node.value("SELECT pg_walfile_name(pg_switch_wal())")
        try eventually("\(last) is archived", seconds: 60) {
            try node.value("SELECT coalesce(last_archived_wal, '') >= '\(last)' FROM pg_stat_archiver") == "t"
        }
    }

    /// Some of what happened has a kind of WAL record of its own, and so the server's word that it did.
    private func expectInWAL() throws {
        let segments = try Directory.names(in: archive) ?? []
        let names = segments.filter { $0.count == 24 && $0.allSatisfy(\.isHexDigit) }
        let range = [try #require(names.first), try #require(names.last)]
        let statistics = try node.instance.run("pg_waldump", ["--stats=record", "--path=\(archive)"] + range).output
        let kinds = ["Storage/TRUNCATE", "Database/CREATE_FILE_COPY", "Database/CREATE_WAL_LOG", "Database/DROP"]
        for kind in kinds + ["Tablespace/CREATE", "Tablespace/DROP", "Transaction/PREPARE", "RelMap/UPDATE"] {
            #expect(statistics.contains("\(kind) "), "no \(kind) in the WAL, \(seed)\n\(statistics)")
        }
    }

    // MARK: What survived

    struct Survivor {
        let id: String
        let end: LSN
    }

    /// The complete backups, oldest first.
    func survivors() throws -> [Survivor] {
        try pgark("list").backups.array.filter { $0.status.string == "done" }.map { backup in
            Survivor(
                id: try #require(backup.id.string), end: try #require(backup.end_lsn.string.flatMap { LSN($0) }))
        }.sorted { $0.end < $1.end }
    }

    /// Restores each of them and compares it with the independent copy at the same position.
    func expectAllRestore(_ survivors: [Survivor]) throws {
        let expected = site.directory.appending("expected.sql")
        for survivor in survivors {
            try reference.dump(at: survivor.end, to: expected)
            let restored = try RestoredBackup(survivor, on: self)
            try restored.expectEqual(to: expected)
            try restored.expectSound()
            try restored.discard()
        }
    }

    /// Deletes all that is left, one after the other; then nothing is left at all.
    func expectNothingLeft(afterDeleting survivors: [Survivor]) throws {
        for survivor in survivors { try pgark("delete", survivor.id, "--yes") }
        for directory in ["packs", "backups"] {
            #expect(try Directory.names(in: pgark.repository.appending(directory)) == [], "\(directory), \(seed)")
        }
    }
}
