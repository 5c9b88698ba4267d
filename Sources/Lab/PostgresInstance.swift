import Glibc
package import Postgres
import PostgresModel
import Storage
package import SystemPackage

/// One PostgreSQL server as a process of ours: made, configured, started, stopped, promoted.
///
/// Any version, any directory. Where this process is root, the server is run by the account `postgres`. Its files
/// appear complete or not at all: a data directory is made beside its place and renamed into it.
package struct PostgresInstance: Sendable {
    package typealias Setting = PostgresConfiguration.Setting

    package let name: String
    package let programs: PostgresPrograms
    package let places: Places
    package let port: Int
    private let account: Account?

    package struct Places: Sendable {
        package var data: FilePath
        /// Where postgresql.conf, pg_hba.conf and pg_ident.conf are: the data directory, or another one as on Debian.
        package var configuration: FilePath
        package var sockets: FilePath
        package var log: FilePath

        package init(data: FilePath, configuration: FilePath? = nil, sockets: FilePath, log: FilePath) {
            self.data = data
            self.configuration = configuration ?? data
            self.sockets = sockets
            self.log = log
        }

        /// `directory`/data, etc, run and log.
        package init(under directory: FilePath, configurationOutside: Bool) {
            self.init(
                data: directory.appending("data"), configuration: configurationOutside ? directory.appending("etc") : nil,
                sockets: directory.appending("run"), log: directory.appending("log"))
        }

        var configurationIsOutside: Bool { configuration != data }
        var unfinishedData: FilePath { FilePath("\(data).new") }
    }

    package init(name: String, programs: PostgresPrograms, places: Places, port: Int) throws {
        self.name = name
        self.programs = programs
        self.places = places
        self.port = port
        account = try Account.forServers()
    }

    // MARK: Making

    package var exists: Bool { get throws { try Directory.exists(places.data) } }

    /// A new primary: data checksums, SCRAM everywhere, `password` for the superuser "postgres".
    package func create(password: String, _ configuration: PostgresConfiguration) throws {
        try prepareDirectories()
        let file = places.data.removingLastComponent().appending(".superuser-password")
        defer { try? Directory.remove(file) }  // it goes with the directory at the latest
        try SmallFile.write(password, to: file, permissions: 0o600, owner: account?.owner)
        try run(
            "initdb",
            [
                "--pgdata=\(places.unfinishedData)", "--username=postgres", "--pwfile=\(file)", "--auth=scram-sha-256",
                "--data-checksums", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
            ])
        try finish(configuration)
    }

    /// A new standby: a copy of the server at `upstream`, made over the replication protocol while holding WAL on
    /// `slot`, which must be there. `configuration` says how to follow it.
    package func createStandby(of upstream: Conninfo, slot: SlotName, _ configuration: PostgresConfiguration) throws {
        try prepareDirectories()
        try run(
            "pg_basebackup",
            [
                "--pgdata=\(places.unfinishedData)", "--dbname=\(upstream)", "--wal-method=stream", "--slot=\(slot)",
                "--checkpoint=fast", "--no-sync",
            ])
        try SmallFile.write("", to: places.unfinishedData.appending("standby.signal"), owner: account?.owner)
        try finish(configuration)
    }

    private func prepareDirectories() throws {
        for directory in [places.data.removingLastComponent(), places.configuration.removingLastComponent()] {
            try Directory.create(directory, owner: account?.owner)
        }
        try Directory.removeTree(places.unfinishedData)
    }

    private func finish(_ configuration: PostgresConfiguration) throws {
        if places.configurationIsOutside {
            for file in PostgresConfiguration.fileNames { try Directory.remove(places.unfinishedData.appending(file)) }
            try configure(configuration)
        } else {
            try write(configuration, to: places.unfinishedData)
        }
        try Directory.rename(places.unfinishedData, to: places.data)
    }

    /// Replaces the configuration files. Port, directories and the like are added here.
    package func configure(_ configuration: PostgresConfiguration) throws {
        try Directory.create(places.configuration, owner: account?.owner)
        try write(configuration, to: places.configuration)
    }

    private func write(_ configuration: PostgresConfiguration, to directory: FilePath) throws {
        var complete = configuration
        complete.settings = ownSettings + configuration.settings
        try complete.write(to: directory, for: name, owner: account?.owner)
    }

    private var ownSettings: [Setting] {
        var settings = [
            Setting("listen_addresses", "127.0.0.1"), Setting("port", String(port)),
            Setting("unix_socket_directories", socketSetting),
        ]
        if places.configurationIsOutside {
            settings.append(Setting("data_directory", places.data.string))
            settings.append(Setting("hba_file", places.configuration.appending("pg_hba.conf").string))
            settings.append(Setting("ident_file", places.configuration.appending("pg_ident.conf").string))
        }
        return settings
    }

    /// Empty (TCP only) where the socket's path would exceed the 107 bytes of sockaddr_un.
    private var socketSetting: String {
        let socket = places.sockets.appending(".s.PGSQL.\(port)").string
        return socket.utf8.count <= 107 && !socket.contains(",") ? places.sockets.string : ""
    }

    // MARK: Running

    /// The server's first process; nil while it does not run. A number that postmaster.pid kept from before a crash
    /// may be another program's now, so it must also work in our data directory.
    package var process: ProcessIdentity? {
        guard let text = try? SmallFile.readText(places.data.appending("postmaster.pid")),
            let pid = text.split(whereSeparator: \.isNewline).first.flatMap({ Int32($0) }),
            let home = ProcessIdentity.workingDirectory(of: pid), Self.isSame(home, places.data)
        else { return nil }
        return ProcessIdentity(pid: pid)
    }

    package var isRunning: Bool { process != nil }

    private static func isSame(_ a: FilePath, _ b: FilePath) -> Bool {
        var (first, second) = (stat(), stat())
        guard a.withPlatformString({ stat($0, &first) }) == 0, b.withPlatformString({ stat($0, &second) }) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }

    /// Starts the server and waits until it accepts connections: a standby when it is consistent, a server in recovery
    /// likewise. `settings` go before those of the files.
    package func start(settings: [Setting] = [], timeoutSeconds: Int = 60) throws {
        if isRunning { return }
        guard LoopbackPort.isFree(port) else {
            throw Failure(
                .labFailed, "could not start \(name): port \(port) is taken by another program",
                hint: "See which one with: ss -ltnp 'sport = :\(port)'")
        }
        try Directory.create(places.sockets, owner: account?.owner)
        var options = settings.map { "-c " + Shell.quoted("\($0.name)=\($0.value)") }
        if places.configurationIsOutside {
            options.insert("-c " + Shell.quoted("config_file=\(places.configuration.appending("postgresql.conf"))"), at: 0)
        }
        do {
            try control(["start", "--log=\(places.log)", "--options=\(options.joined(separator: " "))"], timeoutSeconds)
        } catch let failure as Failure where failure.code == .programFailed {
            throw logged(failure)
        }
    }

    /// With the overrides that a copy needs to run beside the server it came from: its own port and sockets.
    package func startBesideOriginal(settings: [Setting] = [], timeoutSeconds: Int = 60) throws {
        try start(
            settings: [
                Setting("listen_addresses", "127.0.0.1"), Setting("port", String(port)),
                Setting("unix_socket_directories", socketSetting), Setting("archive_mode", "off"),
            ] + settings, timeoutSeconds: timeoutSeconds)
    }

    package enum StopMode: String, Sendable { case smart, fast, immediate }

    package func stop(_ mode: StopMode = .fast, timeoutSeconds: Int = 60) throws {
        guard isRunning else { return }
        try control(["stop", "--mode=\(mode.rawValue)"], timeoutSeconds)
    }

    package func promote(timeoutSeconds: Int = 60) throws { try control(["promote"], timeoutSeconds) }

    private func control(_ arguments: [String], _ timeoutSeconds: Int) throws {
        try run(
            "pg_ctl", arguments + ["--pgdata=\(places.data)", "--wait", "--timeout=\(timeoutSeconds)", "--silent"],
            timeoutSeconds: Double(timeoutSeconds) + 10)
    }

    /// Runs one of the installation's programs as the server's account.
    @discardableResult
    package func run(
        _ program: String, _ arguments: [String], environment: [String: String] = [:], timeoutSeconds: Double = 120
    ) throws -> Command.Outcome {
        try command(program, arguments, environment: environment, timeoutSeconds: timeoutSeconds).run()
    }

    package func command(
        _ program: String, _ arguments: [String], environment: [String: String] = [:], timeoutSeconds: Double = 120
    ) -> Command {
        var command = Command(programs.path(of: program), arguments, environment: environment)
        command.environment["LC_ALL"] = "C"
        command.directory = "/"
        command.timeoutSeconds = timeoutSeconds
        return account?.running(command) ?? command
    }

    /// The failure with the last lines of the server's log, which say why it did not start.
    private func logged(_ failure: Failure) -> Failure {
        let lines = ((try? SmallFile.readText(places.log)) ?? "").split(whereSeparator: \.isNewline).suffix(6)
        return Failure(
            .labFailed, "could not start \(name): \(failure.message)",
            details: failure.details + lines.map(String.init) + ["its log: \(places.log)"])
    }
}

/// TCP ports of 127.0.0.1.
package enum LoopbackPort {
    /// The first `count` ports from `base` on that nobody listens on.
    package static func free(_ count: Int, from base: Int) throws -> [Int] {
        let ports = Array((base..<min(base + 1000, 65536)).lazy.filter(isFree).prefix(count))
        guard ports.count == count else {
            throw Failure(.labFailed, "could not find \(count) free ports from \(base) on", hint: "Name another base: --port 55000")
        }
        return ports
    }

    package static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var on: Int32 = 1  // as the server does, so that connections of before that linger do not count
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
