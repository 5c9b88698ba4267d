import Glibc
import Hosts
import PostgresModel
import Storage
import SystemPackage

/// A server's place on the host where this process runs: where its files are, and its programs.
struct InstanceSite {
    let layout: InstanceLayout
    let account: Account

    /// The directory itself, never a link to it: it is renamed, and copied.
    var data: FilePath { FilePath(layout.data) }
    func program(_ name: String) -> FilePath { FilePath(layout.programs).appending(name) }
    /// Beside the data directory, on the same file system, where an unfinished one is.
    var unfinished: FilePath { FilePath(layout.data + ".pgark-new") }

    /// Nobody else makes, copies or rewinds a server here meanwhile: what an apply started here outlives it where its connection is
    /// cut. The programs that do it hold the lock too.
    func lock() throws -> LockFile {
        let lock = try LockFile.require(
            FilePath("/run/pgark-apply\(data.string.replacing("/", with: "-")).lock"), purpose: "pgark for \(data)",
            to: "work on \(data)")
        lock.share()
        return lock
    }

    /// There while pg_createcluster makes a cluster for us.
    var debianMark: FilePath? {
        guard layout.kind == .debian, let name = layout.debianName else { return nil }
        return FilePath(layout.configuration).removingLastComponent().appending(".pgark-creates-\(name)")
    }

    /// As postgresql-common calls it: its programs are in /usr/lib/postgresql/MAJOR/bin.
    var major: String { layout.programs.split(separator: "/").dropLast().last.map(String.init) ?? "" }

    /// Run by the server's account; as ourselves where that is who we are.
    func command(_ program: FilePath, _ arguments: [String]) -> Command {
        var command = Command(program, arguments)
        command.environment["LC_ALL"] = "C"
        command.directory = "/"
        return Owner.current.isRoot ? account.running(command) : command
    }

    // MARK: Where it is

    private static let packages = "/usr/lib/postgresql"
    static let accountName = "postgres"

    static func installedMajors() throws -> [Int] {
        try (Directory.names(in: FilePath(packages)) ?? []).compactMap { Int($0) }.filter {
            access("\(packages)/\($0)/bin/postgres", X_OK) == 0
        }.sorted()
    }

    static var hasDebianTools: Bool { access("/usr/bin/pg_createcluster", X_OK) == 0 }

    /// Nil where it cannot be told: no data directory is named, and the system has no usual place.
    static func layout(_ questions: InstanceQuestions, _ account: Account?) throws -> InstanceLayout? {
        let home = account?.home.string ?? "/var/lib/postgresql"
        let clusters = hasDebianTools && questions.programs == nil ? try debianClusters() : []
        let known = clusters.first { cluster in
            if let data = questions.data {
                return FilePath(data).lexicallyNormalized() == FilePath(cluster.data).lexicallyNormalized()
            }
            return cluster.name == "main" && (questions.major == nil ? clusters.count == 1 : cluster.major == questions.major)
        }
        if let known { return known.layout(port: questions.port, home: home) }
        guard let major = try questions.major ?? dataMajor(questions.data) ?? installedMajors().last else { return nil }
        let programs = questions.programs ?? "\(packages)/\(major)/bin"
        if let data = questions.data {
            return InstanceLayout(
                kind: .plain, programs: programs, data: resolved(data), configuration: data, port: questions.port,
                log: data + ".log",
                sockets: sockets(data), passfile: passfile(home, data), debianName: nil)
        }
        guard hasDebianTools || questions.installs, questions.programs == nil else { return nil }
        return DebianCluster(major: major, name: "main", data: "/var/lib/postgresql/\(major)/main").layout(
            port: questions.port, home: home)
    }

    private static func resolved(_ data: String) -> String { Directory.resolved(FilePath(data)).string }

    private static func dataMajor(_ data: String?) throws -> Int? {
        try data.flatMap { try SmallFile.readText(FilePath($0 + "/PG_VERSION")) }.flatMap { Int($0.prefix { $0.isNumber }) }
    }

    /// Beside the data directory, where its account may write, as long as a socket's path has room for it.
    private static func sockets(_ data: String) -> String {
        let beside = FilePath(data).removingLastComponent().string
        return beside.utf8.count <= 80 ? beside : "/tmp"
    }

    fileprivate static func passfile(_ home: String, _ data: String) -> String {
        FilePath(data).removingLastComponent().string + "/.pgark.pgpass"
    }

    private struct DebianCluster {
        let major: Int
        let name: String
        let data: String

        func layout(port: Int, home: String) -> InstanceLayout {
            InstanceLayout(
                kind: .debian, programs: "\(packages)/\(major)/bin", data: resolved(data),
                configuration: "/etc/postgresql/\(major)/\(name)",
                port: port, log: "/var/log/postgresql/postgresql-\(major)-\(name).log", sockets: "/var/run/postgresql",
                passfile: passfile(home, data), debianName: name)
        }
    }

    /// pg_lsclusters: version, name, port, status, owner, data directory, log.
    private static func debianClusters() throws -> [DebianCluster] {
        try Command("/usr/bin/pg_lsclusters", ["--no-header"]).run().output.split(whereSeparator: \.isNewline).compactMap {
            line in
            let words = line.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
            guard words.count >= 6, let major = Int(words[0]) else { return nil }
            return DebianCluster(major: major, name: words[1], data: words[5])
        }
    }
}
