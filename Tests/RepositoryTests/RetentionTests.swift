import PostgresModel
import Repository
import TestSupport
import Testing

/// Days and positions as a person writes them: day 10 is ten days after the first, and position 10 is segment 10.
struct RetentionExample {
    static let size = RepositoryExample.system.walSegmentSize
    static func time(_ day: Double) -> Timestamp { Timestamp(microseconds: 1_795_000_000_000_000 + Int64(day * 86_400_000_000)) }
    static func lsn(_ segment: Double) -> LSN { LSN(rawValue: UInt64(segment * Double(size.bytes))) }
    static func id(_ timeline: UInt32) -> TimelineID { TimelineID(rawValue: timeline) }

    /// Takes a position's whole segment and ends within it.
    static func backup(
        _ id: String, _ timeline: UInt32, at segment: Double, day: Double, system: Int = 0, pinned: Bool = false,
        damaged: Bool = false
    ) -> Retention.Backup {
        Retention.Backup(
            id: id, system: system, timeline: Self.id(timeline), beginLSN: lsn(segment + 0.1), endLSN: lsn(segment + 0.5),
            endTime: time(day), isPinned: pinned, isDamaged: damaged)
    }

    /// "timeline from to" with segments, and of a timeline the last day on which something was written to it.
    static func system(
        _ ranges: [(UInt32, Double, Double)], forks: [UInt32: [(UInt32, Double)]] = [:], active: [UInt32: Double]
    ) -> Retention.System {
        var histories: [TimelineID: TimelineHistory] = [:]
        for (timeline, ancestors) in forks {
            histories[id(timeline)] = TimelineHistory(
                of: id(timeline), ancestors: ancestors.map { .init(timeline: id($0.0), end: lsn($0.1)) })
        }
        let newest = ranges.map(\.0).max() ?? 1
        let moments = active.filter { $0.key == newest }.map { timeline, day in
            (id(timeline), WALArchive.Moment(timeline: id(timeline), durableLSN: lsn(1), time: time(day)))
        }
        return Retention.System(
            wal: StoredWAL(
                ranges: ranges.map { .init(timeline: id($0.0), from: lsn($0.1), to: lsn($0.2), segments: 1) },
                histories: histories, moments: Dictionary(uniqueKeysWithValues: moments), segmentSize: size),
            lastActivity: Dictionary(uniqueKeysWithValues: active.map { (id($0.key), time($0.value)) }))
    }
}

private typealias Example = RetentionExample

@Suite("Retention")
struct RetentionTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let name: String
        var policy = RetentionPolicy()
        var backups: [Retention.Backup]
        var systems: [Retention.System]
        var now = 30.0
        /// Those that go.
        let obsolete: Set<String>
        /// Of each system and timeline, the first segment that stays.
        var firstKept: [[UInt32: UInt64]] = []

        var testDescription: String { name }
    }

    /// One timeline, a backup on every third day, the server active until day 30.
    private static let chain = (1...9).map { Example.backup("b\($0)", 1, at: Double($0) * 3, day: Double($0) * 3) }
    private static let straight = [Example.system([(1, 1, 31)], active: [1: 30])]
    private static func window(_ days: Double, redundancy: Int? = nil, minimum: Int = 1) -> RetentionPolicy {
        RetentionPolicy(windowSeconds: days * 86_400, redundancy: redundancy, minimum: minimum)
    }
    private static func names(_ numbers: ClosedRange<Int>) -> Set<String> { Set(numbers.map { "b\($0)" }) }
    private static func change(_ id: String, _ body: (inout Retention.Backup) -> Void) -> [Retention.Backup] {
        chain.map { backup in
            var backup = backup
            if backup.id == id { body(&backup) }
            return backup
        }
    }

    /// After a recovery to position 14: timeline 2, on which all goes on; what came after is on a branch that ends on day 20.
    private static let forked = Example.system(
        [(1, 1, 20), (2, 14, 31)], forks: [2: [(1, 14.3)]], active: [1: 20, 2: 30])
    private static let forkedBackups = [
        Example.backup("a", 1, at: 3, day: 3), Example.backup("b", 1, at: 9, day: 9), Example.backup("c", 1, at: 15, day: 15),
        Example.backup("d", 1, at: 18, day: 18), Example.backup("e", 2, at: 17, day: 21), Example.backup("f", 2, at: 25, day: 27),
    ]

    static let cases: [Case] = [
        Case(name: "without a rule keeps everything", backups: chain, systems: straight, obsolete: [], firstKept: [[1: 1]]),
        Case(
            name: "a window keeps what is in it and the newest before", policy: window(7), backups: chain, systems: straight,
            obsolete: names(1...6), firstKept: [[1: 21]]),
        Case(
            name: "a window that begins with a backup needs no other", policy: window(9), backups: chain, systems: straight,
            obsolete: names(1...6), firstKept: [[1: 21]]),
        Case(
            name: "a window longer than all there is keeps all", policy: window(90), backups: chain, systems: straight,
            obsolete: [], firstKept: [[1: 3]]),
        Case(
            name: "a damaged backup does not carry a window", policy: window(7),
            backups: change("b7") { $0.isDamaged = true }, systems: straight, obsolete: names(1...5),
            firstKept: [[1: 18]]),
        Case(
            name: "nor does one whose WAL is incomplete", policy: window(7), backups: chain,
            systems: [Example.system([(1, 1, 21.3), (1, 22, 31)], active: [1: 30])], obsolete: names(1...5),
            firstKept: [[1: 18]]),
        Case(
            name: "redundancy keeps the newest", policy: RetentionPolicy(redundancy: 3), backups: chain, systems: straight,
            obsolete: names(1...6), firstKept: [[1: 21]]),
        Case(
            name: "redundancy does not count damaged ones", policy: RetentionPolicy(redundancy: 3),
            backups: change("b8") { $0.isDamaged = true }, systems: straight, obsolete: names(1...5),
            firstKept: [[1: 18]]),
        Case(
            name: "of a window and a redundancy, what either keeps", policy: window(7, redundancy: 5), backups: chain,
            systems: straight, obsolete: names(1...4), firstKept: [[1: 15]]),
        Case(
            name: "never fewer than the minimum", policy: window(0.1, minimum: 4), backups: chain, systems: straight,
            obsolete: names(1...5), firstKept: [[1: 18]]),
        Case(
            name: "a pinned backup stays with its own WAL", policy: RetentionPolicy(redundancy: 2),
            backups: change("b2") { $0.isPinned = true }, systems: straight, obsolete: names(1...7).subtracting(["b2"]),
            firstKept: [[1: 6]]),
        Case(
            name: "a clock that is ahead makes nothing obsolete", policy: window(7), backups: chain, systems: straight,
            now: 400, obsolete: names(1...6), firstKept: [[1: 21]]),
        Case(
            name: "a clock that is behind makes less obsolete", policy: window(7), backups: chain, systems: straight, now: 20,
            obsolete: names(1...3), firstKept: [[1: 12]]),
        Case(
            name: "of a cluster that fell silent the window stays where it was", policy: window(7), backups: chain,
            systems: [Example.system([(1, 1, 28)], active: [1: 28])], now: 60, obsolete: names(1...6), firstKept: [[1: 21]]),
        Case(
            name: "the only backup stays, however old", policy: window(7), backups: [chain[0]], systems: straight, obsolete: [],
            firstKept: [[1: 3]]),
        Case(
            name: "without a backup no WAL goes", policy: window(7), backups: [], systems: straight, obsolete: [],
            firstKept: [[1: 1]]),
        Case(
            name: "where no backup is whole, nothing is obsolete that was in the window", policy: window(7),
            backups: [Example.backup("x", 1, at: 28, day: 28, damaged: true)], systems: straight, obsolete: [],
            firstKept: [[1: 1]]),
        Case(
            name: "where every backup is damaged, as many stay as if none were", policy: RetentionPolicy(redundancy: 3),
            backups: chain.map { backup in
                var backup = backup
                backup.isDamaged = true
                return backup
            }, systems: straight, obsolete: names(1...6), firstKept: [[1: 1]]),
        Case(
            name: "where no WAL is seen, as many backups stay as if it were there", policy: window(7, redundancy: 2),
            backups: chain,
            systems: [Example.system([], active: [:])], obsolete: names(1...6), firstKept: [[:]]),
        // Forks.
        Case(
            name: "an abandoned branch stays while the window looks at it", policy: window(14), backups: forkedBackups,
            systems: [forked], obsolete: ["a"], firstKept: [[1: 9, 2: 14]]),
        Case(
            name: "and goes when the window has passed it", policy: window(5), backups: forkedBackups, systems: [forked],
            obsolete: ["a", "b", "c", "d"], firstKept: [[1: .max, 2: 17]]),
        Case(
            name: "redundancy counts on the current timeline as well", policy: RetentionPolicy(redundancy: 3),
            backups: forkedBackups, systems: [forked], obsolete: ["a", "c"], firstKept: [[1: 9, 2: 14]]),
        Case(
            name: "a timeline that no backup leads to keeps its WAL", policy: RetentionPolicy(redundancy: 1),
            backups: [Example.backup("a", 1, at: 3, day: 3), Example.backup("b", 1, at: 15, day: 15)], systems: [forked],
            obsolete: [], firstKept: [[1: 3, 2: 14]]),
        // Upgrades: timeline 1 and low positions again, under a new identifier.
        Case(
            name: "after an upgrade the old backups are the older ones", policy: RetentionPolicy(redundancy: 2),
            backups: chain.prefix(3) + [
                Example.backup("n1", 1, at: 1, day: 12, system: 1), Example.backup("n2", 1, at: 2, day: 14, system: 1),
            ],
            systems: [Example.system([(1, 1, 11)], active: [1: 10]), Example.system([(1, 1, 5)], active: [1: 15])], now: 15,
            obsolete: names(1...3), firstKept: [[1: .max], [1: 1]]),
        Case(
            name: "right after an upgrade the old ones still count", policy: RetentionPolicy(redundancy: 2),
            backups: chain.prefix(3) + [Example.backup("n1", 1, at: 1, day: 12, system: 1)],
            systems: [Example.system([(1, 1, 11)], active: [1: 10]), Example.system([(1, 1, 5)], active: [1: 15])], now: 15,
            obsolete: names(1...2), firstKept: [[1: 9], [1: 1]]),
        Case(
            name: "a window reaches back over an upgrade", policy: window(7),
            backups: chain.prefix(3) + [Example.backup("n1", 1, at: 1, day: 12, system: 1)],
            systems: [Example.system([(1, 1, 11)], active: [1: 10]), Example.system([(1, 1, 5)], active: [1: 15])], now: 15,
            obsolete: ["b1"], firstKept: [[1: 6], [1: 1]]),
    ]

    @Test(arguments: cases)
    func keepsWhatIsPromised(_ example: Case) {
        let retention = Retention(
            policy: example.policy, backups: Array(example.backups), systems: example.systems, now: Example.time(example.now))
        let obsolete = Set(retention.obsolete)
        #expect(obsolete == example.obsolete, "\(retention.verdicts)")
        for verdict in retention.verdicts { #expect(!verdict.reasons.isEmpty) }
        for (index, firstKept) in example.firstKept.enumerated() {
            for (timeline, first) in firstKept {
                let segments = Self.segments(example.systems[index], timeline)
                let removable = Set(retention.removable(segments, of: index))
                let kept = segments.filter { !removable.contains($0) }.map(\.number)
                #expect(kept.first ?? .max == first, "timeline \(timeline): \(kept)")
            }
        }
    }

    @Test("a pinned backup keeps no more than from its begin to its end")
    func pinned() {
        let backups = Self.change("b2") { $0.isPinned = true }
        let retention = Retention(
            policy: RetentionPolicy(redundancy: 2), backups: backups, systems: Self.straight, now: Example.time(30))
        let segments = Self.segments(Self.straight[0], 1)
        let removable = Set(retention.removable(segments, of: 0))
        #expect(segments.filter { !removable.contains($0) }.map(\.number).prefix(4) == [6, 24, 25, 26])
    }

    static func segments(_ system: Retention.System, _ timeline: UInt32) -> [WALSegment] {
        system.wal.ranges.filter { $0.timeline == Example.id(timeline) }.flatMap { range in
            let first = WALSegment(timeline: range.timeline, holding: range.from, size: Example.size).number
            let last = WALSegment(timeline: range.timeline, endingAt: range.to, size: Example.size).number
            return (first...last).map { WALSegment(timeline: range.timeline, number: $0) }
        }
    }
}
