import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

extension TestSite {
    func isAbsent(_ path: FilePath) throws -> Bool { try !Directory.exists(path) }

    /// A digest of names, kinds, owners, modes, times of change and contents of all that is below a directory.
    func fingerprint(_ directory: FilePath) throws -> String {
        let script = """
            cd "$0" && find . -printf '%p %y %u %m %T@ %C@ %l\\n' | sort && find . -type f -print0 | sort -z | xargs -0r sha256sum
            """
        return try command("/bin/sh", ["-c", script, directory.string]).run().output
    }

    func shell(_ script: String, _ arguments: String..., input: String = "") throws -> String {
        var command = command("/bin/sh", ["-euc", script, "sh"] + arguments)
        command.input = Array(input.utf8)
        command.environment["PATH"] = "\(programs.directory):/usr/bin:/bin"
        return try command.run().output
    }
}

extension TestServer {
    /// The timeline that it writes on.
    func timeline() throws -> String {
        try value("SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int")
    }
}

/// A table whose rows say how far a recovery came.
extension TestServer {
    func createMarkers(_ rows: Int, tablespace: String = "pg_default") throws {
        try sql("CREATE TABLE public.marker TABLESPACE \(tablespace) AS SELECT generate_series(1, \(rows)) AS n")
    }

    func markers() throws -> Int? { Int(try value("SELECT count(*) FROM public.marker")) }

    func slots() throws -> [String?] { try sql("SELECT slot_name FROM pg_replication_slots ORDER BY 1").map { $0[0] } }
}

extension Pgark {
    /// Restores a backup to the moment when it was taken, into a new directory, and lets everything judge that can:
    /// PostgreSQL's programs, and the dumps of the server that was backed up. `check` sees the running server.
    func expectRestored(
        _ state: BackedUpState, _ arguments: [String] = [], sourceLocation: SourceLocation = #_sourceLocation,
        check: (TestServer) throws -> Void = { _ in }
    ) throws {
        let restored = try restore(to: "restored-\(state.id)", [state.id, "--target-immediate"] + arguments)
        defer { restored.discard() }
        try restored.expect(state, sourceLocation: sourceLocation, check: check)
    }
}

extension TestServer {
    /// A directory that was just restored is what the server had when the backup was taken.
    func expect(
        _ state: BackedUpState, sourceLocation: SourceLocation = #_sourceLocation, check: (TestServer) throws -> Void = { _ in }
    ) throws {
        #expect(try problems() == [], "\(state.id)", sourceLocation: sourceLocation)
        try recover()
        #expect(try dumps() == state.dumps, "\(state.id)", sourceLocation: sourceLocation)
        try check(self)
        if try value("SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'") == "1" {
            try instance.run(
                "pg_amcheck", ["--all", "--install-missing", "--heapallindexed", "--parent-check"], environment: environment)
        }
        try stop()
        try instance.run("pg_checksums", ["--check", "--pgdata=\(data)"])
    }
}
