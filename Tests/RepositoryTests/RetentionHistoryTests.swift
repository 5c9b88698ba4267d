import PostgresModel
import Repository
import TestSupport
import Testing

private typealias Example = RetentionExample

/// Random histories of a cluster: days on which WAL is written, backups, recoveries to an earlier moment, gaps, upgrades. What
/// could be restored is judged by itself, segment by segment, and not by the types that retention decides with.
private struct RandomHistory {
    struct Point {
        let system: Int
        let history: TimelineHistory
        /// WAL is needed to before this position.
        let lsn: LSN
        let day: Double
    }

    struct System {
        var histories: [TimelineHistory] = [TimelineHistory(of: .first)]
        var position = 1.0
        var segments: Set<WALSegment> = []
        var lastActivity: [TimelineID: Timestamp] = [:]

        var current: TimelineHistory { histories.last! }
    }

    var systems = [System()]
    var backups: [Retention.Backup] = []
    var points: [Point] = []
    private(set) var day = 0.0
    private var random: SeededGenerator

    private static let size = RetentionExample.size

    init(_ seed: Seed, steps: Int) {
        random = seed.generator
        for _ in 0..<steps { step() }
        write(1.2)
    }

    private mutating func step() {
        day += Double.random(in: 0.1...2, using: &random)
        switch random.below(100) {
        case ..<45: write(Double.random(in: 0.05...3, using: &random))
        case ..<75: backup()
        case ..<85: recoverToAnEarlierMoment()
        case ..<90: systems[systems.count - 1].position += Double(random.below(3)) + 1.5  // nobody received that
        case ..<92: systems.append(System())
        default: if !backups.isEmpty { backups[random.below(backups.count)].isPinned.toggle() }
        }
    }

    private mutating func write(_ amount: Double) {
        var system = systems.removeLast()
        let timeline = system.current.timeline
        let end = Example.lsn(system.position + amount)
        var segment = WALSegment(timeline: timeline, holding: Example.lsn(system.position), size: Self.size)
        while segment.start(size: Self.size) < end {
            system.segments.insert(segment)
            segment = segment.next
        }
        system.position += amount
        system.lastActivity[timeline] = Example.time(day)
        points.append(Point(system: systems.count, history: system.current, lsn: end, day: day))
        systems.append(system)
    }

    private mutating func backup() {
        let begin = systems[systems.count - 1].position
        write(0.4)
        backups.append(
            Retention.Backup(
                id: "b\(backups.count)", system: systems.count - 1, timeline: systems.last!.current.timeline,
                beginLSN: Example.lsn(begin), endLSN: Example.lsn(begin + 0.3), endTime: Example.time(day),
                isDamaged: random.below(8) == 0))
    }

    /// The new timeline leaves any earlier one at any place where a backup ended, or behind it.
    private mutating func recoverToAnEarlierMoment() {
        let own = systems.count - 1
        guard let origin = backups.filter({ $0.system == own }).randomElement(using: &random),
            let history = systems[own].histories.first(where: { $0.timeline == origin.timeline })
        else { return }
        let fork = origin.endLSN + random.below(2 * Self.size.bytes)
        let next = TimelineID(rawValue: UInt32(systems[own].histories.count + 1))
        systems[own].histories.append(
            TimelineHistory(of: next, ancestors: history.ancestors + [.init(timeline: history.timeline, end: fork)]))
        systems[own].position = Double(fork.rawValue) / Double(Self.size.bytes)
        write(0.1)
    }

    // MARK: What retention sees

    func retention(_ policy: RetentionPolicy) -> Retention {
        Retention(policy: policy, backups: backups, systems: systems.map { retained($0) }, now: Example.time(day))
    }

    private func retained(_ system: System) -> Retention.System {
        let segments = system.segments.sorted { ($0.timeline, $0.number) < ($1.timeline, $1.number) }
        var ranges: [WALArchive.Range] = []
        for segment in segments {
            if let last = ranges.last, last.timeline == segment.timeline, last.to == segment.start(size: Self.size) {
                ranges[ranges.count - 1] = .init(
                    timeline: last.timeline, from: last.from, to: segment.end(size: Self.size), segments: last.segments + 1)
            } else {
                ranges.append(
                    .init(
                        timeline: segment.timeline, from: segment.start(size: Self.size), to: segment.end(size: Self.size),
                        segments: 1))
            }
        }
        return Retention.System(
            wal: StoredWAL(
                ranges: ranges, histories: Dictionary(uniqueKeysWithValues: system.histories.map { ($0.timeline, $0) }),
                segmentSize: Self.size), lastActivity: system.lastActivity)
    }

    // MARK: What can be restored

    func canRestore(_ point: Point, from backup: Retention.Backup) -> Bool {
        backup.system == point.system && !backup.isDamaged && backup.endLSN <= point.lsn
            && point.history.contains(backup.endLSN, on: backup.timeline)
            && isThere(from: backup.beginLSN, to: point.lsn, of: point.system, along: point.history)
    }

    /// Of each segment on the way the file of the timeline that holds its last byte that is needed.
    func isThere(from begin: LSN, to end: LSN, of system: Int, along history: TimelineHistory) -> Bool {
        let first = WALSegment(timeline: .first, holding: begin, size: Self.size).number
        let last = WALSegment(timeline: .first, endingAt: end, size: Self.size).number
        return (first...last).allSatisfy { number in
            let lastByte = min(WALSegment(timeline: .first, number: number).end(size: Self.size), end).rawValue - 1
            let timeline = history.timeline(at: LSN(rawValue: lastByte))
            return systems[system].segments.contains(WALSegment(timeline: timeline, number: number))
        }
    }

    func isWhole(_ backup: Retention.Backup) -> Bool {
        let history = systems[backup.system].histories.first { $0.timeline == backup.timeline }!
        return isThere(from: backup.beginLSN, to: backup.endLSN, of: backup.system, along: history)
    }

    /// After retention: without the backups and the segments that go.
    func after(_ retention: Retention) -> RandomHistory {
        var left = self
        let obsolete = Set(retention.obsolete)
        left.backups.removeAll { obsolete.contains($0.id) }
        for index in systems.indices {
            left.systems[index].segments.subtract(retention.removable(Array(systems[index].segments), of: index))
        }
        return left
    }
}

@Suite("Retention over random histories")
struct RetentionHistoryTests {
    private static let policies = [
        RetentionPolicy(windowSeconds: 5 * 86_400), RetentionPolicy(windowSeconds: 12 * 86_400, minimum: 2),
        RetentionPolicy(redundancy: 1), RetentionPolicy(redundancy: 4, minimum: 2),
        RetentionPolicy(windowSeconds: 8 * 86_400, redundancy: 3, minimum: 3),
    ]

    @Test("takes nothing away that a promise needs", arguments: Seed.some(1))
    func promises(seed: Seed) throws {
        print("\(seed)")
        var (backupsGone, segmentsGone, promised) = (0, 0, 0)
        for round in 0..<400 {
            let before = RandomHistory(Seed(value: seed.value &+ UInt64(round)), steps: 15 + round % 60)
            for policy in Self.policies {
                let retention = before.retention(policy)
                let after = before.after(retention)
                promised += try expectPromises(before, after, retention, policy, "round \(round), \(policy), \(seed)")
                backupsGone += before.backups.count - after.backups.count
                for (old, new) in zip(before.systems, after.systems) { segmentsGone += old.segments.count - new.segments.count }
                // What was decided stays decided: nothing more goes when it is done again.
                #expect(after.retention(policy).obsolete == [], "round \(round), \(policy), \(seed)")
            }
        }
        print("\(backupsGone) backups and \(segmentsGone) segments went, \(promised) moments stayed")
        #expect(backupsGone > 1_000 && segmentsGone > 1_000 && promised > 1_000)
    }

    private func expectPromises(
        _ before: RandomHistory, _ after: RandomHistory, _ retention: Retention, _ policy: RetentionPolicy, _ context: String
    ) throws -> Int {
        var promised = 0
        if let begin = retention.windowBegin {
            for point in before.points where Example.time(point.day) >= begin {
                guard before.backups.contains(where: { before.canRestore(point, from: $0) }) else { continue }
                promised += 1
                let isLeft = after.backups.contains { after.canRestore(point, from: $0) }
                #expect(isLeft, "\(point), \(context)")
            }
            let inWindow = Set(before.backups.filter { $0.endTime > begin }.map(\.id))
            #expect(inWindow.isSubset(of: after.backups.map(\.id)), "\(context)")
        }
        let onlyPinned = Set(retention.verdicts.filter { $0.reasons == ["it is pinned"] }.map(\.id))
        for backup in after.backups where !backup.isDamaged {
            let isWhole = after.isWhole(backup)
            if before.isWhole(backup) { #expect(isWhole, "\(backup), \(context)") }
            guard !onlyPinned.contains(backup.id) else { continue }
            for point in before.points where before.canRestore(point, from: backup) {
                promised += 1
                let isLeft = after.canRestore(point, from: backup)
                #expect(isLeft, "\(point) from \(backup), \(context)")
            }
        }
        func usable(_ history: RandomHistory) -> Int { history.backups.count { !$0.isDamaged && history.isWhole($0) } }
        let (left, needed) = (usable(after), min(usable(before), max(policy.minimum, policy.redundancy ?? 0)))
        #expect(left >= needed, "\(context)")
        return promised
    }
}
