package import PostgresModel

/// What the cluster file promises to keep.
package struct RetentionPolicy: Sendable, Equatable {
    /// Any moment of so long a time can be restored.
    package var windowSeconds: Double?
    /// So many of the newest backups stay.
    package var redundancy: Int?
    /// Never fewer usable backups than that, whatever else is said; at least one.
    package var minimum: Int

    package init(windowSeconds: Double? = nil, redundancy: Int? = nil, minimum: Int = 1) {
        self.windowSeconds = windowSeconds
        self.redundancy = redundancy
        self.minimum = max(1, minimum)
    }

    /// Without a rule nothing is ever obsolete.
    package var keepsEverything: Bool { windowSeconds == nil && redundancy == nil }
}

/// Decides which backups stay and why, and which WAL they need. Pure: what it knows is in its fields.
///
/// - The window reaches back from the newest moment that the repository knows of, and not from this machine's clock where that
///   is ahead of it: of a cluster that has been silent for long, and under a clock that jumped, nothing becomes obsolete.
/// - Order is by system, timeline and position, never by name.
/// - Promised are: every moment of the window on every timeline that was in use within it; from each backup that the policy
///   keeps, every later moment that could be reached from it; and of a backup that is only pinned, the backup itself.
package struct Retention: Sendable {
    /// A complete backup.
    package struct Backup: Sendable {
        package var id: String
        /// Its system, as an index into `systems`.
        package var system: Int
        package var timeline: TimelineID
        package var beginLSN: LSN
        package var endLSN: LSN
        package var endTime: Timestamp
        package var isPinned: Bool
        /// Known to be damaged: it counts for nothing.
        package var isDamaged: Bool

        package init(
            id: String, system: Int = 0, timeline: TimelineID, beginLSN: LSN, endLSN: LSN, endTime: Timestamp,
            isPinned: Bool = false, isDamaged: Bool = false
        ) {
            self.id = id
            self.system = system
            self.timeline = timeline
            self.beginLSN = beginLSN
            self.endLSN = endLSN
            self.endTime = endTime
            self.isPinned = isPinned
            self.isDamaged = isDamaged
        }
    }

    package struct System: Sendable {
        package var wal: StoredWAL
        /// When the newest stored segment of each timeline was written here.
        package var lastActivity: [TimelineID: Timestamp]

        package init(wal: StoredWAL, lastActivity: [TimelineID: Timestamp]) {
            self.wal = wal
            self.lastActivity = lastActivity
        }
    }

    package struct Verdict: Sendable, Equatable, Encodable {
        package let id: String
        package let isObsolete: Bool
        /// Why it stays, each in itself enough; or why it goes.
        package let reasons: [String]

        private enum CodingKeys: String, CodingKey { case id = "backup", isObsolete = "obsolete", reasons }
    }

    package let policy: RetentionPolicy
    /// Newest first.
    package let backups: [Backup]
    /// Oldest first.
    package let systems: [System]
    /// Where the window begins.
    package let windowBegin: Timestamp?
    private let reasons: [String: [String]]

    package init(policy: RetentionPolicy, backups: [Backup], systems: [System], now: Timestamp) {
        self.policy = policy
        self.systems = systems
        self.backups = backups.sorted {
            ($0.system, $0.timeline, $0.endLSN, $0.endTime) > ($1.system, $1.timeline, $1.endLSN, $1.endTime)
        }
        let evidence = (backups.map(\.endTime) + systems.flatMap { $0.wal.moments.values.compactMap(\.time) }).max()
        let horizon = evidence.map { min($0, now) } ?? now
        windowBegin = policy.windowSeconds.map { horizon - $0 }
        reasons = RetentionRules(policy: policy, backups: self.backups, systems: systems, windowBegin: windowBegin).reasons
    }

    /// Of every backup, newest first.
    package var verdicts: [Verdict] {
        backups.map { backup in
            let kept = (reasons[backup.id] ?? []) + (backup.isPinned ? ["it is pinned"] : [])
            return Verdict(id: backup.id, isObsolete: kept.isEmpty, reasons: kept.isEmpty ? whyNot(backup) : kept)
        }
    }

    package var obsolete: [String] { verdicts.filter(\.isObsolete).map(\.id) }

    private func whyNot(_ backup: Backup) -> [String] {
        var facts: [String] = []
        if let windowBegin { facts.append("it ended before the window, which begins \(windowBegin), and a newer one reaches it") }
        if let redundancy = policy.redundancy { facts.append("it is not one of the \(redundancy) newest") }
        if !isUsable(backup) { facts.append(backup.isDamaged ? "it is damaged" : "its WAL is not complete") }
        return facts
    }

    private func isUsable(_ backup: Backup) -> Bool { RetentionRules.isUsable(backup, systems) }

    // MARK: WAL

    /// Of one system, the segments that no promise needs.
    ///
    /// What lies behind the newest backup of its timeline is never among them, nor what nothing shows to be old.
    package func removable(_ segments: [WALSegment], of system: Int) -> [WALSegment] {
        let staying = backups.filter { reasons[$0.id] != nil && isUsable($0) }
        guard !staying.isEmpty, !policy.keepsEverything else { return [] }
        let needed = needed(of: system)
        return segments.filter { segment in
            let isNeeded = needed[segment.timeline]?.contains { $0.contains(segment.number) } ?? false
            return !isNeeded && isOld(segment, system, staying)
        }
    }

    /// True where something newer that stays shows that a segment is of the past.
    private func isOld(_ segment: WALSegment, _ system: Int, _ staying: [Backup]) -> Bool {
        let size = systems[system].wal.segmentSize
        if staying.contains(where: {
            $0.system == system && $0.timeline == segment.timeline && segment.end(size: size) <= $0.beginLSN
        }) {
            return true
        }
        // Of a timeline that was given up, or of a system: only when the window has passed over all of it.
        guard let newer = staying.first(where: { ($0.system, $0.timeline) > (system, segment.timeline) }) else { return false }
        return systems[system].lastActivity[segment.timeline].map { $0 < windowBegin ?? newer.endTime } ?? false
    }

    /// By timeline, the numbers of the segments that are needed.
    private func needed(of index: Int) -> [TimelineID: [ClosedRange<UInt64>]] {
        let wal = systems[index].wal
        var needed: [TimelineID: [ClosedRange<UInt64>]] = [:]
        func need(_ timeline: TimelineID, from: LSN, to: LSN?) {
            let first = WALSegment(timeline: timeline, holding: from, size: wal.segmentSize).number
            let last = to.map { WALSegment(timeline: timeline, holding: $0, size: wal.segmentSize).number } ?? .max
            if first <= last { needed[timeline, default: []].append(first...last) }
        }
        for backup in backups where backup.system == index && (reasons[backup.id] != nil || backup.isPinned) {
            need(backup.timeline, from: backup.beginLSN, to: backup.endLSN)
            guard reasons[backup.id] != nil else { continue }
            if wal.histories[backup.timeline] == nil { need(backup.timeline, from: backup.beginLSN, to: nil) }
            for history in wal.histories.values where history.contains(backup.endLSN, on: backup.timeline) {
                for step in wal.steps(from: backup.beginLSN, on: backup.timeline, along: history) {
                    need(step.timeline, from: step.from, to: step.to)
                }
            }
        }
        return needed
    }
}
