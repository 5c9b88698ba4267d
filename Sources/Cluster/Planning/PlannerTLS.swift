import Postgres
import PostgresModel
import SystemPackage

/// Certificates, and the order in which everybody comes to use them.
extension Planner {
    // MARK: Stages

    /// What a node's files are to say, one after the other; the first is written together with all other changes.
    func stages(of state: NodeState, upstream: NodeState?, among usable: [NodeState]) -> [DesiredFiles] {
        let found = TLSStage(found: state.facts)
        var wanted = TLSStage()
        if let files = file.tls(of: state.node).files(state.layout) {
            wanted = TLSStage(server: files.files, isRequired: true)
            if let upstream, file.tls(of: upstream.node) != .off {
                // One that cannot be worked on may not have it yet.
                wanted.trusted = usable.contains { $0.name == upstream.name } ? files.authority : found.trusted
            }
        }
        // What does not run is cut off from nobody.
        let stages = state.judgement == .running ? TLSStage.stages(from: found, to: wanted) : [wanted]
        return stages.map { desired(state, upstream: upstream, $0) }
    }

    mutating func planLaterStages(_ usable: [NodeState], _ desired: [String: [DesiredFiles]]) {
        for number in [1, 2] {
            for state in usable where state.judgement == .running {
                guard let own = desired[state.name], own[number].tls != own[number - 1].tls else { continue }
                let changes = changes(of: state, from: own[number - 1].files, to: own[number])
                guard !changes.isEmpty else { continue }
                // All of the stage before, on all nodes: or somebody would be shut out.
                add(state.name, .writeFiles(state.layout, own[number].files), changes, needs: usable.map(\.name))
                add(state.name, .reload(state.layout), [], needs: usable.map(\.name))
            }
        }
    }

    private func changes(of state: NodeState, from: InstanceFiles, to: DesiredFiles) -> [Plan.Change] {
        var before = state
        before.facts.include = from.include
        before.facts.accessRules = AccessBlock.replace(in: state.facts.accessRules ?? "", with: from.accessRules)
        return settingChanges(before, to) + accessChanges(before, to.files)
    }

    /// A server that has its certificate in its files and shows another, or none, is to read them again.
    mutating func awaitTLS(_ state: NodeState, _ desired: DesiredFiles) {
        guard let questions = file.tlsQuestions(of: state.node), desired.tls.server != nil else { return }
        let isNew = TLSStage(found: state.facts).server != desired.tls.server || certified.contains(state.name)
        let isStale = state.facts.tls?.isServed == false
        guard isNew || isStale else { return }
        let isReloaded = plan.steps.last.map { $0.host == state.name && $0.action == .reload(state.layout) } ?? false
        if !isReloaded {
            let change = Plan.Change(
                action: .change, node: state.name, object: "certificate", from: "not used yet", to: "shown by the server",
                effect: .reload)
            add(state.name, .reload(state.layout), isNew ? [] : [change], needs: [state.name])
        }
        add(state.name, .awaitTLS(state.layout, questions), [], needs: [state.name])
    }

    // MARK: Certificates

    /// Given ones are looked at, those of the cluster's authority are made.
    mutating func planCertificates(_ states: [NodeState]) throws {
        planAuthority()
        for state in states {
            guard let tls = state.facts.tls, file.tls(of: state.node) != .off else { continue }
            if let problem = obstacle(tls) {
                block(state.name, problem.reason, hint: problem.hint)
            } else if case .given(let files) = file.tls(of: state.node) {
                for problem in problems(of: files, tls, state) { block(state.name, problem.reason, hint: problem.hint) }
                remarkEnd(tls, state)
            } else {
                planCertificate(tls, state)
            }
        }
    }

    private func obstacle(_ tls: TLSFacts) -> NodeProblem? {
        if !tls.isSupported {
            return NodeProblem(
                "its PostgreSQL was built without TLS", hint: "Use one that was built with OpenSSL, or set: tls: off")
        }
        if !tls.hasOpenSSL {
            return NodeProblem(
                "openssl, which makes and checks certificates, is not there", hint: "apt-get install openssl")
        }
        return nil
    }

    /// The time on a host, by which certificates are judged.
    private func now(_ state: NodeState) -> Double { facts.nodes[state.name]?.facts?.clock ?? 0 }

    // MARK: Of the cluster's own authority

    private var authorityFacts: AuthorityFacts? {
        guard let host = facts.repository.facts, host.isRoot, let found = host.repository?.authority, found.hasOpenSSL else {
            return nil
        }
        return found
    }

    private var hasOwnAuthority: Bool { file.nodes.contains { file.tls(of: $0) == .cluster } }

    /// The authority's certificate, where it is good for certificates to come; nil where it is to be made.
    private var authority: String? {
        guard let found = authorityFacts, found.hasKey, let clock = facts.repository.facts?.clock,
            !Self.isDue(found.begins, found.ends, clock)
        else { return nil }
        return found.certificate
    }

    /// In the last third of its life.
    private static func isDue(_ begins: Double, _ ends: Double, _ now: Double) -> Bool { now > ends - (ends - begins) / 3 }

    private mutating func planAuthority() {
        guard hasOwnAuthority, let found = authorityFacts, authority == nil else { return }
        let old = found.certificate == nil ? nil : found.hasKey ? "ends on \(Self.day(found.ends))" : "its key is not there"
        add(
            Self.repository, .makeAuthority(cluster: file.name),
            [
                .init(
                    action: old == nil ? .create : .change, node: Self.repository, object: "certificate authority", from: old,
                    to: "of this cluster, for ten years; its key stays there")
            ], needs: [Self.repository])
    }

    private mutating func planCertificate(_ tls: TLSFacts, _ state: NodeState) {
        guard let reason = reason(for: tls, state) else { return }
        guard authorityFacts != nil else { return withoutAuthority(reason, tls, state) }
        certified.insert(state.name)
        add(
            state.name,
            .certify(state.layout, node: state.name, host: state.placement.host, cluster: file.name),
            [
                .init(
                    action: tls.certificate == nil ? .create : .change, node: state.name, object: "certificate",
                    from: tls.certificate == nil ? nil : reason.text,
                    to: "of the cluster's authority, for \(state.placement.host)")
            ], needs: [Self.repository])
    }

    /// Why a node needs a certificate; `isUsable` where the one that it has will do for now.
    private func reason(for tls: TLSFacts, _ state: NodeState) -> (text: String, isUsable: Bool)? {
        guard let found = tls.certificate, tls.key == .usable else { return ("without a key", false) }
        if !found.fitsKey { return ("its key is another", false) }
        if !found.namesHost { return ("for \(found.names)", false) }
        if let distrust = found.distrust { return ("not of the authority: \(distrust)", false) }
        if now(state) > found.ends { return ("ended on \(Self.day(found.ends))", false) }
        if Self.isDue(found.begins, found.ends, now(state)) { return ("ends on \(Self.day(found.ends))", true) }
        if authorityFacts != nil, tls.authority != authority { return ("of another authority", true) }
        return nil
    }

    private mutating func withoutAuthority(_ reason: (text: String, isUsable: Bool), _ tls: TLSFacts, _ state: NodeState) {
        let what = tls.certificate == nil ? "it has no certificate" : "its certificate: \(reason.text)"
        let isWithoutProgram = facts.repository.facts?.repository?.authority.hasOpenSSL == false
        let why =
            "the repository's host, where the authority is, " + (isWithoutProgram ? "has no openssl" : "cannot be worked on")
        if reason.isUsable { return plan.remarks.append("\(state.name): \(what); \(why)") }
        block(
            state.name, "\(what), and \(why)",
            hint: isWithoutProgram ? "There: apt-get install openssl" : "Let pgark reach it and be root there; then: pgark apply")
    }

    static func day(_ seconds: Double) -> String { CivilTime(Timestamp(seconds: Int64(seconds)), offsetSeconds: 0).date }

    // MARK: Given ones

    private func problems(of files: ClusterFile.GivenCertificate, _ tls: TLSFacts, _ state: NodeState) -> [NodeProblem] {
        var problems: [NodeProblem] = []
        func add(_ reason: String, _ hint: String) { problems.append(NodeProblem(reason, hint: hint)) }
        switch tls.key {
        case .usable: break
        case .missing: add("there is no key \(files.key)", "Put it there, for postgres alone: chown postgres KEY; chmod 600 KEY")
        case .unreadable: add("postgres cannot read the key \(files.key)", "chown postgres \(files.key)")
        case .exposed:
            add(
                "others may read the key \(files.key), and PostgreSQL refuses it",
                "chmod 600 \(files.key); where it is root's, 640, and postgres in its group")
        }
        if tls.authority == nil { add("postgres cannot read the authorities \(files.authority)", "chmod a+r \(files.authority)") }
        guard let found = tls.certificate else {
            add(
                "\(files.certificate) is no certificate that postgres can read",
                "openssl x509 -noout -text -in \(files.certificate)")
            return problems
        }
        if tls.key == .usable, !found.fitsKey {
            add(
                "the key \(files.key) is not that of \(files.certificate)",
                "Put the right one there; a key with a password cannot be used")
        }
        if now(state) > found.ends {
            add("its certificate \(files.certificate) ended on \(Self.day(found.ends))", "Renew it.")
        } else if now(state) < found.begins {
            add("its certificate \(files.certificate) begins on \(Self.day(found.begins))", "Is the host's clock right?")
        }
        if !found.namesHost {
            add(
                "its certificate \(files.certificate) is for \(found.names), and not for \(state.placement.host)",
                "Have \(state.placement.host) among its subject alternative names, or name the node's host as it does.")
        }
        if tls.authority != nil, let distrust = found.distrust {
            add(
                "its certificate \(files.certificate) is not of the authorities in \(files.authority): \(distrust)",
                "openssl verify -purpose sslserver -CAfile \(files.authority) -untrusted \(files.certificate) \(files.certificate)"
            )
        }
        return problems
    }

    private static let warningSeconds = 30 * 86_400.0

    private mutating func remarkEnd(_ tls: TLSFacts, _ state: NodeState) {
        guard let ends = tls.certificate?.ends, ends > now(state), ends < now(state) + Self.warningSeconds else { return }
        plan.remarks.append("\(state.name): its certificate ends on \(Self.day(ends))")
    }

    // MARK: The repository's connections

    /// Before servers give TLS up nobody may ask for it.
    mutating func forgetAuthorities() {
        guard file.nodesWithTLS.isEmpty, facts.repository.facts?.isRoot == true,
            facts.repository.facts?.repository?.authority.trusted != nil
        else { return }
        let path = TrustedAuthorities.path(file.name).string
        add(
            Self.repository, .removeFile(path),
            [.init(action: .remove, node: Self.repository, object: path, from: "servers' certificates are checked")],
            needs: [Self.repository])
    }

    /// When every server that is to have a certificate has it, connections from the repository's host check them. True where the
    /// receiver is to connect again.
    mutating func planTrust(_ primary: NodeState) -> Bool {
        let nodes = file.nodesWithTLS
        guard !nodes.isEmpty, let host = facts.repository.facts, host.isRoot, let found = host.repository?.authority else {
            return false
        }
        let lacking = nodes.filter { node in
            facts.nodes[node.name]?.facts == nil || plan.blocked.contains { $0.node == node.name }
        }
        if let node = lacking.first, found.trusted == nil {
            plan.remarks.append("\(Self.repository): servers' certificates are not checked until \(node.name) has one")
            return false
        }
        let isNew = (lacking.isEmpty || hasOwnAuthority) && planTrust(found)
        let slot = file.repository.slot.description
        let isPlain = primary.server?.senders.contains { $0.slot == slot && !$0.isEncrypted } ?? false
        return isNew || (isPlain && file.tls(of: primary.node) != .off)
    }

    private mutating func planTrust(_ found: AuthorityFacts) -> Bool {
        let texts = file.nodesWithTLS.compactMap { facts.nodes[$0.name]?.facts?.instance?.tls?.authority }
        let given = texts.enumerated().filter { texts.firstIndex(of: $0.element) == $0.offset }.map(\.element).joined()
        let wanted = hasOwnAuthority ? authority : given
        if hasOwnAuthority, authorityFacts == nil { return false }
        guard wanted == nil || found.trusted != wanted.map(TrustedAuthorities.text) else { return false }
        let path = TrustedAuthorities.path(file.name).string
        add(
            Self.repository, .trust(hasOwnAuthority ? nil : given, cluster: file.name),
            [
                .init(
                    action: found.trusted == nil ? .create : .change, node: Self.repository, object: path,
                    to: "servers' certificates are checked")
            ], needs: [Self.repository] + file.nodesWithTLS.map(\.name))
        return true
    }
}
