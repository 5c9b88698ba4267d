import Glibc
import Hosts
import Postgres
import PostgresModel
import Repository
import Storage
import SystemPackage

/// Does one step on the host where this process runs.
struct HostActor {
    /// Returns a remark for the journal, where there is something to say.
    func perform(_ action: HostAction) throws -> String? {
        switch action {
        case .installPackages(let names): try PackageInstaller.install(names)
        case .createServer(let layout, let node, let files): try creator(layout).create(node, files)
        case .setAside(let layout): return try creator(layout).setAside()
        case .copyStandby(let layout, let upstream, let slot, let files): try creator(layout).copy(upstream, slot: slot, files)
        case .adoptStandby(let layout, let files): try creator(layout).adopt(files)
        case .adoptRestored(let layout, let files, _, let settings): try creator(layout).adopt(files, recovery: settings)
        case .rewind(let layout, let source, let files, let inPlace):
            return try InstanceRewinder(site: site(layout)).rewind(from: source, files, inPlace: inPlace)
        case .awaitPrimary(let layout): try awaitPrimary(site(layout))
        case .writeFiles(let layout, let files): try InstanceWriter(site: site(layout)).write(files)
        case .resetSettings(let layout, let names): try InstanceWriter(site: site(layout)).reset(names)
        case .start(let layout): try control(layout).start()
        case .reload(let layout): try reload(site(layout))
        case .restart(let layout, let lowered): try control(layout).restart(lowered: lowered)
        case .sql(let layout, let statements): try run(statements, on: site(layout))
        case .awaitStandby(let layout, let node, let slot): try awaitStandby(node, slot, on: site(layout))
        case .certify(_, let node, _, _):
            throw Failure(.internalError, "could not certify \(node): that takes two hosts")
        case .awaitTLS(let layout, let questions): try awaitTLS(TLSObserver(site: site(layout), questions: questions))
        case .makeAuthority(let cluster): try CertificateAuthority(cluster: cluster).make()
        case .trust(let text, let cluster): try TrustedAuthorities.write(text, cluster: cluster)
        case .makeAccount(let name): try RepositoryHost.makeAccount(name)
        case .makeRepository(let path, let account): try RepositoryHost.makeDirectory(path, account)
        case .installProgram: try RepositoryHost.installProgram()
        case .writeFile(let path, let text, let account, let permissions):
            try RepositoryHost.write(text, to: path, account, permissions)
        case .enableUnits(let names): try RepositoryServices.enable(names)
        case .removeUnits(let names): try RepositoryServices.remove(units: names)
        case .removeFile(let path): try RepositoryServices.remove(FilePath(path))
        case .startReceiver(let start): try RepositoryServices.start(start)
        case .stopReceiver(let repository, let cluster):
            try RepositoryServices.stopReceiver(of: Repository(root: FilePath(repository), cluster: cluster))
        }
        return nil
    }

    func site(_ layout: InstanceLayout) throws -> InstanceSite {
        guard let account = Account(named: InstanceSite.accountName) else {
            throw Failure(
                .unsupported, "could not find the account \"\(InstanceSite.accountName)\", which is to run the server",
                hint: "Install PostgreSQL from packages, or create it: useradd --system --create-home postgres")
        }
        return InstanceSite(layout: layout, account: account)
    }

    func creator(_ layout: InstanceLayout) throws -> InstanceCreator { InstanceCreator(site: try site(layout)) }
    private func control(_ layout: InstanceLayout) throws -> InstanceControl { InstanceControl(site: try site(layout)) }

    /// A server whose files have an error goes on with what it had, says so in its log only, and does not start again.
    private func reload(_ site: InstanceSite) throws {
        let connection = try connect(site)
        let errors = try ServerQueries(connection: connection).fileErrors()
        guard errors.isEmpty else {
            throw Failure(
                .serverError, "could not reload the server in \(site.data): it would not start with what its files say",
                details: errors, hint: "Correct it, in the cluster file where it comes from there; then: pgark apply")
        }
        _ = try connection.query("SELECT pg_reload_conf()")
    }

    // MARK: SQL

    private func run(_ statements: [String], on site: InstanceSite) throws { try connect(site).runUnlogged(statements) }

    private func connect(_ site: InstanceSite) throws -> Connection {
        guard let postmaster = Postmaster(site.data) else {
            throw Failure(.serverUnreachable, "could not ask the server in \(site.data): it does not run")
        }
        if Owner.current.isRoot { try site.account.become() }
        return try postmaster.connect()
    }

    /// A recovery may take hours; it is over when it ends, or when the server does.
    private func awaitPrimary(_ site: InstanceSite) throws {
        let connection = try connect(site)
        while try connection.query("SELECT pg_is_in_recovery()").first?[0] == "t" {
            try Interruption.check()
            pause(milliseconds: 200)
        }
    }

    /// A server that cannot use what its files name keeps what it had, and says so in its log only (PostgreSQL:
    /// src/backend/postmaster/postmaster.c, process_pm_reload_request).
    private func awaitTLS(_ observer: TLSObserver) throws {
        let deadline = Deadline(seconds: 20)
        while try observer.facts(isInstalled: true, isRunning: true).isServed != true {
            try deadline.check(
                "could not see the server use its certificate: not within \(deadline.seconds) s; its log, "
                    + "\(observer.site.layout.log), says why")
            pause(milliseconds: 200)
        }
    }

    private func awaitStandby(_ node: String, _ slot: String, on site: InstanceSite) throws {
        let connection = try connect(site)
        let deadline = Deadline(seconds: 300)
        let query = """
            SELECT FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid
            WHERE s.slot_name = $1 AND r.state = 'streaming'
            """
        while try connection.query(query, [slot]).isEmpty {
            try deadline.check(
                "could not see \(node) stream from here through the slot \"\(slot)\": not within \(deadline.seconds) s")
            pause(milliseconds: 100)
        }
    }
}
