import PostgresModel

/// From what the cluster file wants and what was found to what is to be done. Pure: the same facts give the same plan.
package struct Planner {
    let file: ClusterFile
    let facts: ClusterFacts
    let secrets: Secrets
    /// Nodes whose server is to be given up, and how it becomes a standby again; what it had is kept.
    let rejoined: [String: Rejoin]
    /// Nodes that the file no longer has, and whose servers are to stop.
    let removed: [ClusterFile.Node]
    var plan = Plan()
    /// Of the primary, while the nodes are planned.
    var primaryFacts: InstanceFacts?
    /// Nodes that get a certificate in this plan.
    var certified: Set<String> = []

    package static func plan(
        _ file: ClusterFile, _ facts: ClusterFacts, rejoin: [String: Rejoin] = [:], remove: [ClusterFile.Node] = []
    ) throws -> Plan {
        var planner = Planner(
            file: file, facts: facts, secrets: Secrets(facts.passwords), rejoined: rejoin, removed: remove)
        try planner.make()
        return planner.plan
    }

    private mutating func make() throws {
        installPackages()
        // What a role's password is must be known somewhere before the role has it: an apply that is cut short knows it then.
        try planPasswords()
        let states = judged()
        let primary = primary(among: states)
        if let primary {
            stopRemoved(primary)
            forgetAuthorities()
            try planCertificates(states)
            if !plan.blocked.contains(where: { $0.node == primary.name }) { try planNodes(states, primary) }
            dropSlotsOfRemoved(states)
        }
        let hasNewTrust = primary.map { planTrust($0) } ?? false
        if let primary { blockOtherSystem(primary) }
        try planRepository(reconnects: hasNewTrust)
        if let primary { awaitReceiver(primary) }
        remarkClocks()
    }

    mutating func block(_ node: String, _ reason: String, hint: String? = nil) {
        plan.blocked.append(.init(node: node, reason: reason, hint: hint))
    }

    mutating func block(_ node: String, _ failure: Failure) {
        let isUnreachable = failure.code == .hostUnreachable
        plan.blocked.append(.init(node: node, reason: failure.message, hint: failure.hint, isUnreachable: isUnreachable))
    }

    mutating func add(
        _ host: String, _ action: HostAction, _ changes: [Plan.Change], needs: [String] = []
    ) {
        plan.steps.append(Plan.Step(host: host, action: action, changes: changes, needs: needs))
    }

    // MARK: What each node is

    private mutating func installPackages() {
        if let host = facts.repository.facts, host.isRoot, host.hasApt, !host.hasLibPQ, file.postgres.installs {
            add(
                Self.repository, .installPackages(["libpq5"]),
                [.init(action: .create, node: Self.repository, object: "libpq", to: "from the host's package sources")])
        }
        for node in file.nodes {
            guard let host = facts.nodes[node.name]?.facts, host.isRoot, host.hasApt, let instance = host.instance,
                file.postgres.installs, file.postgres.programs == nil, let major = file.postgres.major,
                !instance.installedMajors.contains(major)
            else { continue }
            add(
                node.name, .installPackages(["postgresql-common", "postgresql-\(major)"]),
                [.init(action: .create, node: node.name, object: "PostgreSQL \(major)", to: "from the host's package sources")])
        }
    }

    /// What will be there when its packages are.
    private func installed(_ instance: InstanceFacts, on node: ClusterFile.Node) -> InstanceFacts {
        guard let major = file.postgres.major, plan.steps.contains(where: { $0.host == node.name && $0.action.installs }) else {
            return instance
        }
        var instance = instance
        instance.version = major * 10000
        instance.hasServerAccount = true
        // PostgreSQL of packages is built with OpenSSL, and has its program with it.
        if file.tls(of: node) != .off { instance.tls = TLSFacts(hasOpenSSL: true, isSupported: true, key: .missing) }
        return instance
    }

    private mutating func judged() -> [NodeState] {
        var found: [(ClusterFile.Node, ClusterFile.Placement, InstanceFacts, InstanceLayout)] = []
        for node in file.nodes {
            guard let placement = node.placement else { continue }
            switch facts.nodes[node.name] {
            case .reached(let host):
                guard let instance = host.instance.map({ installed($0, on: node) }) else { continue }
                do throws(NodeProblem) { found.append((node, placement, instance, try usable(host, instance, node))) } catch {
                    block(node.name, error.reason, hint: error.hint)
                }
            case .unreachable(let failure): block(node.name, failure)
            case nil: continue
            }
        }
        for (index, one) in found.enumerated().reversed() {
            guard let identity = one.2.identity, let twin = found[..<index].first(where: { $0.2.identity == identity }) else {
                continue
            }
            block(
                one.0.name, "its data directory, \(one.3.data), is that of \(twin.0.name): they are one server",
                hint: "Correct the host or \"data\" of one of them in \(file.path)")
            found.remove(at: index)
        }
        let system = clusterSystem(found.filter { rejoined[$0.0.name] == nil }.map { ($0.0.name, $0.2) })
        var states: [NodeState] = []
        for (node, placement, instance, layout) in found {
            do throws(NodeProblem) {
                states.append(
                    NodeState(
                        node: node, placement: placement, facts: instance, layout: layout,
                        judgement: try judgement(instance, layout, system, rejoined[node.name])))
            } catch {
                block(node.name, error.reason, hint: error.hint)
            }
        }
        return states
    }

    /// What must be so before anything can be said of a server there.
    private func usable(_ host: HostFacts, _ instance: InstanceFacts, _ node: ClusterFile.Node) throws(NodeProblem)
        -> InstanceLayout
    {
        let wanted = file.postgres.major
        if let user = ConnectionText(node.connection).user, user != ClusterRoles.repository {
            throw NodeProblem(
                "\"user\" is \(user), and on a server that pgark sets up it connects as \(ClusterRoles.repository)",
                hint: "Remove nodes.\(node.name).user from \(file.path)")
        }
        guard let layout = instance.layout else {
            throw NodeProblem(
                instance.installedMajors.isEmpty
                    ? "no PostgreSQL is installed there" : "its data directory is not named, and postgresql-common is not there",
                hint: instance.installedMajors.isEmpty
                    ? "Install it, or let pgark do so: postgres: { version: 18, packages: apt }"
                    : "Name it: nodes: { \(node.name): { data: /path } }")
        }
        guard host.isRoot else {
            throw NodeProblem(
                "pgark is not root there and may not become it, which it needs to run the server's account",
                hint: "Let this work without a question: ssh \(node.placement?.ssh ?? node.name) sudo -n true")
        }
        guard let version = instance.version else {
            throw NodeProblem(
                "no PostgreSQL is in \(layout.programs)",
                hint: file.postgres.installs
                    ? "There is no apt-get to install it with. Install it, or name its programs: postgres: { bin: /path }"
                    : "Install it (apt-get install postgresql-\(wanted ?? 18)), let pgark do so (postgres: { packages: apt }), "
                        + "or name its programs: postgres: { bin: /path }")
        }
        guard instance.hasServerAccount else {
            throw NodeProblem(
                "there is no account \"postgres\" to run the server", hint: "useradd --system --create-home postgres")
        }
        guard host.hasLibPQ || plan.steps.contains(where: { $0.host == node.name && $0.action.installs }) else {
            throw NodeProblem("libpq is not there, with which pgark asks servers", hint: "Install it: apt-get install libpq5")
        }
        if let wanted, version / 10000 != wanted {
            throw NodeProblem("the programs in \(layout.programs) are of PostgreSQL \(version / 10000), not \(wanted)")
        }
        return layout
    }

    /// Whose system this cluster is: what pgark set up for it before the rest, what was used before what was not, a primary before
    /// a standby, the file's first before the others. Nil where there is no server yet.
    private func clusterSystem(_ found: [(name: String, facts: InstanceFacts)]) -> UInt64? {
        let candidates = found.compactMap { found -> (rank: Int, system: UInt64)? in
            guard case .present(let control) = found.facts.data else { return nil }
            if found.facts.server?.isPristine == true, found.facts.include == nil, !control.hasChecksums { return nil }
            let isUsed = found.facts.server.map { !$0.isPristine } ?? true
            let isStandby = found.facts.server?.isInRecovery ?? found.facts.hasStandbySignal
            let isOurs = found.facts.include?.contains(DesiredFiles.mark(of: file.name)) == true
            return ((isOurs ? 0 : 4) + (isUsed ? 0 : 2) + (isStandby ? 1 : 0), control.systemIdentifier)
        }
        return candidates.enumerated().min { ($0.element.rank, $0.offset) < ($1.element.rank, $1.offset) }?.element.system
    }

    private func judgement(
        _ instance: InstanceFacts, _ layout: InstanceLayout, _ system: UInt64?, _ rejoin: Rejoin?
    ) throws(NodeProblem) -> NodeState.Judgement {
        switch instance.data {
        case .absent, .empty, .unfinished:
            if instance.portIsTaken {
                throw NodeProblem(
                    "port \(layout.port) is taken by another program", hint: "See which one: ss -ltnp 'sport = :\(layout.port)'")
            }
            if instance.isMountPoint {
                throw NodeProblem(
                    "\(layout.data) is a mount point, and a server is made beside its place and renamed when it is whole",
                    hint: "Name a directory below it with \"data\": \(layout.data)/data")
            }
            return .missing
        case .foreign(let some):
            throw NodeProblem(
                "\(layout.data) holds something that is no data directory: \(some.joined(separator: ", "))",
                hint: "Move it away, or name another place with \"data\".")
        case .present(let control):
            // What a package made by itself is made anew, with checksums; a server that has them will do.
            if instance.server?.isPristine == true, instance.include == nil, !control.hasChecksums {
                return try replaceable(instance)
            }
            if let rejoin { return try rejoined(instance, control, system, rejoin) }
            if let version = instance.version, control.major != version / 10000 {
                throw NodeProblem(
                    "\(layout.data) is of PostgreSQL \(control.major), and the programs are of \(version / 10000)")
            }
            if let failure = instance.serverFailure {
                throw NodeProblem(
                    "its server runs, but cannot be asked as \"postgres\" over its socket: \(failure)",
                    hint: "pg_hba.conf must begin with: local all postgres peer")
            }
            if control.systemIdentifier != system {
                if instance.server?.isPristine == true { return try replaceable(instance) }
                throw NodeProblem(
                    "\(layout.data) is of another system (\(control.systemIdentifier)) than the cluster (\(system ?? 0))",
                    hint: "Is it the right host? To give it up, stop its server and move its data directory away.")
            }
            if instance.isRunning { return .running }
            if instance.portIsTaken {
                throw NodeProblem(
                    "its server does not run, and port \(layout.port) is taken by another program",
                    hint: "See which one: ss -ltnp 'sport = :\(layout.port)'")
            }
            return .stopped
        }
    }

    // MARK: The primary

    /// The node that is the primary, or that would be. Nil, and a blockage, where that cannot be said.
    private mutating func primary(among states: [NodeState]) -> NodeState? {
        let running = states.filter { $0.judgement == .running && !$0.isStandby }
        if running.count == 1 {
            blockOldPrimaries(states, besides: running[0])
            return running[0]
        }
        if running.count > 1 {
            for state in running {
                let others = running.filter { $0.name != state.name }.map { "\($0.name) on timeline \($0.server?.timeline ?? 0)" }
                block(
                    state.name,
                    "it is a primary, on timeline \(state.server?.timeline ?? 0), and so is \(others.joined(separator: ", ")): "
                        + "the cluster's history forked, and each may have what the other has not",
                    hint: "Decide which one is right. If it is not this one: pgark rejoin \(state.name)")
            }
            return nil
        }
        let stopped = states.filter { $0.judgement == .stopped && !$0.isStandby }
        if let first = stopped.first, stopped.count == 1 { return mayStart(first, among: states) ? first : nil }
        if stopped.count > 1 {
            for state in stopped {
                block(
                    state.name, "it is stopped, and so is another that was a primary: which one is to go on cannot be told",
                    hint: "Start the one that is: pg_ctl start")
            }
            return nil
        }
        let members = states.filter { $0.judgement == .running || $0.judgement == .stopped }
        if !members.isEmpty {
            for state in members {
                block(
                    state.name, "it is a standby, and no primary was found",
                    hint: "Bring the primary back; or promote the standby that has most: pg_ctl promote")
            }
            return nil
        }
        return mayBegin(states) ? states.first : nil
    }

    /// There is no server yet: whether the file's first node begins. Not where something hides what it has, and not where the
    /// repository has the cluster that there was.
    private mutating func mayBegin(_ states: [NodeState]) -> Bool {
        for state in states where rejoined[state.name] != nil {
            block(state.name, "there is no primary that it could follow", hint: "Bring the primary back: pgark status")
        }
        guard rejoined.isEmpty else { return false }
        let unknown = file.nodes.filter { node in node.placement != nil && !states.contains { $0.name == node.name } }
        let hidden = unknown.first?.name ?? (facts.repository.facts?.repository == nil ? "the repository" : nil)
        if let hidden {
            for state in states { block(state.name, "no server is made while it is not known what \(hidden) has") }
            return false
        }
        guard let first = states.first, let system = facts.repository.facts?.repository?.system else { return true }
        block(
            first.name,
            "no node has a server, and \(file.repository.path) has backups or WAL of one (system \(system)): a new one would not be it",
            hint:
                "Bring it back: pgark restore --node \(first.name). For another cluster give it another name, or another repository."
        )
        return false
    }
}
