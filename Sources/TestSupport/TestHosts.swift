import Glibc
package import Hosts
import Postgres
import PostgresModel
import Storage
package import SystemPackage

/// Several machines on this one: each a network, mount, process and name space of its own, with an address, private copies of
/// what makes a host (/etc, /run, the directories of PostgreSQL and of pgark), and a real sshd. One more, "control", is where
/// the administrator sits. When the process that holds a space is killed, everything in it is gone.
package final class TestHosts: Sendable {
    package let directory: FilePath
    package let hosts: [String: TestHost]
    package let control: TestHost
    package let programs: PostgresPrograms

    /// `names` get the addresses 192.168.20.228 and following; nobody else is on that network. `bare`: without PostgreSQL, and with
    /// a source of its packages that needs no network.
    package static func with<Value>(
        _ names: [String], major: Int, bare: [String] = [], _ body: (TestHosts) throws -> Value
    ) throws -> Value {
        let hosts = try TestHosts(names, major: major)
        defer { hosts.close() }
        if !bare.isEmpty {
            let packages = try TestPackages(in: hosts.directory.appending("packages"), major: major)
            for name in bare { try packages.replaceInstalled(on: hosts[name]) }
        }
        return try body(hosts)
    }

    private init(_ names: [String], major: Int) throws {
        guard Owner.current.isRoot else { throw TestFailure("hosts need root: run the tests as root") }
        programs = try TestMachine.postgres(major)
        var name = Array(TestMachine.temporaryRoot.appending("pgark-test-XXXXXX").string.utf8CString)
        guard mkdtemp(&name) != nil else { throw Failure.system("create a directory in", TestMachine.temporaryRoot) }
        directory = FilePath(platformString: name)
        try Directory.setPermissions(of: directory, 0o755)
        for mount in TestHost.privatePlaces { try Directory.create(FilePath(mount), permissions: 0o755) }
        let key = directory.appending("key")
        try Command("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key.string]).run()
        control = try TestHost("control", in: directory, key: key, address: "192.168.20.1", hasShell: false)
        try control.run("ip link add br0 type bridge && ip addr add 192.168.20.1/24 dev br0 && ip link set br0 up")
        var hosts: [String: TestHost] = [:]
        for (number, name) in names.enumerated() {
            let host = try TestHost(name, in: directory, key: key, address: "192.168.20.\(228 + number)", hasShell: true)
            hosts[name] = host
            try control.runOutside(
                """
                ip link add v\(number) type veth peer name eth0 netns \(host.process)
                ip link set v\(number) master br0 up
                """)
            try host.run("ip addr add \(host.address)/24 dev eth0 && ip link set eth0 up")
        }
        self.hosts = hosts
    }

    package subscript(name: String) -> TestHost { hosts[name]! }

    private func close() {
        for host in Array(hosts.values) + [control] { host.end() }
        if TestMachine.keepsDirectories { return print("kept: \(directory)") }
        try? Directory.removeTree(directory)
    }

    // MARK: pgark, on the control host

    package var configuration: FilePath { directory.appending("pgark.yaml") }

    package func write(_ text: String) throws { try SmallFile.write(text, to: configuration, permissions: 0o644) }

    package func command(_ arguments: [String], on host: TestHost? = nil) throws -> Command {
        var command = (host ?? control).command([try TestMachine.pgark().string] + arguments)
        if host == nil { command.environment["PGARK_CONFIG"] = configuration.string }
        return command
    }

    package func pgark(_ arguments: String..., on host: TestHost? = nil) throws -> Pgark.Outcome {
        let outcome = try command(arguments, on: host).outcome()
        return Pgark.Outcome(status: outcome.status, output: outcome.output, errors: outcome.errors, seconds: outcome.seconds)
    }

    /// In the background.
    package func start(_ arguments: [String], log: String) throws -> BackgroundProcess {
        let command = try command(arguments), path = directory.appending(log)
        try? Directory.remove(path)
        return BackgroundProcess(pid: try command.launch(log: path), log: path, command: command.typed)
    }

    /// With --json; it must end with this status.
    @discardableResult
    package func json(_ status: Int32 = 0, _ arguments: String...) throws -> JSON {
        let outcome = try command(arguments + ["--json"]).outcome()
        guard outcome.status == .exited(status) else {
            throw TestFailure("pgark \(arguments.joined(separator: " ")): \(outcome.status)\n\(outcome.output)\(outcome.errors)")
        }
        return try JSON(parsing: outcome.output)
    }
}

/// One of the machines.
package final class TestHost: Sendable {
    package let name: String
    package let address: String
    /// The first process of its space, as we see it.
    package let process: Int32
    private let holder: Int32
    /// Beside the others', what is its own and nobody sees there.
    var directory: FilePath { root }
    private let root: FilePath

    /// What a host has for itself beside /etc and /run.
    static let privatePlaces = [
        "/var/lib/postgresql", "/var/log/postgresql", "/var/log/pgark", "/usr/local/bin", "/var/lib/pgark",
        "/var/lib/pgark-apply",
        "/etc/postgresql",
    ]

    init(_ name: String, in directory: FilePath, key: FilePath, address: String, hasShell: Bool) throws {
        self.name = name
        self.address = address
        root = directory.appending(name)
        let home = root.appending("root")
        try Directory.create(home.appending(".ssh"), permissions: 0o700)
        try Directory.setPermissions(of: root, 0o755)
        let secret = try SmallFile.readText(key) ?? "", known = try SmallFile.readText(FilePath("\(key).pub")) ?? ""
        try SmallFile.write(secret, to: home.appending(".ssh/id_ed25519"))
        try SmallFile.write(known, to: home.appending(".ssh/authorized_keys"))
        try SmallFile.write("StrictHostKeyChecking accept-new\n", to: home.appending(".ssh/config"))
        try SmallFile.write(Self.sshd(root), to: root.appending("sshd_config"))
        try Command("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", "\(root)/host_key"]).run()
        let log = root.appending("log"), script = Self.script(name, root, home, hasShell)
        holder = try Command(
            "/usr/bin/unshare", ["--net", "--mount", "--pid", "--fork", "--uts", "--kill-child", "/bin/sh", "-ec", script]
        ).launch(log: log)
        let ready = root.appending("ready"), holder = holder
        process = try eventually("the host \(name) begins") { () -> Int32? in
            guard try Directory.exists(ready) else { return nil }
            let children = try Command("/usr/bin/pgrep", ["--parent", "\(holder)"]).outcome().output
            return children.split(whereSeparator: \.isNewline).first.flatMap { Int32($0) }
        }
    }

    private static func sshd(_ root: FilePath) -> String {
        """
        HostKey \(root)/host_key
        PidFile none
        PermitRootLogin yes
        StrictModes no
        UsePAM no

        """
    }

    private static func script(_ name: String, _ root: FilePath, _ home: FilePath, _ hasShell: Bool) -> String {
        """
        mount --make-rprivate /
        mount -t proc proc /proc
        mount -t tmpfs tmpfs /run
        mkdir -p /run/sshd /run/postgresql
        chown postgres /run/postgresql
        cp -a /etc \(root)/etc
        mount --bind \(root)/etc /etc
        sed -i 's#^root:\\(.*\\):/root:#root:\\1:\(home):#' /etc/passwd
        sed -i 's/^root:[^:]*:/root:*:/' /etc/shadow
        for place in \(privatePlaces.joined(separator: " ")); do
            mkdir -p "\(root)/private$place"
            case $place in *postgresql) chown postgres "\(root)/private$place";; esac
            mount --bind "\(root)/private$place" "$place"
        done
        hostname \(name)
        ip link set lo up
        \(hasShell ? "/usr/sbin/sshd -f \(root)/sshd_config" : "")
        touch \(root)/ready
        exec sleep 100000
        """
    }

    func end() {
        kill(holder, SIGKILL)
        var status: Int32 = 0
        waitpid(holder, &status, 0)
    }

    // MARK: Commands there

    /// Runs there as root, as somebody who has logged in.
    package func command(_ words: [String]) -> Command {
        var command = Command("/usr/bin/nsenter", ["--target", "\(process)", "--all", "--"] + words)
        command.environment["HOME"] = root.appending("root").string
        command.environment["LC_ALL"] = "C"
        return command
    }

    @discardableResult
    package func run(_ script: String) throws -> String { try command(["/bin/sh", "-ec", script]).run().output }

    /// On its network, with our own files and processes.
    func runOutside(_ script: String) throws {
        try Command("/usr/bin/nsenter", ["--target", "\(process)", "--net", "--", "/bin/sh", "-ec", script]).run()
    }

    /// A statement's single value, asked over the socket as the system's account.
    package func sql(_ statement: String, _ programs: PostgresPrograms, sockets: String) throws -> String {
        let words = [
            "/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", programs.path(of: "psql").string,
            "-XAtq",
            "-v", "ON_ERROR_STOP=1", "-h", sockets, "-U", "postgres", "-d", "postgres", "-c", statement,
        ]
        return String(try command(words).run().output.drop { $0.isNewline }.reversed().drop { $0.isNewline }.reversed())
    }
}
