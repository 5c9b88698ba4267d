import Hosts
import Postgres
import PostgresModel
import SystemPackage

/// The repository's host: whose it is, the program, the cluster file, and who keeps the receiver running.
extension Planner {
    static let repository = Plan.repositoryHost

    /// The host and what was found there, where it can be worked on.
    private var repositoryHost: (HostFacts, RepositoryHostFacts)? {
        guard let host = facts.repository.facts, host.isRoot, let found = host.repository else { return nil }
        return (host, found)
    }

    /// Whose the repository is, and the password of its role.
    mutating func planPasswords() throws {
        guard let (_, found) = repositoryHost else { return }
        let account = file.repositoryAccount
        if !found.hasAccount { add(.makeAccount(account), [change(.create, "account \(account)", to: "the repository's")]) }
        let passfile = RepositoryHost.passfile(file.name).string, passwords = Self.repositoryPasswords(file, secrets)
        if passwords.contains("\u{1}"), try !secrets.isFilled(passwords, found.passfile) {
            add(
                .writeFile(path: passfile, text: passwords, account: account, permissions: 0o600),
                [change(found.passfile == nil ? .create : .change, passfile, to: "the password of \(ClusterRoles.repository)")])
        }
    }

    /// Everything else there. `reconnects`: what the receiver's connection is to be like has changed.
    mutating func planRepository(reconnects: Bool) throws {
        if case .unreachable(let failure) = facts.repository { block(Self.repository, failure) }
        guard let (host, found) = repositoryHost else {
            guard facts.repository.facts?.isRoot == false else { return }
            return block(
                Self.repository, "pgark is not root there and may not become it, which it needs to install itself",
                hint: "Run it as root, or let this work without a question: sudo -n true")
        }
        if file.repository.isRelative {
            return block(
                Self.repository,
                "\"repository.path\" is relative to \(file.path), and in the copy of it there it would be another",
                hint: "Write it whole: repository: { path: \(file.repository.path) }")
        }
        if !host.hasLibPQ, !plan.steps.contains(where: { $0.host == Self.repository && $0.action.installs }) {
            return block(
                Self.repository, "libpq is not there, with which the WAL receiver connects",
                hint: "Install it (apt-get install libpq5), or let pgark do so: postgres: { packages: apt }")
        }
        let account = file.repositoryAccount, path = file.repository.path.string
        if found.directoryOwner != account {
            add(
                .makeRepository(path: path, account: account),
                [change(found.directoryOwner == nil ? .create : .change, path, from: found.directoryOwner, to: "of \(account)")])
        }
        if found.programDigest != found.ownDigest {
            add(
                .installProgram,
                [change(found.programDigest == nil ? .create : .change, "\(RepositoryHost.program)", to: "this program")])
        }
        let configuration = RepositoryHost.configuration(file.name).string
        if found.clusterFile != file.text {
            add(
                .writeFile(path: configuration, text: file.text, account: "root", permissions: 0o644),
                [change(found.clusterFile == nil ? .create : .change, configuration, to: "this cluster file")])
        }
        if !plan.blocked.contains(where: { $0.node == Self.repository }) {
            planServices(
                host, found, isRenewed: reconnects || found.programDigest != found.ownDigest || found.clusterFile != file.text)
        }
        remarkUnknownPasswords()
    }

    private mutating func remarkUnknownPasswords() {
        for node in file.nodes where node.placement == nil && secrets[Secrets.connection(of: node.name)] == nil {
            plan.remarks.append(
                "\(node.name): no password for its connection is known (neither in \(file.ownPassfile) nor in ~/.pgpass); "
                    + "the receiver connects without one")
        }
    }

    /// What was started must be seen to stream: only then is every commit on its way.
    mutating func awaitReceiver(_ primary: NodeState) {
        guard plan.steps.contains(where: { $0.changes.contains { $0.object == Self.receiver } }),
            !plan.blocked.contains(where: { $0.node == primary.name })
        else { return }
        add(
            primary.name, .awaitStandby(primary.layout, node: Self.repository, slot: file.repository.slot.description), [],
            needs: [Self.repository])
    }

    /// The repository takes nothing of another system than it has (promise: nothing is mixed).
    mutating func blockOtherSystem(_ primary: NodeState) {
        guard let known = repositoryHost?.1.system, let system = primary.system, known != system else { return }
        block(
            Self.repository,
            "\(file.repository.path) has backups and WAL of system \(known), and \(primary.name) is system \(system): nothing of it is stored",
            hint:
                "The cluster as it was: pgark restore --node \(primary.name). After pg_upgrade: pgark upgrade. For another cluster "
                + "give it another name, or another repository.")
    }

    static let receiver = "WAL receiver"

    private func change(_ kind: Plan.Change.Kind, _ object: String, from: String? = nil, to: String?) -> Plan.Change {
        .init(action: kind, node: Self.repository, object: object, from: from, to: to)
    }

    private mutating func add(_ action: HostAction, _ changes: [Plan.Change]) {
        add(Self.repository, action, changes, needs: [Self.repository])
    }

    // MARK: Texts

    static func repositoryPasswords(_ file: ClusterFile, _ secrets: Secrets = Secrets()) -> String {
        let managed = file.nodes.compactMap(\.placement).map { place in
            Passfile.line(place.host, "\(place.port)", ClusterRoles.repository, Secrets.password(of: ClusterRoles.repository))
        }
        let protected = file.nodes.filter { $0.placement == nil }.flatMap { node in
            let key = Secrets.connection(of: node.name), connection = ConnectionText(node.connection)
            return secrets[key] == nil
                ? []
                : connection.places.map { Passfile.line($0.host, $0.port, connection.user ?? "*", Secrets.password(of: key)) }
        }
        return "# Written by `pgark apply`.\n" + (managed + protected).map { $0 + "\n" }.joined()
    }
}

extension ClusterFile {
    /// Whose the repository is on its host.
    package var repositoryAccount: String { repository.account ?? "pgark" }
}
