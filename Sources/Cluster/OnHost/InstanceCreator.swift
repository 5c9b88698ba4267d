import Glibc
import Hosts
import PostgresModel
import Storage
import SystemPackage

/// Makes servers. A data directory is made beside its place and gets its name when it is whole, so that one that was cut short is
/// known for what it is and begun anew.
struct InstanceCreator {
    let site: InstanceSite
    private var owner: Owner { site.account.owner }
    private var writer: InstanceWriter { InstanceWriter(site: site) }

    /// A new empty server with data checksums; passwords of others by SCRAM, the system's account over the socket. Its order of
    /// texts is that of their code points, which no update of the system's libraries can change under its indexes: PostgreSQL's
    /// own from 17 on (PostgreSQL documentation: 23.1.4), else the C library's C.UTF-8.
    func create(_ node: String, _ files: InstanceFiles) throws {
        let lock = try site.lock()
        defer { withExtendedLifetime(lock) {} }
        try prepare()
        let major = try major
        try run(
            site.command(
                site.program("initdb"),
                [
                    "--pgdata=\(site.unfinished)", "--username=postgres", "--auth-local=peer", "--auth-host=scram-sha-256",
                    "--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions",
                ] + (major >= 17 ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] : [])))
        try finish(files)
    }

    private var major: Int {
        get throws { (try PostgresPrograms(in: FilePath(site.layout.programs))?.version.number ?? 0) / 10000 }
    }

    /// A copy of the server at `upstream`, made over the replication protocol while its WAL is held on `slot`.
    func copy(_ upstream: String, slot: String, _ files: InstanceFiles) throws {
        let lock = try site.lock()
        defer { withExtendedLifetime(lock) {} }
        try prepare()
        try writer.writePassfile(files.passfile)
        var command = site.command(
            site.program("pg_basebackup"),
            [
                "--pgdata=\(site.unfinished)", "--dbname=\(upstream)", "--wal-method=stream", "--slot=\(slot)",
                "--checkpoint=fast",
                "--no-password",
            ])
        command.timeoutSeconds = 7 * 24 * 3600
        try run(command)
        try finish(files)
    }

    /// Goes on as tar(1), which takes a data directory from our standard input.
    func receive() throws -> Never {
        let lock = try site.lock()
        defer { withExtendedLifetime(lock) {} }
        try prepare()
        try Directory.create(site.unfinished, owner: owner)
        if Owner.current.isRoot { try site.account.become() }
        let words = ["tar", "--extract", "--preserve-permissions", "--directory=\(site.unfinished)", "--file=-"]
        var arguments = words.map { strdup($0) } + [nil]
        execv("/bin/tar", &arguments)
        throw Failure.system("run", "/bin/tar")
    }

    /// Makes what was received the server.
    func adopt(_ files: InstanceFiles, recovery: [RestoreOutline.Setting] = []) throws {
        let lock = try site.lock()
        defer { withExtendedLifetime(lock) {} }
        // It comes last.
        guard try Directory.exists(site.unfinished.appending("global/pg_control")) else {
            throw Failure(
                .damaged, "could not make a server of \(site.unfinished): it is not whole", hint: "Give the command again.")
        }
        try finish(files, recovery)
    }

    private func run(_ command: Command) throws {
        var command = command
        command.timeoutSeconds = max(command.timeoutSeconds, 600)
        try command.run()
    }

    private func prepare() throws {
        if let mark = site.debianMark, try Directory.exists(mark) { try DebianConfiguration(site: site).remove(mark) }
        if let names = try Directory.names(in: site.data), !names.isEmpty {
            throw Failure(
                .directoryNotEmpty, "could not make a server in \(site.data): it is not empty",
                details: ["there: \(names.prefix(5).joined(separator: ", "))"], hint: "See what has changed: pgark plan")
        }
        try Directory.create(site.data.removingLastComponent(), permissions: 0o755, owner: owner)
        try Directory.removeTree(site.unfinished)
        if site.layout.kind == .debian { try DebianConfiguration(site: site).prepare() }
    }

    /// What a copy has in postgresql.auto.conf of an earlier recovery, or of whom its original followed.
    private static let foreign = [
        "restore_command", "recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time",
        "recovery_target_xid", "recovery_target_inclusive", "recovery_target_timeline", "recovery_target_action",
        "primary_conninfo", "primary_slot_name", "recovery_min_apply_delay",
    ]

    /// Configured, durable, and in its place.
    func finish(_ files: InstanceFiles, _ recovery: [RestoreOutline.Setting] = []) throws {
        if site.layout.kind == .debian {
            for name in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "conf.d"] {
                try Directory.removeTree(site.unfinished.appending(name))
            }
            try writer.write(files)
        } else {
            try writer.writePassfile(files.passfile)
            try writer.writeSettings(files, in: site.unfinished)
        }
        try writer.reset(Self.foreign + SettingsText.values(files.include).keys, in: site.unfinished)
        if !recovery.isEmpty { try recover(recovery) }
        if files.isStandby {
            try SmallFile.write("", to: site.unfinished.appending("standby.signal"), owner: owner)
        }
        try File.synchronizeFileSystem(of: site.unfinished)
        try Directory.removeIfEmpty(site.data)
        try Directory.rename(site.unfinished, to: site.data)
    }

    /// All WAL that there is came along, so nothing has to be fetched: what the command denies is looked for in pg_wal.
    private func recover(_ settings: [RestoreOutline.Setting]) throws {
        let path = site.unfinished.appending("postgresql.auto.conf")
        let lines = (["restore_command = 'false'"] + settings.map { SettingsText.line($0.name, $0.value) }).joined(
            separator: "\n")
        try SmallFile.write((try SmallFile.readText(path) ?? "") + lines + "\n", to: path, owner: owner)
        try SmallFile.write("", to: site.unfinished.appending("recovery.signal"), owner: owner)
    }

    /// Returns where the data directory is now.
    func setAside() throws -> String? {
        try InstanceControl(site: site).stop()
        guard try Directory.exists(site.data) else { return nil }
        let place = try freePlace()
        try Directory.rename(site.data, to: place)
        return "its data directory is kept as \(place)"
    }

    /// Where a data directory can be kept.
    func freePlace() throws -> FilePath {
        var place = FilePath("\(site.data).before-pgark"), number = 1
        while try Directory.exists(place) {
            number += 1
            place = FilePath("\(site.data).before-pgark-\(number)")
        }
        return place
    }
}

/// What postgresql-common has of a cluster outside of its data directory.
struct DebianConfiguration {
    let site: InstanceSite

    /// /etc/postgresql/MAJOR/NAME as pg_createcluster makes it, where it is not there yet. The data directory that it makes too is
    /// not what we want, and goes before anything is in it. Until then a mark says that both are ours.
    func prepare() throws {
        let directory = FilePath(site.layout.configuration)
        guard try !Directory.exists(directory), let mark = site.debianMark else { return }
        try Directory.create(mark.removingLastComponent(), permissions: 0o755, owner: site.account.owner)
        try SmallFile.write("", to: mark)
        var command = Command(
            "/usr/bin/pg_createcluster", ["--port", String(site.layout.port), "--datadir", site.data.string, site.major, name])
        command.timeoutSeconds = 600
        command.environment["LC_ALL"] = "C.UTF-8"  // it refuses one that ssh brought along and that is not there
        do { try command.run() } catch {
            try Directory.removeTree(directory)
            try Directory.removeTree(site.data)
            try Directory.remove(mark)
            throw error
        }
        try Directory.removeTree(site.data)
        try Directory.remove(mark)
    }

    /// What an earlier attempt left that was cut short. It may have become somebody's since, and is kept.
    func remove(_ mark: FilePath) throws {
        if let postmaster = Postmaster(site.data) {
            throw Failure(
                .serverRunning, "could not make a server in \(site.data): one runs there, process \(postmaster.pid)",
                hint: "Where it is yours: rm \(mark); then: pgark plan")
        }
        let configuration = FilePath(site.layout.configuration)
        if try Directory.names(in: site.data)?.isEmpty == false {
            let place = try InstanceCreator(site: site).freePlace()
            try Directory.rename(site.data, to: place)
            if try Directory.exists(configuration) {
                try Command("/bin/cp", ["--archive", configuration.string, place.appending("configuration").string]).run()
            }
        }
        try Directory.removeTree(configuration)
        try Directory.remove(mark)
    }

    private var name: String { site.layout.debianName ?? "main" }
}
