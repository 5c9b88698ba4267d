import Glibc
import Hosts
package import Lab
package import Postgres
package import PostgresModel
import Storage
package import SystemPackage

/// A PostgreSQL server of a test site.
package struct TestServer: Sendable {
    package let name: String
    package let instance: PostgresInstance
    private let site: Site

    /// What a server needs to know of its site. Not the site itself, which ends when its last owner lets go.
    private struct Site {
        let owner: Owner
        let passfile: FilePath
        let passwords: TestPasswords
    }

    init(name: String, site: TestSite, places: PostgresInstance.Places, programs: PostgresPrograms? = nil) throws {
        self.name = name
        self.site = Site(owner: site.owner, passfile: site.passfile, passwords: site.passwords)
        instance = try PostgresInstance(name: name, programs: programs ?? site.programs, places: places, port: TestPorts.take())
    }

    package var data: FilePath { instance.places.data }
    package var port: Int { instance.port }
    package var log: String { (try? SmallFile.readText(instance.places.log)) ?? "" }

    package func conninfo(user: String = "postgres", database: String = "postgres") -> Conninfo {
        Conninfo(port: port, user: user, database: database, passfile: site.passfile)
    }

    /// For programs of PostgreSQL that take no connection string.
    package var environment: [String: String] {
        ["PGHOST": "127.0.0.1", "PGPORT": "\(port)", "PGUSER": "postgres", "PGPASSFILE": site.passfile.string]
    }

    // MARK: Making

    /// Small and quick: what a test writes need not outlive the machine, only the servers' processes.
    private static let quick = [
        "shared_buffers": "16MB", "max_connections": "20", "fsync": "off", "max_wal_senders": "8", "max_replication_slots": "8",
        "wal_level": "replica", "autovacuum": "off", "log_min_messages": "log",
    ]

    private func configuration(_ settings: [String: String]) -> PostgresConfiguration {
        PostgresConfiguration(
            settings: Self.quick.merging(settings) { $1 }.sorted { $0.key < $1.key }.map { .init($0.key, $0.value) },
            accessRules: ["host all,replication all 127.0.0.1/32 scram-sha-256"])
    }

    func initialize(options: [String], settings: [String: String]) throws {
        for directory in [data, instance.places.configuration] {
            try Directory.create(directory.removingLastComponent(), owner: site.owner)
        }
        let password = FilePath("\(data).password")
        defer { try? Directory.remove(password) }
        try SmallFile.write(site.passwords.postgres, to: password, owner: site.owner)
        try instance.run(
            "initdb",
            [
                "--pgdata=\(data)", "--username=postgres", "--pwfile=\(password)", "--auth=scram-sha-256", "--data-checksums",
                "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
            ] + options)
        if instance.places.configuration != data {
            // As Debian has it: nothing of it stays behind.
            for file in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"] { try Directory.remove(data.appending(file)) }
        }
        try instance.configure(configuration(settings))
    }

    func copy(_ primary: TestServer, slot: String, settings: [String: String]) throws {
        let following = [
            "primary_conninfo": primary.conninfo().setting("application_name", name).description, "primary_slot_name": slot,
            "hot_standby_feedback": "on",
        ]
        try instance.createStandby(
            of: primary.conninfo(), slot: SlotName(slot), configuration(following.merging(settings) { $1 }))
    }

    /// The role "pgark" may do what a backup and its receiver need, and no more.
    func createRoles() throws {
        let functions = """
            SELECT format('GRANT EXECUTE ON FUNCTION %s TO pgark', oid::regprocedure) FROM pg_proc
            WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN
              ('pg_read_file', 'pg_read_binary_file', 'pg_stat_file', 'pg_ls_dir', 'pg_show_all_file_settings', 'pg_switch_wal')
            """
        let verifier = try PasswordVerifier.scram(site.passwords.pgark)
        try sql("CREATE ROLE pgark LOGIN REPLICATION PASSWORD '\(verifier)'")
        try sql("GRANT pg_monitor, pg_read_server_files TO pgark")
        try sql("GRANT SELECT ON pg_catalog.pg_file_settings TO pgark")
        for grant in try sql(functions) { try sql(grant[0]!) }
    }

    // MARK: Running

    package func start(settings: [String: String] = [:]) throws {
        try instance.start(settings: settings.map { .init($0.key, $0.value) })
    }

    /// A restored server's files name the port of the server that it came from.
    package func startBesideOriginal(settings: [String: String] = [:]) throws {
        try instance.startBesideOriginal(settings: settings.map { .init($0.key, $0.value) })
    }

    /// Starts what a restore left and waits until it has recovered to its target and accepts writes.
    package func recover(settings: [String: String] = [:]) throws {
        try startBesideOriginal(settings: settings)
        try eventually("\(name) ends its recovery") { try value("SELECT pg_is_in_recovery()") == "f" }
    }

    package func stop(_ mode: PostgresInstance.StopMode = .fast) throws { try instance.stop(mode) }

    /// Ends the server and removes its data, so that a test of many restores does not fill the disk.
    package func discard() {
        try? stop(.immediate)
        if !TestMachine.keepsDirectories { try? Directory.removeTree(data) }
    }

    package func promote() throws {
        try instance.promote()
        try eventually("\(name) is a primary") { try value("SELECT pg_is_in_recovery()") == "f" }
    }

    // MARK: Asking

    /// Runs one statement as the superuser, in a session of its own.
    @discardableResult
    package func sql(_ statement: String, database: String = "postgres") throws -> Rows {
        try connect(database: database).query(statement)
    }

    /// A session as the superuser; names are looked for in "public" too.
    package func connect(database: String = "postgres") throws -> Connection {
        let connection = try Connection("\(conninfo(database: database))", application: "test")
        try connection.query("SELECT set_config('search_path', 'public', false)")
        return connection
    }

    /// The one value that a query returns.
    package func value(_ query: String, database: String = "postgres") throws -> String {
        guard let value = try sql(query, database: database).first?[0] else { throw TestFailure("no value: \(query)") }
        return value
    }

    package func lsn() throws -> LSN {
        let text = try value("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END")
        guard let lsn = LSN(text) else { throw TestFailure("not an LSN: \(text)") }
        return lsn
    }

    /// A digest of all that pg_dump prints of a database, but for the random word in its first and last lines.
    package func dumpDigest(database: String = "postgres", _ options: String...) throws -> String {
        let script = "pg_dump --dbname=\"$0\" \"$@\" | grep -v '^.\\(un\\)\\?restrict ' | sha256sum"
        var command = Command("/bin/sh", ["-c", script, "\(conninfo(database: database))"] + options)
        command.environment["PATH"] = "\(instance.programs.directory):/usr/bin:/bin"
        return try command.run().output
    }

    /// A value of pg_controldata, such as "Latest checkpoint location".
    package func controlData(_ label: String) throws -> String {
        let lines = try instance.run("pg_controldata", [data.string]).output.split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix(label + ":") }) else {
            throw TestFailure("pg_controldata: no \"\(label)\"")
        }
        return String(line.dropFirst(label.count + 1).drop(while: \.isWhitespace))
    }
}

/// TCP ports below those that the kernel hands out, each given once by this process.
enum TestPorts {
    private static let next = Monitor(20_000 + Int(getpid()) * 17 % 10_000)

    static func take() throws -> Int {
        try next.change { next in
            let port = try LoopbackPort.free(1, from: next)[0]
            next = port + 1
            return port
        }
    }
}
