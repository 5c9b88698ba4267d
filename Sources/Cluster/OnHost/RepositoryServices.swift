import Glibc
import Hosts
import Postgres
import PostgresModel
import Repository
import Storage
import SystemPackage

/// Services and the receiver on the repository's host: what is there, and what is done with it.
enum RepositoryServices {
    private static let systemctl: FilePath = "/usr/bin/systemctl"

    // MARK: Facts

    static func files(_ cluster: String) throws -> [String: String] {
        var found: [String: String] = [:]
        for path in ServiceNames(cluster).paths { found[path.string] = try SmallFile.readText(path) }
        return found
    }

    /// Where systemd is not what runs the system it knows nothing.
    static func units(_ cluster: String) throws -> [String: RepositoryHostFacts.Unit] {
        guard access("/run/systemd/system", F_OK) == 0 else { return [:] }
        let properties = "--property=Id,ActiveState,UnitFileState,NeedDaemonReload"
        return parse(try Command(systemctl, ["show", properties] + ServiceNames(cluster).units).run().output)
    }

    /// `systemctl show`: lines of NAME=VALUE, an empty one between two units.
    static func parse(_ text: String) -> [String: RepositoryHostFacts.Unit] {
        var units: [String: RepositoryHostFacts.Unit] = [:]
        for block in text.split(separator: "\n\n") {
            let pairs = block.split(separator: "\n").map {
                $0.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            }
            let values = Dictionary(pairs.map { ($0[0], $0.count > 1 ? $0[1] : "") }, uniquingKeysWith: { _, last in last })
            guard let name = values["Id"] else { continue }
            units[String(name)] = .init(
                isActive: values["ActiveState"] == "active", isEnabled: values["UnitFileState"] == "enabled",
                needsReload: values["NeedDaemonReload"] == "yes")
        }
        return units
    }

    /// Debian's cron and cronie leave the same file; a process that is gone leaves it too.
    static func cronIsRunning() throws -> Bool {
        let number = try SmallFile.readText("/run/crond.pid")?.split(whereSeparator: \.isWhitespace).first.flatMap { Int32($0) }
        return number.flatMap { ProcessIdentity(pid: $0) } != nil
    }

    static func receiver(of repository: Repository) throws -> ProcessIdentity? {
        try LockFile.holdingProcess(repository.receiveLock).flatMap { ProcessIdentity(pid: $0) }
    }

    static func receiverInputsChanged(_ cluster: String) throws -> Double? {
        try [
            RepositoryHost.program, RepositoryHost.configuration(cluster), TrustedAuthorities.path(cluster),
            ServiceNames.path(ofUnit: ServiceNames(cluster).receive),
        ]
        .compactMap { try Directory.status($0)?.modified.seconds }.max()
    }

    // MARK: systemd and cron

    static func enable(_ units: [String]) throws {
        try Command(systemctl, ["daemon-reload"]).run()
        try Command(systemctl, ["enable"] + units).run()
        try Command(systemctl, ["restart"] + units).run()
    }

    /// A backup that is being taken ends in its own time.
    static func remove(units: [String]) throws {
        let paths = units.map(ServiceNames.path)
        for path in paths { try requireOurs(path) }
        let isThere = access("/run/systemd/system", F_OK) == 0
        let ended = units.filter { $0.hasSuffix(".timer") || $0.hasSuffix("-receive.service") }
        if isThere, !ended.isEmpty { try Command(systemctl, ["disable", "--now"] + ended).run() }
        for path in paths { try Directory.remove(path) }
        if isThere { try Command(systemctl, ["daemon-reload"]).run() }
    }

    static func remove(_ path: FilePath) throws {
        try requireOurs(path)
        try Directory.remove(path)
    }

    private static func requireOurs(_ path: FilePath) throws {
        guard let text = try SmallFile.readText(path), !text.hasPrefix(ServiceNames.mark) else { return }
        throw Failure(.diverged, "could not remove \(path): pgark did not write it", hint: "See it: cat \(path)")
    }

    // MARK: The receiver

    private static let endSeconds = 60.0
    private static let beginSeconds = 15.0

    static func stopReceiver(of repository: Repository) throws {
        try receiver(of: repository)?.end(patienceSeconds: endSeconds)
    }

    /// Done when it holds its lock.
    static func start(_ start: ReceiverStart) throws {
        let repository = Repository(root: FilePath(start.repository), cluster: start.cluster)
        let account = try RepositoryHost.account(start.account)
        if let log = start.log.map({ FilePath($0).removingLastComponent() }) {
            try Directory.create(log.removingLastComponent(), permissions: 0o755)
            try Directory.create(log, permissions: 0o750, owner: account.owner)
            try Directory.setOwner(of: log, account.owner)
        }
        try stopReceiver(of: repository)
        var command = Command(FilePath(start.command[0]), Array(start.command.dropFirst()))
        command.directory = "/"
        let process = try (Owner.current.isRoot ? account.running(command) : command).start(log: "/dev/null")
        let deadline = Deadline(seconds: beginSeconds)
        while try !LockFile.isHeld(repository.receiveLock) {
            guard process.isRunning, !deadline.isOver else {
                throw Failure(
                    process.isRunning ? .timedOut : .programFailed,
                    "could not start the WAL receiver: it "
                        + (process.isRunning ? "did not begin within \(Int(beginSeconds)) s" : "ended at once"),
                    details: ["command: \(command.typed)"],
                    hint: "See why: " + (start.log.map { "tail \($0)" } ?? "journalctl -t pgark, or: grep pgark /var/log/syslog"))
            }
            pause(milliseconds: 20)
        }
    }
}
