import Glibc
package import Postgres
import PostgresModel
import Storage
import SystemPackage

/// The three hosts as processes on loopback: node1, node2 and the repository with its WAL receiver.
///
/// `up` is a list of steps, each of which does nothing where its result is there already. So a lab that was interrupted
/// is finished, and one of which a part has stopped is started again, by the same command.
package final class LabHosts {
    package let home: LabHome
    package private(set) var state: LabState
    package let programs: PostgresPrograms
    package let node1: PostgresInstance
    package let node2: PostgresInstance
    /// What `lab tour` restores, beside the other two.
    package let restored: PostgresInstance
    private let tell: Narration.Teller

    package static let standbySlot = "node2"
    package static let receiverSlot = "pgark"

    /// The lab as its lab.json describes it.
    package init(home: LabHome, state: LabState, tell: @escaping Narration.Teller = { _ in }) throws {
        self.home = home
        self.state = state
        self.tell = tell
        guard let programs = try PostgresPrograms(in: FilePath(state.postgresDirectory)) else {
            throw Failure(
                .labFailed, "could not use the lab in \(home.directory): its PostgreSQL is gone",
                details: ["programs: \(state.postgresDirectory)"])
        }
        self.programs = programs
        node1 = try PostgresInstance(
            name: "node1", programs: programs,
            places: .init(under: home.directory.appending("node1"), configurationOutside: true), port: state.ports.node1)
        node2 = try PostgresInstance(
            name: "node2", programs: programs,
            places: .init(under: home.directory.appending("node2"), configurationOutside: true), port: state.ports.node2)
        restored = try PostgresInstance(
            name: "restored", programs: programs,
            places: .init(
                data: home.restored, sockets: home.directory.appending("restored-run"),
                log: home.directory.appending("restored.log")), port: state.ports.restored)
    }

    /// A new lab in an empty home: ports are chosen and written down before anything starts.
    package static func create(
        in home: LabHome, for maker: LabState.Maker, programs: PostgresPrograms, basePort: Int,
        tell: @escaping Narration.Teller = { _ in }
    ) throws -> LabHosts {
        try programs.requireReachable()
        let ports = try LoopbackPort.free(3, from: basePort)
        let state = LabState(
            madeBy: maker, programs: programs, ports: .init(node1: ports[0], node2: ports[1], restored: ports[2]))
        try state.write(to: home.stateFile)
        return try LabHosts(home: home, state: state, tell: tell)
    }

    // MARK: Up

    package func up() throws {
        try primary()
        try roles()
        try standby()
        try repository()
        try receiver()
    }

    package func primary() throws {
        if try !node1.exists {
            tell(.remark("node1: initdb, PostgreSQL \(programs.version), data checksums, SCRAM, configuration in node1/etc"))
            try node1.create(password: try LabPasswords.load(home.passfile)["postgres"], configuration())
        }
        try start(node1)
    }

    package func roles() throws {
        try LabRoles(passwords: LabPasswords.load(home.passfile)).apply(to: try connect(to: node1))
    }

    /// node2: its slot first, so that node1 keeps every byte of WAL from before the copy on.
    package func standby() throws {
        if try !node2.exists {
            let upstream = Conninfo(port: node1.port, user: "replicator", database: "postgres", passfile: home.passfile)
            let slot = try SlotName(Self.standbySlot)
            tell(.remark("node2: a copy of node1 over the replication protocol, on its own slot \"\(slot)\""))
            try Connection("\(upstream)", mode: .replication, application: "pgark lab").createReplicationSlot(slot)
            try node2.createStandby(
                of: upstream.setting("application_name", node2.name), slot: slot, configuration(following: upstream))
        }
        try start(node2)
    }

    private func start(_ server: PostgresInstance) throws {
        if server.isRunning { return }
        try server.start()
        tell(.remark("\(server.name): started on port \(server.port)"))
    }

    /// node2 has what node1 has, as its backup is as good; only a standby uses the last two settings.
    private func configuration(following upstream: Conninfo? = nil) -> PostgresConfiguration {
        var settings: [PostgresConfiguration.Setting] = [
            .init("password_encryption", "scram-sha-256"), .init("wal_level", "replica"), .init("hot_standby", "on"),
            .init("hot_standby_feedback", "on"), .init("max_wal_senders", "10"), .init("max_replication_slots", "10"),
            .init("shared_buffers", "64MB"), .init("cluster_name", upstream == nil ? node1.name : node2.name),
            .init("log_line_prefix", "%m [%p] %q%u@%d "), .init("log_timezone", "UTC"), .init("timezone", "UTC"),
        ]
        if programs.version.major >= 17 { settings.append(.init("summarize_wal", "on")) }
        if let upstream {
            settings.append(.init("primary_conninfo", "\(upstream.setting("application_name", node2.name))"))
            settings.append(.init("primary_slot_name", Self.standbySlot))
        }
        return PostgresConfiguration(
            settings: settings,
            accessRules: [
                "local  all          postgres          scram-sha-256",
                "host   all          postgres,pgark    127.0.0.1/32  scram-sha-256",
                "host   replication  replicator,pgark  127.0.0.1/32  scram-sha-256",
            ])
    }

    package func repository() throws {
        try Directory.create(home.repository, permissions: 0o700)
        guard try !Directory.exists(home.clusterFile) else { return }
        func node(_ port: Int) -> String {
            YAML.quoted("\(Conninfo(port: port, user: "pgark", database: "postgres", passfile: home.passfile))")
        }
        let text = """
            # The lab's cluster file, written by `pgark lab`. The passwords are in the passfile.
            cluster: lab
            nodes:
              node1: { connection: \(node(node1.port)) }
              node2: { connection: \(node(node2.port)) }
            repository:
              path: \(YAML.quoted(home.repository.string))
              compression: zstd
              slot: \(Self.receiverSlot)

            """
        try SmallFile.write(text, to: home.clusterFile, permissions: 0o644)
    }

    package func receiver() throws {
        if state.receiver?.isRunning != true {
            let process = try pgark(["wal", "receive"]).start(log: home.receiverLog)
            state.receiver = process
            try state.write(to: home.stateFile)
            tell(.remark("repository: WAL receiver started, process \(process.pid), slot \"\(Self.receiverSlot)\""))
        }
        try waitForReceiver()
    }

    private func waitForReceiver() throws {
        let admin = try connect(to: node1)
        let deadline = Deadline(seconds: 20)
        while try admin.query("SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active", [Self.receiverSlot]).isEmpty {
            guard state.receiver?.isRunning == true, !deadline.isOver else {
                let lines = ((try? SmallFile.readText(home.receiverLog)) ?? "").split(whereSeparator: \.isNewline).suffix(6)
                throw Failure(
                    .labFailed, "could not start the WAL receiver: it does not use the slot \"\(Self.receiverSlot)\"",
                    details: lines.map(String.init) + ["its log: \(home.receiverLog)"])
            }
            try Interruption.check()
            usleep(50_000)
        }
    }

    /// One of pgark's own commands, as the lab's user would type it.
    package func pgark(_ arguments: [String]) -> Command {
        var command = Command(home.program, arguments + ["--config", home.clusterFile.string])
        command.directory = home.directory
        return command
    }

    // MARK: Looking

    /// The superuser's connection: the lab's own, for what an administrator does by hand.
    package func connect(to server: PostgresInstance, database: String = "postgres") throws -> Connection {
        try Connection("\(conninfo(server, database: database))", application: "pgark lab")
    }

    package func conninfo(_ server: PostgresInstance, database: String) -> Conninfo {
        Conninfo(port: server.port, user: "postgres", database: database, passfile: home.passfile)
    }

    // MARK: Down

    /// Stops everything, in the order in which nobody waits for another.
    package func stop() throws {
        if let receiver = state.receiver, receiver.isRunning {
            try receiver.end(patienceSeconds: 10)
            tell(.remark("repository: WAL receiver stopped"))
        }
        for server in [restored, node2, node1] where server.isRunning {
            do {
                try server.stop(.fast, timeoutSeconds: 30)
            } catch let failure as Failure where failure.code == .programFailed {
                try server.stop(.immediate)  // it is thrown away now: what fast waits for is of no use
            }
            tell(.remark("\(server.name): stopped"))
        }
    }

    /// Stops everything and removes the directory. Returns false where the empty directory had to stay, because its
    /// parent belongs to somebody else.
    package func down() throws -> Bool {
        try stop()
        return try home.remove()
    }

    /// Stops everything and empties the directory, for a new lab at the same place.
    package func clear() throws {
        try stop()
        try home.removeContents()
    }
}

enum YAML {
    static func quoted(_ text: String) -> String {
        "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "\""
    }
}
