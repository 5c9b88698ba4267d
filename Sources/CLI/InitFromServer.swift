import Cluster
import Hosts
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// `pgark init --from`: asks a running server about its cluster, makes pgark's role where that is wanted, and tries to log in as it.
struct InitFromServer {
    let choices: InitChoices
    let path: FilePath
    let address: String?
    let createsRole: Bool
    let newPassword: Bool
    let mayAsk: Bool
    let output: Output
    private let login: ServerLogin
    private let connection: Connection

    struct Outcome {
        var draft: ClusterDraft
        var passfile: FilePath?
        /// What became of pgark's role.
        var role: String?
        /// What is left to be done before pgark can work; the file is written all the same.
        var pending: Failure?
    }

    init(
        choices: InitChoices, path: FilePath, address: String?, createsRole: Bool, newPassword: Bool, mayAsk: Bool, output: Output
    ) throws {
        self.choices = choices
        self.path = path
        self.address = address
        self.createsRole = createsRole
        self.newPassword = newPassword
        self.mayAsk = mayAsk
        self.output = output
        login = ServerLogin(choices.from!)
        connection = try login.connect()
    }

    func run() throws -> Outcome {
        let survey = try SurveyQueries(connection).survey()
        var draft = ClusterDraft(
            cluster: choices.cluster!, repositoryPath: choices.repositoryPath!, repositoryHost: choices.repositoryHost)
        if choices.manages {
            try manage(survey, &draft)
            return Outcome(draft: draft)
        }
        return try protect(survey, draft)
    }

    private func usable(_ survey: ServerSurvey, _ place: String) throws {
        guard let obstacle = survey.obstacle else { return }
        throw Failure(.unsupported, "could not use the server at \(place): \(obstacle)")
    }

    // MARK: Taken over

    private func manage(_ survey: ServerSurvey, _ draft: inout ClusterDraft) throws {
        let ssh = try SSH()
        let discovery = ClusterDiscovery { address, _ in
            let way: Host.Way = Host.isHere(address) ? .here : .ssh(address)
            return try HostSession.open(Host(name: address, way: way), ssh).call(HostRequest.survey, as: [ServerSurvey].self)
        }
        let start = try managedAddress()
        let above = ClusterDiscovery { address, port in try discovery.ask(address, port).filter { $0.port == port } }
        let primary = try above.primary(above: survey, at: start)
        let found = try discovery.ask(primary.address, primary.port).first {
            $0.systemIdentifier == survey.systemIdentifier && $0.port == primary.port
        }
        guard let found else {
            throw Failure(
                .nodeMissing, "could not take over the cluster: no server of it runs on \(primary.address), port \(primary.port)",
                hint: "Name how ssh reaches the primary's host: --address ADDRESS")
        }
        try usable(found, "\(primary.address):\(primary.port)")
        try draft.manage(discovery.servers(of: found, at: primary.address, port: primary.port))
    }

    private func managedAddress() throws -> String {
        if let address { return address }
        if !ClusterDiscovery.isLocal(connection.host) { return connection.host }
        let question = "How do the other hosts reach this server"
        if mayAsk { return try output.ask(question, standard: nil) }
        throw Failure(
            .usage, "could not take over the server: --from goes over a socket of this host, which leads others nowhere",
            hint: "Say how they reach it: --address ADDRESS")
    }

    // MARK: Protected

    private func protect(_ survey: ServerSurvey, _ draft: ClusterDraft) throws -> Outcome {
        let start = try protectedAddress(survey)
        let primary: (survey: ServerSurvey, address: String, port: Int)
        if survey.isInRecovery {
            primary = try ClusterDiscovery { try self.login.survey(at: $0, $1) }.primary(above: survey, at: start)
            output.note("\(start) is a standby; the primary is \(primary.address):\(primary.port)")
        } else {
            primary = (survey, start, connection.port)
        }
        try usable(primary.survey, "\(primary.address):\(primary.port)")
        var outcome = Outcome(draft: draft)
        let superuser = survey.isInRecovery ? try login.connect(at: primary.address, primary.port) : connection
        let role = InitRole(
            passfile: path.removingLastComponent().appending("\(draft.cluster).pgpass"), survey: primary.survey,
            superuser: superuser,
            creates: createsRole, renews: newPassword, mayAsk: mayAsk, output: output)
        outcome.role = try role.make(for: [(primary.address, primary.port)])
        let discovery = ClusterDiscovery { address, port in
            do { return try self.login.survey(at: address, port) } catch let failure as Failure
                where failure.code == .authenticationFailed
            {
                let own = try Connection(role.conninfo(address, port, self.login.security), application: "pgark init")
                return [try SurveyQueries(own).survey()]
            }
        }
        let servers = discovery.servers(of: primary.survey, at: primary.address, port: primary.port)
        try role.write(for: servers.filter(\.isThere).map { ($0.address, $0.port) })
        outcome.draft.protect(servers, base: login.security)
        outcome.passfile = try Directory.exists(role.passfile) ? role.passfile : nil
        outcome.pending = try trial(servers, role)
        return outcome
    }

    /// How pgark will connect: over a socket only where there is no other way, for it needs a line in pg_hba.conf that most lack.
    private func protectedAddress(_ survey: ServerSurvey) throws -> String {
        if let address { return address }
        let host = connection.host
        if choices.repositoryHost != nil, ClusterDiscovery.isLocal(host) {
            throw Failure(
                .usage, "could not use --from for another host: \(host) leads nowhere from there",
                hint: "Say how the repository's host reaches the server: --address ADDRESS")
        }
        let hasNetwork = ListenAddresses(survey.settings["listen_addresses"] ?? "").includeLoopback
        return host.hasPrefix("/") && hasNetwork ? "localhost" : host
    }

    /// Returns what is left to be done. From another host nobody can say here whether it works.
    private func trial(_ servers: [ClusterDiscovery.Server], _ role: InitRole) throws -> Failure? {
        guard choices.repositoryHost == nil else { return nil }
        for server in servers where server.isThere {
            while let refusal = role.refusal(server.address, server.port, login.security) {
                if let failure = role.wrongPassword(refusal) { throw failure }
                let failure = AccessRefusal(refusal, server: server, client: servers[0].survey?.clientAddress).failure
                guard mayAsk, refusal.code == .authenticationFailed else { return failure }
                output.failure(failure)
                if try output.ask("Try again, or go on without", standard: "again").hasPrefix("w") { return failure }
            }
        }
        return nil
    }
}

/// A server that does not let pgark's role in, and what would make it.
struct AccessRefusal {
    let refusal: Failure
    let server: ClusterDiscovery.Server
    /// As the primary sees us.
    let client: String?

    init(_ refusal: Failure, server: ClusterDiscovery.Server, client: String?) {
        self.refusal = refusal
        self.server = server
        self.client = client
    }

    var failure: Failure {
        guard refusal.code == .authenticationFailed else { return refusal }
        let isSocket = server.address.hasPrefix("/")
        let seen = isSocket ? nil : AccessLine.address(in: refusal.message) ?? client ?? "127.0.0.1"
        let file = server.survey?.settings["hba_file"] ?? "pg_hba.conf"
        return Failure(
            refusal.code, refusal.message,
            details: refusal.details + ["this line is missing at the head of \(file) there: \(AccessLine.text(from: seen))"],
            hint: "Add it; then, there, as a superuser: SELECT pg_reload_conf(); and here: pgark check")
    }
}
