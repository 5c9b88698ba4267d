import Glibc
import Hosts
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// Making and starting the lab: a list of steps, each of which does nothing where its result is there already. So a lab
/// that was interrupted is finished, and one of which a part has stopped is started again, by the same command.
extension LabHosts {
    package func up() throws {
        try primary()
        try roles()
        try standby()
        try repository()
        try receiver()
    }

    package func primary() throws {
        if try !node1.exists {
            did("node1: initdb, PostgreSQL \(programs.version), data checksums, SCRAM, configuration in node1/etc")
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
            did("node2: a copy of node1 over the replication protocol, on its own slot \"\(slot)\"")
            try Connection("\(upstream)", mode: .replication, application: "pgark lab").createReplicationSlot(slot)
            try node2.createStandby(
                of: upstream.setting("application_name", node2.name), slot: slot, configuration(following: upstream))
        }
        try start(node2)
    }

    private func start(_ server: PostgresInstance) throws {
        if server.isRunning { return }
        try server.start()
        did("\(server.name): started on port \(server.port)")
    }

    /// node2 has what node1 has, as its backup is as good; only a standby uses the last two settings.
    private func configuration(following upstream: Conninfo? = nil) -> PostgresConfiguration {
        var settings: [PostgresConfiguration.Setting] = [
            .init("password_encryption", "scram-sha-256"), .init("wal_level", "replica"), .init("hot_standby", "on"),
            .init("hot_standby_feedback", "on"), .init("max_wal_senders", "10"), .init("max_replication_slots", "10"),
            .init("max_slot_wal_keep_size", "1GB"), .init("shared_buffers", "64MB"),
            .init("cluster_name", upstream == nil ? node1.name : node2.name),
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
        if runningReceiver == nil {
            let process = try receiverCommand.start(log: home.receiverLog)
            state.receiver = process
            try state.write(to: home.stateFile)
            did("repository: WAL receiver started, process \(process.pid), slot \"\(Self.receiverSlot)\"")
        }
        try waitForReceiver()
    }

    private func waitForReceiver() throws {
        let admin = try connect(to: node1)
        let deadline = Deadline(seconds: 20)
        while try admin.query("SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active", [Self.receiverSlot]).isEmpty {
            guard runningReceiver != nil, !deadline.isOver else {
                let lines = ((try? SmallFile.readText(home.receiverLog)) ?? "").split(whereSeparator: \.isNewline).suffix(6)
                throw Failure(
                    .labFailed, "could not start the WAL receiver: it does not use the slot \"\(Self.receiverSlot)\"",
                    details: lines.map(String.init) + ["its log: \(home.receiverLog)"])
            }
            try Interruption.check()
            usleep(50_000)
        }
    }

    private var receiverCommand: Command { Command(home.program, ["wal", "receive", "--config", home.clusterFile.string]) }

    /// The receiver of lab.json; else one that an interrupted `lab up` started and had no time to write down.
    var runningReceiver: ProcessIdentity? {
        if let known = state.receiver, known.isRunning { return known }
        return ProcessIdentity.find(receiverCommand)
    }
}

enum YAML {
    static func quoted(_ text: String) -> String {
        "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "\""
    }
}
