import PostgresModel

/// The servers: made, configured, restarted in the right order, followed.
extension Planner {
    mutating func planNodes(_ states: [NodeState], _ primary: NodeState) throws {
        primaryFacts = primary.facts
        let states = withLostOnes(states, primary)
        blockOrphans(states, primary)
        for state in states where !state.exists && state.name != primary.name { requireRoom(state, for: primary) }
        let sorted = [primary] + ordered(states.filter { $0.name != primary.name }, primary)  // upstreams before who follows them
        let usable = sorted.filter { state in !plan.blocked.contains { $0.node == state.name } }
        func upstream(_ state: NodeState) -> NodeState? {
            state.name == primary.name ? nil : self.upstream(of: state, primary, states)
        }
        let desired = Dictionary(
            uniqueKeysWithValues: usable.map { ($0.name, stages(of: $0, upstream: upstream($0), among: usable)) })
        var restarts: [Restart] = []
        if primary.exists, usable.contains(where: { $0.name == primary.name }) {
            try configure(primary, desired[primary.name]![0], &restarts)
        }
        // A standby that is to follow another way should find its role and its slot; but a slot may need a setting that a restart brings.
        let isReady = primary.exists && restarts.isEmpty
        if isReady { planRolesAndSlots(primary, states) }
        for state in usable where state.exists && state.name != primary.name {
            try configure(state, desired[state.name]![0], &restarts)
        }
        planLaterStages(usable, desired)
        planRestarts(restarts, primary)
        if !primary.exists, usable.contains(where: { $0.name == primary.name }) {
            make(primary, nil, desired[primary.name]!.last!)
        }
        if !isReady { planRolesAndSlots(primary, states) }
        for state in usable where state.name != primary.name {
            if !state.exists {
                if case .rewindable(let inPlace) = state.judgement {
                    rewind(state, upstream(state) ?? primary, primary, desired[state.name]!.last!, inPlace: inPlace)
                } else {
                    make(state, upstream(state), desired[state.name]!.last!)
                }
            }
            planSlots(state, states, primary)
        }
        let awaits = pendingAwaits(states, primary)
        plan.steps += awaits
        remarkForeign(states)
    }

    private mutating func planRolesAndSlots(_ primary: NodeState, _ states: [NodeState]) {
        planRoles(primary)
        planSlots(primary, states, primary)
    }

    /// A copy takes what the primary takes, and a few segments of WAL.
    private mutating func requireRoom(_ state: NodeState, for primary: NodeState) {
        if state.judgement == .rewindable(inPlace: true) { return }
        let needed = (primary.server?.databaseBytes ?? 0) + (512 << 20)
        guard state.facts.freeBytes < needed else { return }
        block(
            state.name,
            "a copy of \(primary.name) needs \(ByteCount(needed)) in \(state.layout.data), and \(ByteCount(state.facts.freeBytes)) are free",
            hint: state.judgement == .rewindable(inPlace: false)
                ? "Make room there, or do without a copy of what it has: pgark rejoin \(state.name) --in-place"
                : "Make room there, or name another place with \"data\".")
    }

    /// One that is to follow a node of which nothing is known stays as it is: to follow another for a while helps nobody.
    private mutating func blockOrphans(_ states: [NodeState], _ primary: NodeState) {
        for state in states where state.name != primary.name && state.placement.upstream != state.name {
            guard let upstream = state.placement.upstream, !states.contains(where: { $0.name == upstream }) else { continue }
            block(
                state.name, "\(upstream), which it follows, could not be looked at",
                hint: "Bring \(upstream) back, or let it follow another: nodes.\(state.name).upstream in \(file.path)")
        }
    }

    func upstream(of state: NodeState, _ primary: NodeState, _ states: [NodeState]) -> NodeState {
        states.first { $0.name == state.placement.upstream && $0.name != state.name } ?? primary
    }

    private func ordered(_ states: [NodeState], _ primary: NodeState) -> [NodeState] {
        func depth(_ state: NodeState, _ seen: Set<String> = []) -> Int {
            guard let name = state.placement.upstream, name != primary.name, !seen.contains(name),
                let next = states.first(where: { $0.name == name })
            else { return 0 }
            return 1 + depth(next, seen.union([state.name]))
        }
        return states.enumerated().sorted { (depth($0.element), $0.offset) < (depth($1.element), $1.offset) }.map(\.element)
    }

    func desired(_ state: NodeState, upstream: NodeState?, _ tls: TLSStage) -> DesiredFiles {
        DesiredFiles(
            file: file, node: state.node, placement: state.placement, layout: state.layout, major: state.major,
            hasChecksums: state.control?.hasChecksums ?? true, upstream: upstream?.node,
            repositoryAddress: file.repository.host ?? facts.repositoryAddresses[state.name], untouched: untouched(state),
            required: RequiredSettings(
                own: state.facts, primary: primaryFacts, nodes: file.nodes.count { $0.placement != nil }
            ).settings,
            tls: tls)
    }

    // MARK: One server

    struct Restart {
        let state: NodeState
        let changes: [Plan.Change]
        /// Settings of which it would have less than before.
        let lowered: [String: Int]
    }

    private mutating func make(_ state: NodeState, _ upstream: NodeState?, _ desired: DesiredFiles) {
        let needs = upstream.map { [$0.name] } ?? []
        if state.judgement == .replaceable {
            if let link = state.facts.walLink {
                plan.remarks.append("\(state.name): its pg_wal was \(link); the new server has it in its data directory")
            }
            add(
                state.name, .setAside(state.layout),
                [
                    .init(
                        action: .remove, node: state.name,
                        object: state.facts.server?.isPristine == true ? "server that nobody used" : "server",
                        from: state.layout.data,
                        to: "kept beside as \(state.layout.data).before-pgark", effect: .restart)
                ], needs: needs)
        }
        if let upstream {
            reserveSlot(of: state, on: upstream)
            let seed = seed(upstream)
            let copy: HostAction =
                seed == nil
                ? .copyStandby(
                    state.layout, upstream: desired.conninfo(to: upstream.placement), slot: state.node.slot,
                    desired.files)
                : .adoptStandby(state.layout, desired.files)
            let bytes = seed?.bytes ?? upstream.server?.databaseBytes
            let source = seed.map { ", from backup \($0.backup)" } ?? ", copied from it"
            add(
                state.name, copy,
                [
                    .init(
                        action: .create, node: state.name, object: "standby",
                        to: "of \(upstream.name)\(source), in \(state.layout.data), port \(state.placement.port)")
                ], needs: needs)
            plan.steps[plan.steps.count - 1].copiedBytes = bytes ?? 0
        } else {
            add(
                state.name, .createServer(state.layout, node: state.name, desired.files),
                [
                    .init(
                        action: .create, node: state.name, object: "primary",
                        to: "PostgreSQL \(state.major), in \(state.layout.data), port \(state.placement.port)")
                ])
        }
        add(state.name, .start(state.layout), [], needs: needs)
    }

    /// What the primary wrote since the fork is brought over, and what only this node has goes; on a copy, unless it is in place.
    private mutating func rewind(
        _ state: NodeState, _ upstream: NodeState, _ primary: NodeState, _ desired: DesiredFiles, inPlace: Bool
    ) {
        let needs = [primary.name, upstream.name]
        // Until its first checkpoint a promoted server's control file has its old timeline, and pg_rewind would be misled.
        add(primary.name, .sql(primary.layout, ["CHECKPOINT"]), [], needs: [primary.name])
        reserveSlot(of: state, on: upstream)
        let source = ConnectionText.make(
            desired.conninfoFields(to: primary.placement) + [("dbname", "postgres"), ("options", "-c statement_timeout=0")])
        add(
            state.name, .rewind(state.layout, source: source, desired.files, inPlace: inPlace),
            [
                .init(
                    action: .change, node: state.name, object: "data directory", from: state.layout.data,
                    to: "rewound to where its history left \(primary.name)'s"
                        + (inPlace ? "" : "; what it was is kept beside as \(state.layout.data).before-pgark"),
                    effect: .restart)
            ], needs: needs)
        if !inPlace { plan.steps[plan.steps.count - 1].copiedBytes = primary.server?.databaseBytes ?? 0 }
        add(state.name, .start(state.layout), [], needs: needs)
        if inPlace { plan.mayLoseData = true }
    }

    /// A backup that leads to what the receiver holds back on the primary: then nothing is missing in between.
    private func seed(_ upstream: NodeState) -> RepositoryHostFacts.Seed? {
        guard let found = facts.repository.facts?.repository, found.receiverIsRunning, let seed = found.seed,
            seed.systemIdentifier == upstream.system, seed.timeline == upstream.server?.timeline, seed.major == upstream.major
        else { return nil }
        return seed
    }

    private mutating func configure(_ state: NodeState, _ desired: DesiredFiles, _ restarts: inout [Restart]) throws {
        let files = desired.files
        let hidden = hiddenSettings(state, desired)
        let settings = settingChanges(state, desired).filter { change in !hidden.contains { $0.object == change.object } }
        var changes = hidden + settings + (try otherFileChanges(state, files))
        if state.facts.include != files.include, settings.isEmpty {
            changes.append(.init(action: .change, node: state.name, object: state.layout.include, to: "as the cluster file says"))
        }
        if !hidden.isEmpty { add(state.name, .resetSettings(state.layout, hidden.map { String($0.object.dropFirst(8)) }), []) }
        if !changes.isEmpty { add(state.name, .writeFiles(state.layout, files), changes) }
        guard state.judgement == .running else {
            return add(
                state.name, .start(state.layout),
                [.init(action: .change, node: state.name, object: "server", from: "stopped", to: "running")],
                needs: desired.upstream.map { [$0.name] } ?? [])
        }
        if !changes.isEmpty {
            add(state.name, .reload(state.layout), [])
        } else if let changed = state.facts.filesChanged, let read = state.server?.filesRead, changed > read {
            add(
                state.name, .reload(state.layout),
                [
                    .init(
                        action: .change, node: state.name, object: "configuration files",
                        from: "changed since the server read them",
                        to: "read again", effect: .reload)
                ])
        }
        if let error = state.server?.fileErrors.first, changes.isEmpty {
            return block(
                state.name, "its configuration has an error, with which it would not start: \(error)",
                hint: "Correct it there, or in \(file.path) where it comes from that; then: pgark apply")
        }
        awaitTLS(state, desired)
        let pending = pendingRestarts(state, desired, changes)
        if changes.contains(where: { $0.effect == .restart }) || !pending.isEmpty {
            restarts.append(Restart(state: state, changes: pending, lowered: lowered(state, desired)))
        }
    }

    /// Settings of ours that ALTER SYSTEM hides, and on a primary what a restore left of following another.
    private func hiddenSettings(_ state: NodeState, _ desired: DesiredFiles) -> [Plan.Change] {
        state.facts.autoSettings.sorted { $0.key < $1.key }.compactMap { name, value in
            let wanted = desired.settings.first { $0.name == name }?.value
            guard wanted != nil || ["primary_conninfo", "primary_slot_name"].contains(name) else { return nil }
            return .init(
                action: wanted == nil ? .remove : .change, node: state.name, object: "setting \(name)",
                from: "\(shown(name, value)) (by ALTER SYSTEM)", to: wanted, effect: effect(of: name, state, wanted))
        }
    }

    /// What a person wrote may hold a password.
    private func shown(_ setting: String, _ value: String) -> String {
        setting == "primary_conninfo" ? ConnectionText.withoutSecret(value) : value
    }

    /// What our file would say otherwise than it does.
    func settingChanges(_ state: NodeState, _ desired: DesiredFiles) -> [Plan.Change] {
        let old = SettingsText.values(state.facts.include ?? ""), new = desired.settings
        var changes: [Plan.Change] = []
        for (name, value) in new where old[name] != value {
            let current = (old[name] ?? state.server?.settings[name]?.text).map { shown(name, $0) }
            changes.append(
                .init(
                    action: old[name] == nil ? .create : .change, node: state.name, object: "setting \(name)", from: current,
                    to: value,
                    effect: effect(of: name, state, value)))
        }
        for (name, value) in old.sorted(by: { $0.key < $1.key }) where !new.contains(where: { $0.name == name }) {
            changes.append(
                .init(
                    action: .remove, node: state.name, object: "setting \(name)", from: value,
                    effect: effect(of: name, state, nil)))
        }
        return changes
    }

    /// What it takes until a setting counts; nothing where the server has that value already.
    private func effect(of name: String, _ state: NodeState, _ value: String?) -> Plan.Change.Effect {
        guard state.judgement == .running else { return .none }
        if let value, let current = state.server?.settings[name], SettingValue.isSame(value, current.text) { return .reload }
        let context = state.server?.settings[name]?.context ?? state.facts.contexts[name]
        return context == "postmaster" ? .restart : .reload
    }

    private func otherFileChanges(_ state: NodeState, _ files: InstanceFiles) throws -> [Plan.Change] {
        var changes: [Plan.Change] = []
        let effect: Plan.Change.Effect = state.judgement == .running ? .reload : .none
        if !state.facts.includesOurs {
            changes.append(
                .init(
                    action: .create, node: state.name, object: "line in \(state.layout.mainFile)",
                    to: "include \(state.layout.include)",
                    effect: effect))
        }
        changes += accessChanges(state, files)
        if try !secrets.isFilled(files.passfile, state.facts.passfile) {
            changes.append(
                .init(
                    action: state.facts.passfile == nil ? .create : .change, node: state.name, object: state.layout.passfile,
                    to: "the passwords that a standby there needs"))
        }
        return changes
    }

    func accessChanges(_ state: NodeState, _ files: InstanceFiles) -> [Plan.Change] {
        var changes: [Plan.Change] = []
        let effect: Plan.Change.Effect = state.judgement == .running ? .reload : .none
        let old = state.facts.accessRules.flatMap { AccessBlock.lines(in: $0) }
        if old != files.accessRules {
            let gone = (old ?? []).filter { !files.accessRules.contains($0) }
            let added = files.accessRules.filter { !(old ?? []).contains($0) }
            for line in gone {
                changes.append(
                    .init(action: .remove, node: state.name, object: "line of pg_hba.conf", from: line, effect: effect))
            }
            for line in added {
                changes.append(.init(action: .create, node: state.name, object: "line of pg_hba.conf", to: line, effect: effect))
            }
            if gone.isEmpty, added.isEmpty {
                changes.append(
                    .init(
                        action: .change, node: state.name, object: "pg_hba.conf", to: "pgark's block, in its order",
                        effect: effect))
            }
        }
        return changes
    }

    // MARK: Restarts

    /// Settings that are in the files and wait for a restart.
    private func pendingRestarts(_ state: NodeState, _ desired: DesiredFiles, _ changes: [Plan.Change]) -> [Plan.Change] {
        desired.settings.compactMap { name, value in
            guard let setting = state.server?.settings[name], setting.isPending,
                !changes.contains(where: { $0.object == "setting \(name)" })
            else { return nil }
            return .init(
                action: .change, node: state.name, object: "setting \(name)", from: setting.text, to: value, effect: .restart)
        }
    }

    private func lowered(_ state: NodeState, _ desired: DesiredFiles) -> [String: Int] {
        var lowered: [String: Int] = [:]
        for name in ManagedParameters.matchedByStandbys {
            guard let current = state.server?.settings[name].flatMap({ Int($0.value) }),
                let wanted = desired.settings.first(where: { $0.name == name }).flatMap({ Int($0.value) }), wanted < current
            else { continue }
            lowered[name] = wanted
        }
        return lowered
    }

    /// Where something is lowered the primary goes first, else the standbys: a standby never has less than its primary.
    private mutating func planRestarts(_ restarts: [Restart], _ primary: NodeState) {
        let isLowering = restarts.contains { $0.state.name == primary.name && !$0.lowered.isEmpty }
        let sorted =
            restarts.filter { ($0.state.name == primary.name) == isLowering }
            + restarts.filter { ($0.state.name == primary.name) != isLowering }
        for restart in sorted {
            let isPrimary = restart.state.name == primary.name
            add(
                restart.state.name, .restart(restart.state.layout, lowered: isPrimary ? [:] : restart.lowered),
                restart.changes + [
                    .init(
                        action: .change, node: restart.state.name, object: "server", from: "running", to: "restarted",
                        effect: .restart)
                ], needs: sorted.prefix { $0.state.name != restart.state.name }.map(\.state.name))
            guard isPrimary else { continue }
            plan.steps[plan.steps.count - 1].writeOutageSeconds = Self.restartSeconds
            plan.steps[plan.steps.count - 1].outage = .within
        }
    }

    /// What a restart of an ordinary server takes, when its checkpoint was made before.
    private static let restartSeconds = 2.0
}

/// Values of settings as people write them.
enum SettingValue {
    /// True where two texts mean the same: `on` and `true`, `1GB` and `1024MB`.
    static func isSame(_ a: String, _ b: String) -> Bool {
        if a == b { return true }
        if let a = truth(a), let b = truth(b) { return a == b }
        if let a = amount(a), let b = amount(b) { return a == b }
        return false
    }

    private static func truth(_ text: String) -> Bool? {
        ["on": true, "true": true, "yes": true, "off": false, "false": false, "no": false][text.lowercased()]
    }

    private static func amount(_ text: String) -> [String: Double]? {
        let digits = text.prefix { $0.isNumber || $0 == "." || $0 == "-" }
        guard let number = Double(digits) else { return nil }
        let unit = text.dropFirst(digits.count).trimmed
        let bytes = ["B": 1.0, "kB": 1024, "MB": 1_048_576, "GB": 1_073_741_824, "TB": 1_099_511_627_776]
        let times = ["us": 0.001, "ms": 1.0, "s": 1000, "min": 60000, "h": 3_600_000, "d": 86_400_000]
        if unit.isEmpty { return ["": number] }
        if let factor = bytes[unit] { return ["B": number * factor] }
        return times[unit].map { ["ms": number * $0] }
    }
}
