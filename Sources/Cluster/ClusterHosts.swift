import FoundationEssentials
import Hosts
package import PostgresModel
import Storage
import SystemPackage

/// The hosts of a cluster, each with pgark on it for as long as this lives.
package final class ClusterHosts: Sendable {
    private let file: ClusterFile
    private let sessions: [String: Swift.Result<HostSession, Failure>]

    /// Connects to all at once; one that cannot be reached hides no other.
    package init(_ file: ClusterFile) throws {
        self.file = file
        let ssh = try SSH()
        var hosts: [Host] = file.nodes.compactMap { node in
            node.placement.map { Host(name: node.name, way: Self.way($0.host, $0.ssh)) }
        }
        hosts.append(
            Host(name: Planner.repository, way: file.repository.host.map { Self.way($0, file.repository.ssh ?? $0) } ?? .here))
        let workers = hosts.map { host in
            WorkerThread("connect \(host.name)") { () -> Swift.Result<HostSession, Failure> in
                do { return .success(try HostSession.open(host, ssh)) } catch let failure as Failure {
                    return .failure(failure)
                } catch { return .failure(Failure(.internalError, "\(error)")) }
            }
        }
        sessions = Dictionary(uniqueKeysWithValues: try zip(hosts, workers).map { ($0.name, try $1.join()) })
    }

    private static func way(_ host: String, _ ssh: String) -> Host.Way { Host.isHere(host) ? .here : .ssh(ssh) }

    // MARK: Observation

    package func observe() throws -> ClusterFacts {
        let names = file.nodes.filter { $0.placement != nil }.map(\.name) + [Planner.repository]
        let workers = names.map { name in WorkerThread("observe \(name)") { self.facts(name) } }
        var found = Dictionary(uniqueKeysWithValues: try zip(names, workers).map { ($0, try $1.join()) })
        let repository = found.removeValue(forKey: Planner.repository)!
        let now = Timestamp.now.seconds
        let ahead = found.merging([Planner.repository: repository]) { a, _ in a }.compactMapValues {
            $0.facts.map { $0.clock - now }
        }
        let own = try SmallFile.readText(file.ownPassfile)
        return ClusterFacts(
            nodes: found, repository: repository, repositoryAddresses: addresses, clocksAhead: ahead, ownPassfile: own,
            connectionPasswords: try connectionPasswords([own, repository.facts?.repository?.passfile]))
    }

    /// From where the nodes see us, where that is known. Whoever is on a node itself comes from the address that it goes to.
    private var addresses: [String: String] {
        var addresses = sessions.compactMapValues { (try? $0.get())?.clientAddress }
        for node in file.nodes {
            guard let placement = node.placement, case .here? = (try? sessions[node.name]?.get())?.host.way else { continue }
            addresses[node.name] = placement.host
        }
        return addresses
    }

    /// As the commands here would find them, then as the repository's host does.
    private func connectionPasswords(_ passfiles: [String?]) throws -> [String: String] {
        var known = passfiles.compactMap { $0.map { Passfile($0) } }
        if let usual = Passfile.usual { known.insert(try Passfile.read(usual), at: min(1, known.count)) }
        let nodes = file.nodes.filter { $0.placement == nil }
        return Dictionary(
            nodes.compactMap { node in
                known.lazy.compactMap { $0.password(for: ConnectionText(node.connection)) }.first.map { (node.name, $0) }
            }, uniquingKeysWith: { a, _ in a })
    }

    private func facts(_ name: String) -> ClusterFacts.Host {
        do {
            let session = try sessions[name]!.get()
            return .reached(try session.call(HostRequest.observe(questions(name)), as: HostFacts.self))
        } catch let failure as Failure { return .unreachable(failure) } catch {
            return .unreachable(Failure(.internalError, "\(error)"))
        }
    }

    private func questions(_ name: String) -> HostQuestions {
        guard let node = file.nodes.first(where: { $0.name == name }), let placement = node.placement else {
            return HostQuestions(
                cluster: file.name,
                repository: RepositoryQuestions(
                    path: file.repository.path.string, account: file.repositoryAccount, slot: "\(file.repository.slot)"))
        }
        return HostQuestions(
            cluster: file.name,
            instance: InstanceQuestions(
                node: name, major: file.postgres.major, programs: file.postgres.programs, data: placement.data,
                port: placement.port, installs: file.postgres.installs,
                settings: DesiredFiles.settingNames + file.postgres.parameters.map(\.name),
                tls: file.tlsQuestions(of: node)))
    }

    // MARK: Action

    private func session(_ host: String) throws -> HostSession { try sessions[host]!.get() }

    /// Does one step; returns what is to be said of it.
    func perform(_ step: Plan.Step, _ secrets: Secrets) throws -> String? {
        let session = try session(step.host)
        switch step.action {
        case .adoptStandby(let layout, _): try stream(newest, into: layout, session)
        case .adoptRestored(let layout, _, let questions, _): try stream(questions, into: layout, session)
        case .certify(let layout, let node, let host, let cluster):
            try certify(layout, node: node, host: host, cluster, session)
            return nil
        default: break
        }
        // A copy of a large server takes its time.
        let answer: HostAnswer = try session.call(
            HostRequest.perform(try step.action.filled(secrets)), timeoutSeconds: 7 * 24 * 3600)
        return answer.remark
    }
}

extension ClusterHosts {
    /// How much a step that makes a server has brought to its host so far; nil for others.
    package func copiedBytes(_ step: Plan.Step) throws -> Int? {
        guard let layout = step.action.layoutOfCopy else { return nil }
        return try session(step.host).call(HostRequest.unfinishedBytes(layout), as: Int.self)
    }

    private var newest: RestoreQuestions {
        RestoreQuestions(repository: file.repository.path.string, cluster: file.name, target: RecoveryTarget())
    }

    private func stream(_ questions: RestoreQuestions, into layout: InstanceLayout, _ target: HostSession) throws {
        func text(_ value: some Encodable) throws -> String { String(decoding: try JSONEncoder().encode(value), as: UTF8.self) }
        try session(Planner.repository).stream(["--send", text(questions)], to: target, ["--receive", text(layout)])
    }

    /// The node's key stays there, and so does the authority's: a request goes one way, and a certificate the other.
    private func certify(_ layout: InstanceLayout, node: String, host: String, _ cluster: String, _ target: HostSession) throws {
        let request: String = try target.call(HostRequest.requestCertificate(layout, node: node))
        let issued: IssuedCertificate = try session(Planner.repository).call(
            HostRequest.issueCertificate(.init(cluster: cluster, node: node, host: host, request: request)))
        let _: HostAnswer = try target.call(HostRequest.installCertificate(layout, issued))
    }

    package func outline(_ target: RecoveryTarget, backup: String?) throws -> (RestoreQuestions, RestoreOutline) {
        let questions = RestoreQuestions(
            repository: file.repository.path.string, cluster: file.name, target: target, backup: backup, promotes: true)
        return (questions, try session(Planner.repository).call(HostRequest.planRestore(questions)))
    }
}

extension ClusterFile {
    /// What is to be found out of a node's certificate; nil where that is none of our business.
    func tlsQuestions(of node: Node) -> TLSQuestions? {
        guard let placement = node.placement else { return nil }
        return switch tls(of: node) {
        case .off: nil
        case .cluster: TLSQuestions(given: nil, host: placement.host)
        case .given(let files): TLSQuestions(given: files, host: placement.host)
        }
    }
}

/// What a step says when it is done.
package struct HostAnswer: Codable, Sendable {
    package var remark: String?
}

extension HostAction {
    /// With the passwords in their places.
    func filled(_ secrets: Secrets) throws -> HostAction {
        func filled(_ text: String) throws -> String {
            if let text = try secrets.filled(text) { return text }
            throw Failure(.internalError, "could not fill in a password that is not known")
        }
        func filled(_ files: InstanceFiles) throws -> InstanceFiles {
            var files = files
            files.passfile = try filled(files.passfile)
            return files
        }
        return switch self {
        case .createServer(let layout, let node, let files): .createServer(layout, node: node, try filled(files))
        case .copyStandby(let layout, let upstream, let slot, let files):
            .copyStandby(layout, upstream: upstream, slot: slot, try filled(files))
        case .writeFiles(let layout, let files): .writeFiles(layout, try filled(files))
        case .sql(let layout, let statements): .sql(layout, try statements.map(filled))
        case .writeFile(let path, let text, let account, let permissions):
            .writeFile(path: path, text: try filled(text), account: account, permissions: permissions)
        case .adoptStandby(let layout, let files): .adoptStandby(layout, try filled(files))
        case .rewind(let layout, let source, let files, let inPlace):
            .rewind(layout, source: source, try filled(files), inPlace: inPlace)
        case .adoptRestored(let layout, let files, let questions, let settings):
            .adoptRestored(layout, try filled(files), questions, settings)
        default: self
        }
    }
}
