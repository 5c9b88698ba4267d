import Glibc
package import Hosts
import Lab
import Postgres
import PostgresModel
package import Storage
package import SystemPackage

/// One test's world: a directory of its own, servers of one major version in it, and a repository for them.
///
/// Everything that it started ends and everything that it wrote goes with it, unless PGARK_TEST_KEEP is set.
package final class TestSite: Sendable {
    package let directory: FilePath
    package let programs: PostgresPrograms
    /// The account of the servers and of pgark; nil where both run as ourselves.
    package let account: Account?
    package let passwords = TestPasswords()

    private struct Started {
        var servers: [TestServer] = []
        var processes: [BackgroundProcess] = []
    }
    private let started = Monitor(Started())

    /// The caller calls `close`, or uses `with`.
    package init(_ major: Int) throws {
        programs = try TestMachine.postgres(major)
        account = try Account.forServers()
        directory = try Self.scratchDirectory()
        try Directory.setOwner(of: directory, owner)
        try SmallFile.write(passwords.passfile, to: passfile, permissions: 0o600, owner: owner)
    }

    package static func with<Value>(_ major: Int, _ body: (TestSite) throws -> Value) throws -> Value {
        let site = try TestSite(major)
        defer { site.close() }
        return try body(site)
    }

    private static func scratchDirectory() throws -> FilePath {
        var name = Array(TestMachine.temporaryRoot.appending("pgark-test-XXXXXX").string.utf8CString)
        guard mkdtemp(&name) != nil else { throw Failure.system("create a directory in", TestMachine.temporaryRoot) }
        return FilePath(platformString: name)
    }

    package func close() {
        let started = started.change { started in
            defer { started = Started() }
            return started
        }
        for process in started.processes { process.kill() }
        for server in started.servers { try? server.stop(.immediate) }
        if TestMachine.keepsDirectories { return print("kept: \(directory)") }
        try? Directory.removeTree(directory)
    }

    package var owner: Owner { account?.owner ?? .current }
    package var major: Int { programs.version.major }
    var passfile: FilePath { directory.appending("passfile") }

    // MARK: Servers

    /// A new running primary with data checksums, a superuser "postgres" and the role "pgark", both with passwords.
    package func primary(
        _ name: String = "node1", settings: [String: String] = [:], initdb options: [String] = [],
        configurationOutside: Bool = false
    ) throws -> TestServer {
        let server = try place(name, configurationOutside: configurationOutside)
        try server.initialize(options: options, settings: settings)
        try server.start()
        try server.createRoles()
        return server
    }

    /// A new tablespace in a directory of its own.
    @discardableResult
    package func tablespace(_ name: String, on server: TestServer) throws -> FilePath {
        let place = directory.appending(name)
        try Directory.create(place, owner: owner)
        try server.sql("CREATE TABLESPACE \(name) LOCATION '\(place)'")
        return place
    }

    /// A running hot standby on its own slot.
    package func standby(_ name: String = "node2", of primary: TestServer, settings: [String: String] = [:]) throws -> TestServer
    {
        let server = try place(name)
        try primary.sql("SELECT pg_create_physical_replication_slot('\(name)')")
        try server.copy(primary, slot: name, settings: settings)
        try server.start()
        try eventually("\(name) streams from \(primary.name)") {
            try primary.value("SELECT count(*) FROM pg_stat_replication WHERE application_name = '\(name)'") == "1"
        }
        return server
    }

    /// What a restore left in `directory`, not started yet.
    package func restored(in directory: FilePath, major: Int? = nil) throws -> TestServer {
        try keep(
            TestServer(
                name: directory.lastComponent?.string ?? "restored", site: self,
                places: .init(data: directory, sockets: self.directory.appending("run"), log: FilePath("\(directory).log")),
                programs: try major.map { try TestMachine.postgres($0) }))
    }

    /// A server that is not made yet: nothing but a place and a port.
    package func place(
        _ name: String, configurationOutside: Bool = false, programs: PostgresPrograms? = nil
    ) throws -> TestServer {
        try keep(
            TestServer(
                name: name, site: self,
                places: .init(under: directory.appending(name), configurationOutside: configurationOutside),
                programs: programs))
    }

    /// A running server of another major version with what a stopped one has, by pg_upgrade.
    package func upgraded(_ name: String, from old: TestServer, to major: Int, initdb options: [String] = []) throws -> TestServer
    {
        let programs = try TestMachine.postgres(major)
        let server = try place(name, programs: programs)
        try server.initialize(options: options, settings: [:])
        for data in [old.data, server.data] {
            let rules = try SmallFile.readText(data.appending("pg_hba.conf")) ?? ""
            try SmallFile.write("local all all trust\n" + rules, to: data.appending("pg_hba.conf"), owner: owner)
        }
        try Directory.create(server.instance.places.sockets, owner: owner)
        try command(
            programs.path(of: "pg_upgrade"),
            [
                "--old-bindir=\(old.instance.programs.directory)", "--new-bindir=\(programs.directory)",
                "--old-datadir=\(old.data)", "--new-datadir=\(server.data)", "--username=postgres",
                "--socketdir=\(server.instance.places.sockets)", "--old-port=\(old.port)", "--new-port=\(server.port)",
            ]
        ).run()
        try server.start()
        return server
    }

    private func keep(_ server: TestServer) -> TestServer {
        started.change { $0.servers.append(server) }
        return server
    }

    // MARK: Programs

    /// pgark with a cluster file that names `nodes` and a repository in this site.
    package func pgark(
        _ nodes: TestServer..., cluster: String = "test", repository: String = "repository", slot: String = "pgark"
    ) throws -> Pgark {
        let file = directory.appending("\(cluster).yaml")
        let lines = nodes.map { "  \($0.name):\n    connection: \"\($0.conninfo(user: "pgark"))\"\n" }
        try SmallFile.write(
            "cluster: \(cluster)\nnodes:\n\(lines.joined())repository:\n  path: \(repository)\n  slot: \(slot)\n", to: file,
            owner: owner)
        return Pgark(site: self, configuration: file, repository: directory.appending(repository).appending(cluster))
    }

    /// A command that runs as the servers do.
    package func command(_ program: FilePath, _ arguments: [String]) -> Command {
        var command = Command(program, arguments)
        command.environment["LC_ALL"] = "C"
        command.directory = directory
        return account?.running(command) ?? command
    }

    /// Runs `command` in the background until it ends by itself, by a signal or with the site. Its log begins empty.
    package func start(_ command: Command, log: String) throws -> BackgroundProcess {
        let path = directory.appending(log)
        try? Directory.remove(path)
        let process = BackgroundProcess(pid: try command.launch(log: path), log: path, command: command.typed)
        started.change { $0.processes.append(process) }
        return process
    }
}

/// Random passwords, so that a test can look for them where they must not be.
package struct TestPasswords: Sendable {
    package let postgres = Self.random()
    package let pgark = Self.random()

    var passfile: String { "127.0.0.1:*:*:postgres:\(postgres)\n127.0.0.1:*:*:pgark:\(pgark)\n" }

    private static func random() -> String { "secret" + String(UInt64.random(in: UInt64(1) << 60 ... .max), radix: 36) }
}
