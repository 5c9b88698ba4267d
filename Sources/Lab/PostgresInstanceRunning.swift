import Glibc
package import Hosts
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// Starting, stopping and promoting a server, through pg_ctl.
extension PostgresInstance {
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
        let areThere = a.withPlatformString { stat($0, &first) } == 0 && b.withPlatformString { stat($0, &second) } == 0
        return areThere && first.st_dev == second.st_dev && first.st_ino == second.st_ino
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
