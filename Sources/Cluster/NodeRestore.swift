import PostgresModel
import SystemPackage

/// A restore of a node of the cluster: its server is set aside, another takes its place that recovers to the target and is the
/// primary then. Whoever followed the old one is on a dead history and is made anew afterwards.
package struct NodeRestore {
    package let file: ClusterFile
    package let node: String
    package let questions: RestoreQuestions
    package let outline: RestoreOutline

    package init(_ file: ClusterFile, node: String, _ questions: RestoreQuestions, _ outline: RestoreOutline) {
        self.file = file
        self.node = node
        self.questions = questions
        self.outline = outline
    }

    /// Throws where there would be two primaries, or where it cannot be known.
    package func plan(_ facts: ClusterFacts) throws -> Plan {
        guard let wanted = file.nodes.first(where: { $0.name == node }), let placement = wanted.placement else {
            throw Failure(
                .nodeMissing, "could not restore to node \"\(node)\": the cluster file names no such host",
                details: ["nodes there: \(file.nodes.map(\.name).joined(separator: ", "))"])
        }
        for (name, host) in facts.nodes where name != node { try check(name, host) }
        guard let instance = try own(facts), let layout = instance.layout else {
            throw Failure(
                .unsupported,
                "could not restore to node \"\(node)\": PostgreSQL is not installed there, or its place is not known",
                hint: "See what is missing: pgark plan")
        }
        try checkPlace(instance, layout)
        let desired = DesiredFiles(
            file: file, node: wanted, placement: placement, layout: layout, major: (instance.version ?? 0) / 10000,
            hasChecksums: true,
            upstream: nil, repositoryAddress: file.repository.host ?? facts.repositoryAddresses[node],
            required: RequiredSettings(own: instance, primary: nil, nodes: file.nodes.count { $0.placement != nil }).settings,
            tls: TLSStage(found: instance))
        var plan = Plan()
        func change(_ object: String, from: String? = nil, to: String?, _ effect: Plan.Change.Effect = .none) -> Plan.Change {
            .init(action: from == nil ? .create : .change, node: node, object: object, from: from, to: to, effect: effect)
        }
        if case .present = instance.data {
            plan.steps.append(
                .init(
                    host: node, action: .setAside(layout),
                    changes: [change("server", from: layout.data, to: "kept beside as \(layout.data).before-pgark", .restart)],
                    outage: instance.server?.isInRecovery == false ? .begins : nil))
        }
        plan.steps.append(
            .init(
                host: node, action: .adoptRestored(layout, desired.files, questions, outline.settings),
                changes: [change("primary", to: "backup \(outline.backup) recovered to \(outline.target), in \(layout.data)")],
                needs: [node], copiedBytes: outline.bytes + outline.walBytes))
        plan.steps.append(.init(host: node, action: .start(layout), changes: [], needs: [node]))
        plan.steps.append(.init(host: node, action: .awaitPrimary(layout), changes: [], needs: [node], outage: .ends))
        plan.mayLoseData = true
        plan.remarks = outline.remarks
        return plan
    }

    /// The other nodes with a server, which are to follow the restored one.
    package func followers(_ facts: ClusterFacts) -> Set<String> {
        Set(
            facts.nodes.compactMap { name, host in
                guard name != node, let instance = host.facts?.instance, case .present(let control) = instance.data,
                    control.systemIdentifier == outline.systemIdentifier
                else { return nil }
                return name
            })
    }

    private func own(_ facts: ClusterFacts) throws -> InstanceFacts? {
        switch facts.nodes[node] {
        case .reached(let host): return host.instance
        case .unreachable(let failure): throw failure
        case nil: return nil
        }
    }

    /// What is found out now has changed nothing yet (promise P5).
    private func checkPlace(_ instance: InstanceFacts, _ layout: InstanceLayout) throws {
        func refuse(_ code: Failure.Code, _ reason: String, _ hint: String?) -> Failure {
            Failure(code, "could not restore to node \"\(node)\": \(reason)", hint: hint)
        }
        if instance.isMountPoint, let problem = instance.obstacleToReplacing {
            throw refuse(.unsupported, problem.reason, problem.hint)
        }
        let major = (instance.version ?? 0) / 10000
        if outline.major != major {
            throw refuse(
                .unsupported,
                "backup \(outline.backup) is of PostgreSQL \(outline.major), and the programs there are of \(major)",
                "Install PostgreSQL \(outline.major) there, and say so: postgres: { version: \(outline.major) }")
        }
        let needed = outline.bytes + outline.walBytes + (64 << 20)
        guard instance.freeBytes < needed else { return }
        throw refuse(
            .noSpace,
            "it needs \(ByteCount(needed)) in \(FilePath(layout.data).removingLastComponent()), and \(ByteCount(instance.freeBytes)) are free; "
                + "what is there is kept",
            "Make room there; or move what is in \(layout.data) elsewhere, with its server stopped.")
    }

    private func check(_ name: String, _ host: ClusterFacts.Host) throws {
        switch host {
        case .reached(let facts):
            guard let instance = facts.instance, instance.isRunning else { return }
            if let server = instance.server {
                if server.isInRecovery || server.isPristine { return }
                throw Failure(
                    .serverRunning, "could not restore to \(node): \(name) is a primary, and there would be two",
                    hint: "Restore to \(name), or stop its server first.")
            }
            // What says that it will be a standby may be told, whatever its server is doing.
            if instance.hasStandbySignal { return }
            throw Failure(
                .serverRunning, "could not restore to \(node): the server of \(name) may be a primary, and cannot be asked",
                details: [instance.serverFailure ?? "pgark is not root there"], hint: "Wait until it answers, or stop it first.")
        case .unreachable(let failure):
            throw Failure(
                .hostUnreachable, "could not restore to \(node): it cannot be known whether \(name) is a primary",
                details: [failure.message], hint: "Bring the host back, or take the node out of the cluster file.")
        }
    }
}
