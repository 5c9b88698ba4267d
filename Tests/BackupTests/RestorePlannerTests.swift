import Backup
import PostgresModel
import Repository
import TestSupport
import Testing

/// A WAL without transactions and restore points, whose last record begins shortly before its end.
private struct QuietWAL: WALLandmarks {
    func search(_ query: LandmarkQuery, in stretch: WALStretch) -> LandmarkSearch { LandmarkSearch() }
    func ending(after time: Timestamp, orAt: Bool, in stretch: WALStretch) -> EndingSearch { .none(lastRecord: nil) }
    func lastRecord(in stretch: WALStretch) -> LSN? { nil }
}

private func id(_ timeline: UInt32) -> TimelineID { TimelineID(rawValue: timeline) }
private func time(_ seconds: Int) -> Timestamp { Timestamp(seconds: 1_795_359_845 + Int64(seconds)) }

/// Segments of 1 MiB: "0/N00000" is the beginning of segment N.
///
/// Timeline 1 was left at 0/508000 for timeline 2, that at 0/904000 for timeline 4. Timeline 3 left timeline 1 at 0/302000.
@Suite("The plan of a restore over timelines")
struct RestorePlannerTests {
    static let histories: [TimelineID: TimelineHistory] = [
        .first: TimelineHistory(of: .first), id(2): history(2, [(1, "0/508000")]), id(3): history(3, [(1, "0/302000")]),
        id(4): history(4, [(1, "0/508000"), (2, "0/904000")]),
    ]

    static func history(_ timeline: UInt32, _ ancestors: [(UInt32, String)]) -> TimelineHistory {
        TimelineHistory(of: id(timeline), ancestors: ancestors.map { .init(timeline: id($0.0), end: LSN($0.1)!) })
    }

    /// "timeline from to", each with its end.
    static func ranges(_ texts: [String]) -> [WALArchive.Range] {
        texts.map { text in
            let parts = text.split(separator: " ").map(String.init)
            return WALArchive.Range(
                timeline: TimelineID(parts[0])!, from: LSN(parts[1])!, to: LSN(parts[2])!, segments: 1)
        }
    }

    static let whole = ["1 0/100000 0/600000", "2 0/500000 0/A00000", "3 0/300000 0/400100", "4 0/900000 0/C00080"]

    static let records = [
        BackupRecord.example(id: "a", begin: "0/200028", end: "0/200100", ended: time(0)),
        BackupRecord.example(id: "b", begin: "0/400028", end: "0/400100", ended: time(100)),
        BackupRecord.example(id: "c", begin: "0/600028", end: "0/700100", ended: time(200), timeline: 2),
        BackupRecord.example(id: "d", begin: "0/A00028", end: "0/A00100", ended: time(300), timeline: 4),
        BackupRecord.example(id: "x", begin: "0/300028", end: "0/302800", ended: time(150), timeline: 3),
    ]

    static func planner(_ ids: String = "abcdx", ranges: [String] = whole, moment: WALArchive.Moment? = nil) -> RestorePlanner {
        RestorePlanner(
            records: records.filter { ids.contains($0.id) }, ranges: Self.ranges(ranges), histories: histories,
            moments: moment.map { [$0.timeline: $0] } ?? [:],
            segmentSize: RepositoryExample.system.walSegmentSize, landmarks: QuietWAL())
    }

    static func plan(
        _ planner: RestorePlanner, _ point: RecoveryTarget.Point = .endOfWAL, on timeline: RecoveryTarget.Timeline = .latest,
        chosen: String? = nil
    ) throws -> RestorePlan {
        try planner.plan(
            RecoveryTarget(point: point, timeline: timeline), chosen: chosen.map { id in records.first { $0.id == id }! })
    }

    // MARK: Which backup

    @Test(
        "to the end of WAL takes the newest backup of the timeline and reaches the WAL's end",
        arguments: [
            (.latest, 4, "d", "0/C00080"), (.current, 4, "d", "0/C00080"), (.id(id(4)), 4, "d", "0/C00080"),
            (.id(id(2)), 2, "c", "0/A00000"),
            (.id(id(1)), 1, "b", "0/600000"), (.id(id(3)), 3, "x", "0/400100"),
        ] as [(RecoveryTarget.Timeline, UInt32, String, String)])
    func endOfWAL(asked: RecoveryTarget.Timeline, timeline: UInt32, backup: String, end: String) throws {
        let plan = try Self.plan(Self.planner(), on: asked)
        #expect(plan.record.id == backup)
        #expect(plan.timeline == id(timeline))
        #expect(plan.walTo == LSN(end)!)
        #expect(plan.walFrom == plan.record.beginLSN)
    }

    @Test(
        "to a position takes the newest backup that ended before it, on the way of the timeline",
        arguments: [
            ("0/200100", "a"), ("0/4000FF", "a"), ("0/400100", "b"), ("0/500000", "b"), ("0/7000FF", "b"), ("0/700100", "c"),
            ("0/A00100", "d"),
            ("0/C00080", "d"),
        ])
    func position(target: String, backup: String) throws {
        #expect(try Self.plan(Self.planner(), .lsn(LSN(target)!)).record.id == backup)
    }

    @Test(
        "to a time takes the newest backup that ended before it",
        arguments: [(0, "a"), (99, "a"), (100, "b"), (199, "b"), (250, "c"), (300, "d")])
    func moment(seconds: Int, backup: String) throws {
        let moment = WALArchive.Moment(timeline: id(4), durableLSN: LSN("0/C00080")!, time: time(400))
        #expect(try Self.plan(Self.planner(moment: moment), .time(time(seconds))).record.id == backup)
    }

    @Test("to a backup's own end takes the newest one")
    func immediate() throws {
        #expect(try Self.plan(Self.planner(), .immediate).record.id == "d")
        #expect(try Self.plan(Self.planner("ab"), .immediate, on: .current).record.id == "b")
    }

    @Test("takes no backup that ended on a timeline behind the place where that was left")
    func behindTheFork() throws {
        // Backup "b" ended on timeline 1 at 0/400100; timeline 3 had left that at 0/302000.
        #expect(try Self.plan(Self.planner("ab"), on: .id(id(3))).record.id == "a")
        let failure = try #require(throws: Failure.self) { try Self.plan(Self.planner("b"), on: .id(id(3))) }
        #expect(failure.code == .noSuitableBackup)
        #expect(failure.details == ["backup b: timeline 3 does not pass through its end (0/400100 of timeline 1)"])
    }

    @Test("of the backup that was named says so, whatever else there is")
    func named() throws {
        let plan = try Self.plan(Self.planner(), chosen: "a")
        #expect(plan.record.id == "a" && plan.reason == "it was named")
        #expect(plan.timeline == id(4) && plan.walTo == LSN("0/C00080"))
        #expect(try Self.plan(Self.planner(), on: .current, chosen: "a").walTo == LSN("0/600000"))
    }

    @Test(
        "is refused where the named backup does not lead to the target",
        arguments: [
            ("d", .lsn(LSN("0/900000")!), .latest, "after the target"), ("c", .time(time(199)), .latest, "after the target"),
            ("x", .endOfWAL, .latest, "does not pass through its end"),
            ("d", .endOfWAL, .id(id(2)), "does not pass through its end"),
        ] as [(String, RecoveryTarget.Point, RecoveryTarget.Timeline, String)])
    func namedUnsuitable(backup: String, point: RecoveryTarget.Point, timeline: RecoveryTarget.Timeline, reason: String) throws {
        let failure = try #require(throws: Failure.self) { try Self.plan(Self.planner(), point, on: timeline, chosen: backup) }
        #expect(
            failure.code == .noSuitableBackup && failure.message.contains(reason) && failure.message.contains("backup \(backup)"))
    }

    @Test(
        "is refused where every backup ended later, and says why of each",
        arguments: [.lsn(LSN("0/2000FF")!), .time(time(-1))] as [RecoveryTarget.Point])
    func tooEarly(point: RecoveryTarget.Point) throws {
        let failure = try #require(throws: Failure.self) { try Self.plan(Self.planner("abcd"), point) }
        #expect(failure.code == .noSuitableBackup && failure.details.count == 4)
        #expect(failure.details.allSatisfy { $0.contains("after the target") })
    }

    @Test("is refused where there is no backup at all")
    func noBackup() throws {
        let failure = try #require(throws: Failure.self) { try Self.plan(Self.planner("")) }
        #expect(failure.code == .noSuitableBackup && failure.hint == "Take one: pgark backup")
    }

    @Test("is refused for a timeline whose history is not stored")
    func noHistory() throws {
        let failure = try #require(throws: Failure.self) { try Self.plan(Self.planner(), on: .id(id(7))) }
        #expect(failure.code == .targetUnreachable && failure.details == ["timelines with a history: 1, 2, 3, 4"])
    }

    // MARK: Known damage

    /// The plan where verifications found damage in some of the backups.
    static func plan(
        damaged: String, of ids: String = "abcdx", ranges: [String] = whole, _ point: RecoveryTarget.Point = .endOfWAL,
        on timeline: RecoveryTarget.Timeline = .latest, chosen: String? = nil
    ) throws -> RestorePlan {
        var planner = planner(ids, ranges: ranges)
        planner.damaged = Set(damaged.map(String.init))
        return try plan(planner, point, on: timeline, chosen: chosen)
    }

    @Test(
        "passes over a backup that is known to be damaged, and says so",
        arguments: [
            ("d", .endOfWAL, "c"), ("cd", .endOfWAL, "b"), ("bcd", .endOfWAL, "a"), ("bd", .endOfWAL, "c"),
            ("d", .immediate, "c"), ("cd", .lsn(LSN("0/A00200")!), "b"), ("c", .lsn(LSN("0/700100")!), "b"),
        ] as [(String, RecoveryTarget.Point, String)])
    func damaged(damaged: String, point: RecoveryTarget.Point, backup: String) throws {
        let plan = try Self.plan(damaged: damaged, point)
        #expect(plan.record.id == backup && plan.reason == "the newest one that is not known to be damaged")
        #expect(plan.remarks.count == 1 && plan.remarks[0].contains("found damage in it: pgark show \(damaged.last!)"))
        #expect(try plan.walTo == Self.plan(damaged: "", point).walTo && plan.timeline == id(4))
    }

    @Test(
        "takes a damaged backup where no other leads to the target, or where it was named, and says so",
        arguments: [("abcd", nil, "d"), ("abcdx", nil, "d"), ("d", "d", "d"), ("b", "b", "b")] as [(String, String?, String)])
    func onlyDamaged(damaged: String, chosen: String?, backup: String) throws {
        let plan = try Self.plan(damaged: damaged, chosen: chosen)
        #expect(plan.record.id == backup && plan.remarks.count == 1)
        #expect(plan.remarks[0].hasPrefix("a verification found damage in this backup"))
    }

    @Test("takes no undamaged backup from which the WAL does not reach as far as from the damaged one")
    func undamagedBehindGap() throws {
        let ranges = ["1 0/100000 0/300000", "1 0/400000 0/600000"]
        #expect(try Self.plan(damaged: "b", of: "ab", ranges: ranges, on: .id(id(1))).record.id == "b")
        #expect(try Self.plan(damaged: "b", of: "ab", ranges: ranges, .immediate, on: .id(id(1))).record.id == "a")
        // Without the WAL that makes it consistent the damaged one leads nowhere.
        let cut = ["1 0/100000 0/400000"]
        #expect(try Self.plan(damaged: "b", of: "ab", ranges: cut, on: .id(id(1))).record.id == "a")
    }

    @Test("has nothing to say of damage in backups that it does not need", arguments: ["", "abc", "abcx"])
    func otherDamaged(damaged: String) throws {
        let plan = try Self.plan(damaged: damaged)
        #expect(plan.record.id == "d" && plan.remarks == [] && plan.reason != "the newest one that is not known to be damaged")
    }

    // MARK: Gaps

    @Test(
        "reaches as far as the WAL has no gap",
        arguments: [
            // A gap within a timeline that is still needed; one behind the place where it was left; one in the last timeline.
            ("a", ["1 0/100000 0/300000", "1 0/400000 0/600000"], 1, "0/300000"),
            ("a", ["1 0/200000 0/500000", "2 0/500000 0/600000"], 2, "0/600000"),
            ("a", ["1 0/200000 0/4FFFFF", "2 0/500000 0/600000"], 2, "0/4FFFFF"),
            ("a", ["1 0/200000 0/600000", "2 0/600000 0/700000"], 2, "0/500000"),
            ("c", ["2 0/600000 0/800000", "4 0/900000 0/C00000"], 4, "0/800000"),
            ("c", ["2 0/600000 0/900000", "4 0/900000 0/C00000"], 4, "0/C00000"),
            ("a", ["1 0/200000 0/200100"], 1, "0/200100"),
        ] as [(String, [String], UInt32, String)])
    func gaps(backup: String, ranges: [String], timeline: UInt32, end: String) throws {
        let planner = Self.planner(backup, ranges: ranges)
        #expect(try Self.plan(planner, .immediate, on: .id(id(timeline))).walTo == LSN(end)!)
    }

    @Test(
        "is refused where the WAL does not even make the backup consistent",
        arguments: [
            ("a", []), ("a", ["1 0/100000 0/200000"]), ("a", ["1 0/300000 0/600000"]), ("a", ["1 0/200000 0/2000FF"]),
            ("a", ["2 0/200000 0/600000"]),
            ("c", ["2 0/500000 0/600000", "2 0/700000 0/800000"]), ("c", ["2 0/600028 0/800000"]),
        ] as [(String, [String])])
    func inconsistent(backup: String, ranges: [String]) throws {
        let planner = Self.planner(backup, ranges: ranges)
        let failure = try #require(throws: Failure.self) { try Self.plan(planner, on: .current) }
        #expect(failure.code == .targetUnreachable)
        #expect(failure.message == "could not restore backup \(backup): the WAL that it needs to be consistent is missing")
    }

    @Test("is refused for a position behind a gap", arguments: [("0/300000", true), ("0/300001", false), ("0/500000", false)])
    func positionBehindGap(target: String, isReached: Bool) throws {
        let planner = Self.planner("a", ranges: ["1 0/200000 0/300000", "1 0/400000 0/600000"])
        do {
            _ = try Self.plan(planner, .lsn(LSN(target)!), on: .id(.first))
            #expect(isReached)
        } catch let failure as Failure {
            #expect(!isReached && failure.code == .targetUnreachable)
        }
    }

    @Test("is refused for the end of WAL where a gap is before it, and says up to where it is possible")
    func gapBeforeEnd() throws {
        let ranges = ["1 0/200000 0/300000", "1 0/400000 0/600000"]
        let failure = try #require(throws: Failure.self) { try Self.plan(Self.planner("a", ranges: ranges), on: .id(.first)) }
        #expect(failure.code == .targetUnreachable && failure.hint?.contains("--target-lsn 0/300000") == true, "\(failure)")
    }

    @Test("is refused for the end of WAL where a receiver had made more durable than there is")
    func lostEnd() throws {
        var planner = Self.planner("a", ranges: ["1 0/200000 0/300000"])
        planner.moments = [.first: .init(timeline: .first, durableLSN: LSN("0/300000")!, time: nil)]
        #expect(try Self.plan(planner, on: .id(.first)).walTo == LSN("0/300000"))
        planner.moments[.first]!.durableLSN = LSN("0/300001")!
        let failure = try #require(throws: Failure.self) { try Self.plan(planner, on: .id(.first)) }
        #expect(failure.code == .targetUnreachable)
    }

    @Test("remarks on bad pages in the backup")
    func remarks() throws {
        #expect(try Self.plan(Self.planner("a"), on: .id(.first)).remarks == [])
        var planner = Self.planner("a")
        planner.records[0].badPages = [.init(path: "base/5/1259", block: 1)]
        #expect(try Self.plan(planner, on: .id(.first)).remarks.contains { $0.contains("1 bad page") })
    }

    // MARK: Random worlds

    @Test("never promises WAL that is not there, whatever is stored", arguments: Seed.some(20))
    func property(seed: Seed) throws {
        var random = seed.generator
        for _ in 0..<100 {
            let stored = Set(
                (0..<24).compactMap { _ in
                    Int.random(in: 0..<4, using: &random) > 0 ? Int.random(in: 0..<56, using: &random) : nil
                })
            // Segment number and timeline of each stored segment, as ranges of one segment each, joined as the archive does.
            var ranges: [WALArchive.Range] = []
            for key in stored.sorted() {
                let timeline = id(UInt32(key / 14 + 1)), from = LSN(rawValue: UInt64(key % 14) << 20)
                if let last = ranges.last, last.timeline == timeline, last.to == from {
                    ranges[ranges.count - 1] = .init(
                        timeline: timeline, from: last.from, to: from + (1 << 20), segments: 1)
                } else {
                    ranges.append(.init(timeline: timeline, from: from, to: from + (1 << 20), segments: 1))
                }
            }
            var planner = Self.planner(ranges: [])
            planner.ranges = ranges
            let asked = id(UInt32.random(in: 1...4, using: &random))
            guard let plan = try? Self.plan(planner, .immediate, on: .id(asked)) else { continue }
            let history = try #require(Self.histories[plan.timeline])
            // To the end of WAL only where nothing lies behind what is reached.
            let isEnd = !ranges.contains { $0.timeline == plan.timeline && $0.to > plan.walTo }
            let whole = try? Self.plan(planner, on: .id(asked), chosen: plan.record.id)
            #expect(whole == nil || (isEnd && whole?.walTo == plan.walTo))
            #expect(history.contains(plan.record.endLSN, on: plan.record.timeline))
            #expect(plan.walTo >= plan.record.endLSN)
            // Every byte of the way is in a stored segment of the timeline that has it, or of one that begins with its copy.
            var position = planner.segmentSize.start(of: plan.walFrom)
            while position < plan.walTo {
                let first = max(history.timeline(at: position), plan.record.timeline)
                let last = history.timeline(at: position + ((1 << 20) - 1))
                #expect(
                    ranges.contains {
                        $0.timeline >= first && $0.timeline <= max(first, last) && $0.from <= position && position < $0.to
                    },
                    "\(position) of timeline \(first)")
                position = position + (1 << 20)
            }
        }
    }
}
