import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// One backup, restored into a directory of its own and recovered to exactly its own end.
struct RestoredBackup {
    private let server: TestServer
    private let home: FilePath
    private let context: String

    init(_ survivor: Stage.Survivor, on stage: Stage) throws {
        context = "backup \(survivor.id), \(stage.seed)"
        let home = stage.site.directory.appending("of-\(survivor.id)")
        self.home = home
        try stage.places.prepare(for: home.appending(survivor.id))
        let mappings = try stage.pgark("show", survivor.id).tablespaces.array.flatMap { space in
            let location = FilePath(space.location.string ?? "")
            let name = try #require(location.lastComponent?.string)
            return ["--tablespace", "\(location)=\(stage.places.place(name, of: home.appending(survivor.id)))"]
        }
        server = try stage.pgark.restore(
            to: "of-\(survivor.id)/\(survivor.id)",
            [survivor.id, "--target-lsn", "\(survivor.end)", "--target-exclusive"] + mappings)
        try server.recover(to: survivor.end)
    }

    /// Nobody needs it any more.
    func discard() throws {
        try server.stop(.immediate)
        if !TestMachine.keepsDirectories { try Directory.removeTree(home) }
    }

    func expectEqual(to expected: FilePath) throws {
        let found = home.appending("found.sql")
        try server.dump(to: found)
        let difference = try Command("/usr/bin/diff", ["--text", expected.string, found.string]).outcome()
        let isEqual = difference.succeeded
        #expect(isEqual, "\(context)\n\(difference.output.prefix(3000))\(difference.errors)")
    }

    // MARK: Beyond the dump

    /// A dump reads neither indexes nor visibility maps.
    func expectSound() throws {
        try endPrepared()
        for database in try server.sql("SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2") {
            try expectSound(database: try #require(database[0]))
        }
        try checkWithAmcheck()
        try server.stop()
        // It follows links that only a process in the data directory can follow.
        var checksums = server.instance.command("pg_checksums", ["--check", "--pgdata=."])
        checksums.directory = server.data
        let outcome = try checksums.outcome()
        #expect(outcome.succeeded, "\(context): \(outcome.output)\(outcome.errors)")
    }

    /// A transaction that was prepared at that moment waits for its end, and its locks would be in the way of what follows.
    private func endPrepared() throws {
        for row in try server.sql("SELECT gid FROM pg_prepared_xacts") {
            try server.sql("COMMIT PREPARED '\(try #require(row[0]))'")
        }
    }

    private func expectSound(database: String) throws {
        let session = try server.connect(database: database)
        let tables = try session.query(
            "SELECT relname, relpersistence FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
        for row in tables {
            let (table, isUnlogged) = (try #require(row[0]), row[1] == "u")
            let counts = try Self.counts(of: table, session)
            #expect(counts.byHeap == counts.byIndex, "\(context): indexes of \(database).\(table)")
            if isUnlogged { #expect(counts.byHeap.first == "0", "\(context): \(table) is unlogged and not empty") }
            // A sequence may be ahead of what was used, never behind it.
            try session.query("INSERT INTO \(table) (number, word) VALUES (-1, 'after the recovery')")
        }
    }

    /// The same questions answered with and without indexes; by index alone where the visibility map allows it.
    private static func counts(of table: String, _ session: Connection) throws -> (byHeap: [String?], byIndex: [String?]) {
        func ask(by methods: [String], not others: [String]) throws -> [String?] {
            for method in methods { try session.query("SET enable_\(method) = on") }
            for method in others { try session.query("SET enable_\(method) = off") }
            return try ["id", "number"].flatMap { column in
                let row = try session.query("SELECT count(*), sum(\(column)) FROM \(table) WHERE \(column) >= 0").first
                return [row?[0], row?[1]]
            }
        }
        let byIndex = ["indexscan", "indexonlyscan", "bitmapscan"]
        return (try ask(by: ["seqscan"], not: byIndex), try ask(by: byIndex, not: ["seqscan"]))
    }

    private func checkWithAmcheck() throws {
        guard try server.value("SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'") == "1" else { return }
        try server.instance.run(
            "pg_amcheck", ["--all", "--install-missing", "--heapallindexed", "--rootdescend", "--parent-check"],
            environment: server.environment)
    }
}
