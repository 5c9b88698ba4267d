import Glibc
import Hosts
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// Looks at a server's place. Files first, as root; the server's own answers last, as its account: there is no way back.
struct InstanceObserver {
    let questions: InstanceQuestions

    func facts() throws -> InstanceFacts {
        let account = Account(named: InstanceSite.accountName)
        let layout = try InstanceSite.layout(questions, account)
        var facts = InstanceFacts(
            layout: layout, version: nil, installedMajors: try InstanceSite.installedMajors(), hasServerAccount: account != nil,
            data: .absent, freeBytes: 0, portIsTaken: false, include: nil, includesOurs: false, accessRules: nil,
            autoSettings: [:], passfile: nil, hasStandbySignal: false, hasTablespaces: false, filesChanged: nil, isRunning: false,
            server: nil,
            serverFailure: nil, tls: nil,
            contexts: [:])
        guard let layout else { return facts }
        facts.freeBytes = try freeBytes(FilePath(layout.data))
        facts.identity = try identity(FilePath(layout.data))
        facts.portIsTaken = !Self.isFree(layout.port)
        guard let account else { return facts }
        let site = InstanceSite(layout: layout, account: account)
        facts.version = try PostgresPrograms(in: FilePath(layout.programs))?.version.number
        facts.data = try data(site)
        facts.freeBytes += try Directory.treeSize(site.unfinished)
        if facts.version != nil { facts.contexts = try contexts(site) }
        try readFiles(site, &facts)
        let postmaster = Postmaster(site.data)
        facts.isRunning = postmaster != nil
        if facts.isRunning { facts.portIsTaken = false }
        if let tls = questions.tls {
            facts.tls = try TLSObserver(site: site, questions: tls).facts(
                isInstalled: facts.version != nil, isRunning: postmaster != nil)
        }
        if let postmaster { ask(postmaster, account, &facts) }
        return facts
    }

    // MARK: Files

    private func data(_ site: InstanceSite) throws -> DataDirectory {
        if let mark = site.debianMark, try Directory.exists(mark), Postmaster(site.data) == nil { return .unfinished }
        guard let names = try Directory.names(in: site.data) else {
            return try Directory.exists(site.unfinished) ? .unfinished : .absent
        }
        if names.isEmpty || names == ["lost+found"] { return .empty }
        guard names.contains("PG_VERSION"), names.contains("global") else { return .foreign(some: Array(names.prefix(5))) }
        return .present(try Self.control(site))
    }

    /// What pg_controldata says, in the C locale.
    static func control(_ site: InstanceSite) throws -> ControlFacts {
        let major = try SmallFile.readText(site.data.appending("PG_VERSION")).flatMap { Int($0.prefix { $0.isNumber }) } ?? 0
        let program = site.program("pg_controldata")
        guard access(program.string, X_OK) == 0 else {
            return ControlFacts(
                systemIdentifier: 0, major: major, state: "unknown", timeline: 0, hasChecksums: false, logsHints: false,
                required: [:])
        }
        let outcome = try site.command(program, [site.data.string]).outcome()
        var values: [String: String] = [:]
        for line in outcome.output.split(whereSeparator: \.isNewline) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            values[String(line[..<colon])] = line[line.index(after: colon)...].trimmed
        }
        let settings = ["max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_xacts", "max_locks_per_xact"]
        return ControlFacts(
            systemIdentifier: values["Database system identifier"].flatMap { UInt64($0) } ?? 0, major: major,
            state: values["Database cluster state"] ?? "unknown",
            timeline: values["Latest checkpoint's TimeLineID"].flatMap { UInt32($0) } ?? 0,
            hasChecksums: values["Data page checksum version"].map { $0 != "0" } ?? false,
            logsHints: values["wal_log_hints setting"] == "on",
            required: Dictionary(
                uniqueKeysWithValues: settings.compactMap { name in
                    values["\(name) setting"].flatMap { Int($0) }.map { (settingName(name), $0) }
                }))
    }

    private static func settingName(_ control: String) -> String {
        switch control {
        case "max_prepared_xacts": "max_prepared_transactions"
        case "max_locks_per_xact": "max_locks_per_transaction"
        default: control
        }
    }

    /// Its inode, on this boot of this machine. Containers share the latter, and not the former.
    private func identity(_ path: FilePath) throws -> String? {
        guard let status = try Directory.status(path), status.kind == .directory else { return nil }
        let boot = try SmallFile.readText("/proc/sys/kernel/random/boot_id")?.trimmed ?? ""
        return "\(boot) \(try Directory.space(at: path).volume) \(status.inode)"
    }

    private func freeBytes(_ path: FilePath) throws -> Int {
        var path = path
        while try !Directory.exists(path), !path.removingLastComponent().isEmpty { path = path.removingLastComponent() }
        return try Directory.space(at: path).free.rawValue
    }

    private func readFiles(_ site: InstanceSite, _ facts: inout InstanceFacts) throws {
        facts.include = try SmallFile.readText(FilePath(site.layout.include))
        facts.includesOurs = try IncludeLine.isThere(site.layout)
        facts.accessRules = try SmallFile.readText(FilePath(site.layout.accessFile))
        facts.passfile = try SmallFile.readText(FilePath(site.layout.passfile))
        facts.filesChanged = try [site.layout.include, site.layout.accessFile].compactMap {
            try Directory.status(FilePath($0))?.modified.seconds
        }.max()
        facts.hasStandbySignal = try Directory.exists(site.data.appending("standby.signal"))
        facts.hasTablespaces = try Directory.names(in: site.data.appending("pg_tblspc"))?.isEmpty == false
        facts.walLink = Directory.linkTarget(site.data.appending("pg_wal"))?.string
        facts.isMountPoint = try Command("/usr/bin/mountpoint", ["-q", site.data.string]).outcome().succeeded
        facts.autoSettings = SettingsText.values(try SmallFile.readText(site.data.appending("postgresql.auto.conf")) ?? "")
    }

    /// `postgres --describe-config`: name, context, group, type, …, one line each.
    private func contexts(_ site: InstanceSite) throws -> [String: String] {
        let lines = try site.command(site.program("postgres"), ["--describe-config"]).run().output.split(
            whereSeparator: \.isNewline)
        return Dictionary(
            lines.compactMap { line in
                let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
                return fields.count > 2 ? (String(fields[0]), String(fields[1])) : nil
            }, uniquingKeysWith: { a, _ in a })
    }

    static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return true }
        defer { close(descriptor) }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    // MARK: The server

    private func ask(_ postmaster: Postmaster, _ account: Account, _ facts: inout InstanceFacts) {
        do {
            if Owner.current.isRoot { try account.become() }
            facts.server = try ServerQueries(connection: postmaster.connect()).facts(settings: questions.settings)
        } catch let failure as Failure {
            facts.serverFailure = failure.message
        } catch {
            facts.serverFailure = "\(error)"
        }
    }
}

/// A server's first process, as its postmaster.pid says; that of a crash may name another program's process.
struct Postmaster {
    let pid: Int32
    let port: Int
    let sockets: String

    init?(_ data: FilePath) {
        guard let text = try? SmallFile.readText(data.appending("postmaster.pid")) else { return nil }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.count >= 5, let pid = Int32(lines[0]), let port = Int(lines[3]),
            let home = ProcessIdentity.workingDirectory(of: pid), Self.isSame(home, data)
        else { return nil }
        self.pid = pid
        self.port = port
        sockets = lines[4].isEmpty ? "/tmp" : lines[4]
    }

    private static func isSame(_ a: FilePath, _ b: FilePath) -> Bool {
        var (first, second) = (stat(), stat())
        let areThere = a.withPlatformString { stat($0, &first) } == 0 && b.withPlatformString { stat($0, &second) } == 0
        return areThere && first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }

    /// As the superuser, over the socket, where the system's account is proof enough (peer).
    func connect() throws -> Connection {
        try Connection(
            ConnectionText.make([("host", sockets), ("port", String(port)), ("user", "postgres"), ("dbname", "postgres")]),
            application: "pgark apply")
    }
}

extension StringProtocol {
    var trimmed: String { String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed()) }
}
