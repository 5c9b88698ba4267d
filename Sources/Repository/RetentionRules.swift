import PostgresModel

/// The rules of a policy, one by one. Each may give a backup a reason to stay; none takes one away.
struct RetentionRules {
    let policy: RetentionPolicy
    /// Newest first.
    let backups: [Retention.Backup]
    let systems: [Retention.System]
    let windowBegin: Timestamp?

    /// By backup, why the policy keeps it.
    var reasons: [String: [String]] {
        if policy.keepsEverything {
            return Dictionary(uniqueKeysWithValues: backups.map { ($0.id, ["no retention policy is set"]) })
        }
        var reasons: [String: [String]] = [:]
        for (backup, reason) in inWindow + anchors + newest {
            if reasons[backup.id]?.contains(reason) != true { reasons[backup.id, default: []].append(reason) }
        }
        for backup in fill(upTo: policy.minimum, beside: Set(reasons.keys)) {
            let reason = "there are to be at least \(policy.minimum)"
            if reasons[backup.id]?.contains(reason) != true { reasons[backup.id, default: []].append(reason) }
        }
        return reasons
    }

    private typealias Reasoned = (Retention.Backup, String)

    /// Whole, and with the WAL that makes it consistent: only such a one counts.
    static func isUsable(_ backup: Retention.Backup, _ systems: [Retention.System]) -> Bool {
        !backup.isDamaged
            && systems[backup.system].wal.isWhole(from: backup.beginLSN, to: backup.endLSN, on: backup.timeline)
    }

    /// Each rule chooses twice: among those that count, and among all. So one that cannot be used is in nobody's place, and is not
    /// taken away sooner than if it could: what is known to be damaged may be most of a company's data.
    private var choices: [[Retention.Backup]] { [backups.filter { Self.isUsable($0, systems) }, backups] }

    // MARK: Recovery window

    private var inWindow: [Reasoned] {
        guard let windowBegin else { return [] }
        return backups.filter { $0.endTime > windowBegin }.map { ($0, "it is in the recovery window") }
    }

    /// For each timeline that was in use within the window: the newest backup from which its begin can be reached.
    private var anchors: [Reasoned] {
        guard let windowBegin else { return [] }
        return systems.indices.flatMap { index in
            histories(of: index, inUseAfter: windowBegin).flatMap { history in
                choices.compactMap { choice in
                    choice.first { $0.system == index && $0.endTime <= windowBegin && leads($0, to: history) }
                        .map { ($0, "the window's begin on timeline \(history.timeline) is reached from it") }
                }
            }
        }
    }

    private func histories(of index: Int, inUseAfter begin: Timestamp) -> [TimelineHistory] {
        let system = systems[index]
        return system.wal.timelines.filter { timeline in
            let isCurrent = index == systems.count - 1 && timeline == system.wal.timelines.last
            return isCurrent || system.lastActivity[timeline].map { $0 >= begin } ?? true
        }.compactMap { system.wal.histories[$0] }
    }

    private func leads(_ backup: Retention.Backup, to history: TimelineHistory) -> Bool {
        history.contains(backup.endLSN, on: backup.timeline)
    }

    // MARK: Redundancy

    /// The newest of all, and the newest of those that lead to the current timeline: after a recovery to an earlier moment
    /// these are not the same.
    private var newest: [Reasoned] {
        guard let redundancy = policy.redundancy else { return [] }
        return choices.flatMap { choice in
            let all = choice.prefix(redundancy).map { ($0, "it is one of the \(redundancy) newest") }
            guard let current = currentHistory else { return all }
            let leading = choice.filter { $0.system == systems.count - 1 && leads($0, to: current) }.prefix(redundancy)
            return all + leading.map { ($0, "it is one of the \(redundancy) newest that lead to timeline \(current.timeline)") }
        }
    }

    private var currentHistory: TimelineHistory? {
        systems.last.flatMap { system in system.wal.timelines.last.flatMap { system.wal.histories[$0] } }
    }

    private func fill(upTo count: Int, beside kept: Set<String>) -> [Retention.Backup] {
        choices.flatMap { choice in
            let missing = count - choice.count { kept.contains($0.id) }
            return missing > 0 ? Array(choice.filter { !kept.contains($0.id) }.prefix(missing)) : []
        }
    }
}
