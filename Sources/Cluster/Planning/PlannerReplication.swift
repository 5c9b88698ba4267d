import Postgres
import PostgresModel

/// Roles and replication slots, and whether each standby streams through its own.
extension Planner {
    // MARK: Roles

    mutating func planRoles(_ primary: NodeState) {
        for role in ClusterRoles.all where role != ClusterRoles.repository || facts.repository.facts?.repository != nil {
            let (statements, changes) = roleChanges(role, primary)
            guard !statements.isEmpty else { continue }
            let needs = role == ClusterRoles.repository ? [primary.name, Self.repository] : [primary.name]
            add(primary.name, .sql(primary.layout, statements), changes, needs: needs)
        }
    }

    private func roleChanges(_ role: String, _ primary: NodeState) -> (statements: [String], changes: [Plan.Change]) {
        let password = "PASSWORD '\(Secrets.verifier(of: role))'"
        guard !primary.exists || primary.server != nil else { return ([], []) }
        guard let known = primary.server?.roles[role] else {
            return (
                ClusterRoles.creation(of: role, verifier: Secrets.verifier(of: role)),
                [.init(action: .create, node: primary.name, object: "role \(role)", to: "login, replication, no superuser")]
            )
        }
        var statements: [String] = [], changes: [Plan.Change] = []
        func change(_ what: String, _ statement: String, from: String? = nil) {
            statements.append(statement)
            changes.append(.init(action: .change, node: primary.name, object: "role \(role)", from: from, to: what))
        }
        if !known.mayLogIn || !known.mayReplicate { change("login, replication", "ALTER ROLE \(role) LOGIN REPLICATION") }
        if known.isSuperuser { change("no superuser", "ALTER ROLE \(role) NOSUPERUSER", from: "superuser") }
        if !isPassword(known.verifier, of: role) { change("the password of the passfiles", "ALTER ROLE \(role) \(password)") }
        for grant in ClusterRoles.grants(role) where !known.grants.contains(grant) {
            change("granted \(grant)", ClusterRoles.statement(granting: grant, to: role))
        }
        return (statements, changes)
    }

    private func isPassword(_ verifier: String?, of role: String) -> Bool {
        guard let verifier, let password = secrets[role] else { return false }
        return PasswordVerifier.matches(verifier, password: password)
    }

    // MARK: Slots

    /// On its upstream each standby has its slot, with WAL held back for it. On the other nodes slots are there for the day when
    /// they are the primary, and hold nothing until then.
    mutating func planSlots(_ state: NodeState, _ states: [NodeState], _ primary: NodeState) {
        let followers = states.filter { $0.name != primary.name && upstream(of: $0, primary, states).name == state.name }
        var wanted = followers.map { (slot: $0.node.slot, isReserved: true) }
        let others = file.nodes.filter { node in node.name != state.name && node.placement != nil }
        for other in others.map(\.slot) where !wanted.contains(where: { $0.slot == other }) {
            wanted.append((other, false))
        }
        wanted.append((file.repository.slot.description, state.name == primary.name))
        // Of one that does not run nobody knows what it has.
        guard !state.exists || state.server != nil else { return }
        let known = state.exists ? state.server!.slots : [:]
        for (slot, isReserved) in wanted {
            // A lost one that somebody needs says so until its standby is made anew; the receiver makes its own, for it must say
            // what it misses.
            guard let found = known[slot] else { planSlot(slot, state, isReserved: isReserved); continue }
            let isIdle = found.isPhysical && !found.isActive && (found.isLost || found.isReserved)
            guard isIdle, !isReserved, isServed(slot, primary, states) else { continue }
            planSlot(slot, state, isReserved: false, from: found.isLost ? "lost" : "holds WAL back for nobody")
        }
        for (slot, _) in wanted {
            if let found = known[slot], !found.isPhysical {
                block(
                    state.name, "the slot \(slot) is a logical one, and its name is needed",
                    hint: "Rename the node, or drop the slot.")
            }
        }
    }

    private mutating func planSlot(_ slot: String, _ state: NodeState, isReserved: Bool, from: String? = nil) {
        let removal = from == nil ? [] : Self.removal(of: slot)
        add(
            state.name, .sql(state.layout, removal + [Self.creation(of: slot, isReserved: isReserved)]),
            [
                .init(
                    action: from == nil ? .create : .change, node: state.name, object: "slot \(slot)", from: from,
                    to: isReserved ? "holds WAL back from now on" : "holds nothing until this node is the primary")
            ],
            needs: [state.name])
    }

    /// Before a standby is made, its slot holds back what it will ask for: one that was for another day holds nothing, and a lost
    /// one never will.
    mutating func reserveSlot(of state: NodeState, on upstream: NodeState) {
        guard upstream.exists, let found = upstream.server?.slots[state.node.slot], found.isPhysical, !found.isActive,
            found.isLost || !found.isReserved
        else { return }
        planSlot(state.node.slot, upstream, isReserved: true, from: found.isLost ? "lost" : "holds nothing")
    }

    /// True where the standby whose slot this is streams from where it should, so that it needs nothing elsewhere.
    private func isServed(_ slot: String, _ primary: NodeState, _ states: [NodeState]) -> Bool {
        if slot == file.repository.slot.description { return primary.server?.slots[slot]?.isActive ?? false }
        guard let follower = states.first(where: { $0.node.slot == slot && $0.name != primary.name }) else {
            return primary.node.slot == slot  // it follows nobody
        }
        let senders = upstream(of: follower, primary, states).server?.senders ?? []
        return senders.contains { $0.slot == slot && $0.state == "streaming" }
    }

    /// Done again, it does nothing.
    private static func creation(of slot: String, isReserved: Bool) -> String {
        """
        SELECT pg_create_physical_replication_slot('\(slot)', \(isReserved))
        WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '\(slot)')
        """
    }

    /// After whatever was done to it, or where it does not stream, a standby must stream through its slot.
    mutating func pendingAwaits(_ states: [NodeState], _ primary: NodeState) -> [Plan.Step] {
        states.filter { $0.name != primary.name }.compactMap { state in
            let upstream = upstream(of: state, primary, states), slot = state.node.slot
            guard !plan.blocked.contains(where: { $0.node == state.name || $0.node == upstream.name }) else { return nil }
            let isTouched = plan.steps.contains { $0.host == state.name || ($0.host == upstream.name && $0.action.stopsServer) }
            let isStreaming = upstream.server?.senders.contains { $0.slot == slot && $0.state == "streaming" } ?? false
            guard isTouched || !isStreaming else { return nil }
            // It asks for WAL when it has replayed all that it has, and it does that late.
            if state.placement.delaySeconds != nil, state.exists {
                if !isStreaming {
                    plan.remarks.append(
                        "\(state.name): it does not stream now; delayed, it does when it has replayed what it has")
                }
                return nil
            }
            let change = Plan.Change(
                action: .change, node: state.name, object: "standby", from: "not streaming",
                to: "streaming from \(upstream.name) through the slot \(slot)")
            return Plan.Step(
                host: upstream.name, action: .awaitStandby(upstream.layout, node: state.name, slot: slot),
                changes: isTouched || isStreaming ? [] : [change], needs: [state.name, upstream.name])
        }
    }

    // MARK: What is not ours

    static let largestClockDifference = 5.0

    /// Clocks that differ make of a moment to restore to another one.
    mutating func remarkClocks() {
        for (host, ahead) in facts.clocksAhead.sorted(by: { $0.key < $1.key }) where abs(ahead) > Self.largestClockDifference {
            plan.remarks.append(
                "\(host): its clock is \(decimal(abs(ahead), places: 0)) s \(ahead > 0 ? "ahead of" : "behind") this host's; let both follow NTP"
            )
        }
    }

    mutating func remarkForeign(_ states: [NodeState]) {
        let own = Set((file.nodes + removed).map(\.slot) + [file.repository.slot.description])
        for state in states {
            if state.exists, state.control?.hasChecksums == false, state.control?.logsHints == false {
                plan.remarks.append(
                    "\(state.name): it has neither data checksums nor wal_log_hints, so pg_rewind cannot be used there; to change "
                        + "that, at the cost of a restart: postgres: { parameters: { wal_log_hints: on } }")
            }
            for (slot, found) in (state.server?.slots ?? [:]).sorted(by: { $0.key < $1.key }) where !own.contains(slot) {
                plan.remarks.append(
                    "\(state.name): the slot \(slot) is not pgark's (\(found.isActive ? "in use" : "not in use")); it is left alone"
                )
            }
            guard !state.isStandby else { continue }  // it has its primary's
            let roles = (state.server?.roles ?? [:]).filter { !ClusterRoles.all.contains($0.key) && $0.key != "postgres" }
            for (role, found) in roles.sorted(by: { $0.key < $1.key }) where found.mayReplicate {
                plan.remarks.append("\(state.name): the role \(role) may replicate and is not pgark's; it is left alone")
            }
        }
    }
}

extension HostAction {
    var stopsServer: Bool {
        switch self {
        case .restart, .start, .createServer, .setAside, .rewind: true
        default: false
        }
    }
}
