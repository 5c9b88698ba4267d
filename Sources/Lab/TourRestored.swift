import Hosts
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// Steps 11 to 15: what came back is right, and the originals never noticed.
extension Tour {
    /// By pg_verifybackup where it works, else by our own reading of the server's manifest.
    func compareFiles() throws {
        let manifest = try manifestFile()
        if hosts.programs.works("pg_verifybackup") { try verifyWithPostgres(manifest) }
        let comparison = try ManifestComparison(of: hosts.home.restored, manifest: manifest)
        try prove(
            "sizes and CRC-32C of the server's manifest", comparison.differences.isEmpty, expected: "no difference",
            seen: comparison.differences.isEmpty
                ? "\(comparison.files) files, \(ByteCount(comparison.bytes)), all equal"
                : comparison.differences.prefix(5).joined(separator: "; "))
    }

    private func manifestFile() throws -> FilePath {
        let inPlace = hosts.home.restored.appending("backup_manifest")
        if try Directory.exists(inPlace) { return inPlace }
        let stored = hosts.home.repository.pushing(FilePath("lab/backups/\(restoredBackup ?? "")/manifest"))
        if try Directory.exists(stored) { return stored }
        throw Failure(.labFailed, "the server's backup_manifest is not there", details: ["searched: \(inPlace), \(stored)"])
    }

    /// pg_wal is left out (-n): the WAL comes from the repository while the server starts. What the restore adds to the
    /// server's own files is named: configuration from outside the data directory, and pgark's own notes.
    private func verifyWithPostgres(_ manifest: FilePath) throws {
        let added = try (Directory.names(in: hosts.home.restored) ?? []).filter {
            PostgresConfiguration.fileNames.contains($0) || $0.hasPrefix("pgark") || $0.hasPrefix(".pgark")
        }
        let command = hosts.restored.command(
            "pg_verifybackup",
            ["-n", "-m", manifest.string] + added.flatMap { ["-i", $0] } + [hosts.home.restored.string])
        try run(command, "pg_verifybackup")
    }

    private func run(_ command: Command, _ name: String) throws {
        tell(.command("$ \(command.typed)"))
        let outcome = try command.run()
        let lines = outcome.output.split(whereSeparator: \.isNewline).map(String.init)
        try prove(name, true, expected: "", seen: lines.first { $0.hasPrefix("Bad checksums") } ?? lines.last ?? "no complaint")
    }

    private func start() throws {
        tell(.command("$ pg_ctl start --pgdata=\(hosts.home.restored) --options=\"-c port=\(hosts.restored.port)\""))
        try hosts.restored.startBesideOriginal()
    }

    func startRestored() throws {
        try start()
        _ = try eventually("the restored server has promoted", seconds: 60, expected: "pg_is_in_recovery() is false") {
            try value(hosts.restored, "SELECT true WHERE NOT pg_is_in_recovery()")
        }
        try prove("timeline", try timeline(of: hosts.restored), is: "2")
        try prove("recovery is over for good: signal files left", try signals(in: hosts.home.restored), is: "")
        try prove(
            "system identifier", try value(hosts.restored, "SELECT system_identifier FROM pg_control_system()"),
            is: systemIdentifier ?? "that of node1")
        let connection = try hosts.connect(to: hosts.restored)
        try prove("hot_standby_feedback, as node1's postgresql.conf says", try connection.show("hot_standby_feedback"), is: "on")
        try prove("data_directory", try connection.show("data_directory"), is: hosts.home.restored.string)
        for name in ["config_file", "hba_file", "ident_file"] {
            let path = try connection.show(name) ?? ""
            let isInside = path.hasPrefix(hosts.home.restored.string + "/")
            try prove("\(name) is inside", isInside, expected: "in \(hosts.home.restored)", seen: path)
        }
    }

    private func timeline(of server: PostgresInstance) throws -> String? {
        try value(server, "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int")
    }

    func lookAtRestored() throws {
        tell(.command("restored=# \\l"))
        try prove(
            "databases", try databases(on: hosts.restored).joined(separator: ", "),
            is: "otus, otus_test, postgres, template0, template1")
        let rows = try rows(on: hosts.restored).joined(separator: "; ")
        try prove("rows in otus.test", rows, is: "1, alex")
        _ = try sql(hosts.restored, "CREATE TABLE public.after_restore (id int)", database: "otus_test")
        try prove("it accepts writes", true, expected: "", seen: "a table created in otus_test")
    }

    func lookAtOriginals() throws {
        try prove("node1: timeline", try timeline(of: hosts.node1), is: "1")
        let databases = try databases(on: hosts.node1).joined(separator: ", ")
        try prove("node1: databases", databases, is: "postgres, template0, template1")
        let streaming = try ask(
            hosts.node1,
            "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming' ORDER BY 1"
        ).compactMap { $0[0] }
        try prove("node1: streams to", streaming.joined(separator: ", "), is: "node2, pgark")
        let slot = try value(hosts.node2, "SELECT slot_name FROM pg_stat_wal_receiver")
        try prove("node2: follows", slot, is: LabHosts.standbySlot)
    }

    func runProofs() throws {
        try checkIndexes()
        try hosts.restored.stop()
        try run(hosts.restored.command("pg_checksums", ["--check", "--pgdata=\(hosts.home.restored)"]), "pg_checksums")
        try start()
        try prove("after a restart: rows in otus.test", try rows(on: hosts.restored).joined(separator: "; "), is: "1, alex")
    }

    /// pg_amcheck, where the server ships the extension that it needs.
    private func checkIndexes() throws {
        let ships = try !ask(hosts.restored, "SELECT FROM pg_available_extensions WHERE name = 'amcheck'").isEmpty
        guard ships, hosts.programs.works("pg_amcheck") else {
            return tell(.remark("pg_amcheck: left out, this PostgreSQL does not ship the extension amcheck"))
        }
        let conninfo = hosts.conninfo(hosts.restored, database: "postgres")
        try run(
            hosts.restored.command(
                "pg_amcheck", ["--all", "--install-missing", "--heapallindexed", "--maintenance-db=\(conninfo)"],
                environment: ["PGPASSFILE": hosts.home.passfile.string]), "pg_amcheck")
    }
}
