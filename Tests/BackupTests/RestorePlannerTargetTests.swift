import Backup
import PostgresModel
import Repository
import Testing

/// Landmarks from a list instead of from WAL; notes what was read.
private final class ListedLandmarks: WALLandmarks {
    let landmarks: [WALLandmark]
    let last: LSN?
    private(set) var searched: [(LSN, LSN)] = []

    init(_ landmarks: [WALLandmark], last: LSN? = nil) {
        self.landmarks = landmarks
        self.last = last
    }

    func search(_ query: LandmarkQuery, in stretch: WALStretch) -> LandmarkSearch {
        searched.append((stretch.from, stretch.to))
        var search = LandmarkSearch()
        for landmark in landmarks where stretch.holds(landmark) && search.match == nil {
            search.see(landmark)
            if query.matches(landmark) { search.match = landmark }
        }
        return search
    }

    func ending(after time: Timestamp, orAt: Bool, in stretch: WALStretch) -> EndingSearch {
        let endings = landmarks.filter { stretch.holds($0) && $0.transaction != nil }
        let later = endings.first { $0.time > time || (orAt && $0.time == time) }
        return later.map { later in .found(later, before: endings.last { $0.start < later.start }) } ?? .none(lastRecord: last)
    }

    func lastRecord(in stretch: WALStretch) -> LSN? { last }
}

/// Backups "a" (0/2000000 to 0/3000000, at 100 s), "b" (0/5000000 to 0/6000000, at 200 s); WAL up to 0/9000000, which the
/// receiver noted as complete at 300 s.
@Suite("The plan of a restore")
struct RestorePlannerTargetTests {
    static func lsn(_ megabytes: Int) -> LSN { LSN(rawValue: UInt64(megabytes) << 20) }
    static func time(_ seconds: Int) -> Timestamp { Timestamp(seconds: 1_795_359_845 + Int64(seconds)) }
    static let size = WALSegmentSize(bytes: 1 << 20)!

    static func backup(_ id: String, _ begin: Int, _ end: Int, at seconds: Int) -> BackupRecord {
        BackupRecord(
            id: id, name: nil, cluster: "shop", node: "node1", method: .full, beginTime: time(seconds - 10),
            endTime: time(seconds),
            beginLSN: lsn(begin), endLSN: lsn(end), timeline: .first, systemIdentifier: SystemIdentifier(rawValue: 7),
            serverVersion: "18.1", fromStandby: false, dataChecksums: true, walSegmentSize: size, dataBytes: 0, readBytes: 0,
            storedBytes: 0, walBytes: 0, durationSeconds: 1, files: 1, compression: "zstd", map: .init(bytes: 0, checksum: 0),
            manifest: .init(bytes: 0, checksum: 0), packs: .init(bytes: 0, checksum: 0), tablespaces: [], configuration: [],
            configurationMissing: [],
            badPages: [])
    }

    static func landmark(_ kind: WALLandmark.Kind, _ megabytes: Int, at seconds: Int = 0) -> WALLandmark {
        WALLandmark(kind: kind, time: time(seconds), start: lsn(megabytes), end: lsn(megabytes) + 104)
    }
    static func point(_ name: String, _ megabytes: Int) -> WALLandmark { landmark(.restorePoint(name), megabytes) }
    static func commit(_ xid: UInt32, _ megabytes: Int, at seconds: Int = 0) -> WALLandmark {
        landmark(.commit(TransactionID(rawValue: xid)), megabytes, at: seconds)
    }

    static let records = [backup("a", 2, 3, at: 100), backup("b", 5, 6, at: 200)]

    private static func plan(
        _ point: RecoveryTarget.Point, _ landmarks: ListedLandmarks, inclusive: Bool = true, chosen: Int? = nil,
        damaged: Set<String> = [], reach: Int = 9, moment: Int? = 300, momentAt: Int = 9
    ) throws -> RestorePlan {
        let range = WALArchive.Range(timeline: .first, from: lsn(1), to: lsn(reach), segments: reach - 1)
        let planner = RestorePlanner(
            records: records, damaged: damaged, ranges: [range], histories: [.first: TimelineHistory(of: .first)],
            moments: moment.map { [.first: .init(timeline: .first, durableLSN: lsn(momentAt), time: time($0))] } ?? [:],
            segmentSize: size,
            landmarks: landmarks)
        return try planner.plan(
            RecoveryTarget(point: point, isInclusive: inclusive), chosen: chosen.map { records[$0] })
    }

    // MARK: Names and transactions

    @Test("takes the newest backup that ended before the restore point", arguments: [(7, "b"), (6, "b"), (4, "a"), (3, "a")])
    func name(place: Int, id: String) throws {
        let plan = try Self.plan(.name("x"), ListedLandmarks([Self.point("other", 3), Self.point("x", place)]))
        #expect(plan.record.id == id)
        #expect(plan.landmark == Self.point("x", place))
        #expect(plan.recoveryTarget.point == plan.target.point)
        #expect(plan.recoveryTarget.timeline == .id(.first))  // by its number, not the newest that there may be later
    }

    @Test(
        "takes the newest backup that ended before the transaction, whose number may have an epoch",
        arguments: ["740", "4294968036"])
    func transaction(number: String) throws {
        let landmarks = ListedLandmarks([Self.commit(740, 4), Self.commit(741, 7)])
        #expect(try Self.plan(.transaction(number), landmarks).record.id == "a")
        #expect(try Self.plan(.transaction("741"), landmarks).record.id == "b")
    }

    @Test("reads no part of the WAL twice, and what only an older backup needs last")
    func reading() throws {
        let recent = ListedLandmarks([Self.point("x", 7)])
        _ = try Self.plan(.name("x"), recent)
        #expect(recent.searched.map(\.0) == [Self.lsn(5)])
        let old = ListedLandmarks([Self.point("x", 4)])
        _ = try Self.plan(.name("x"), old)
        #expect(old.searched.map(\.0) == [Self.lsn(5), Self.lsn(2)])
        #expect(old.searched.map(\.1) == [Self.lsn(9), Self.lsn(5)])
    }

    @Test("of equal names reaches the first one behind the backup")
    func equalNames() throws {
        let landmarks = ListedLandmarks([Self.point("x", 4), Self.point("x", 7), Self.point("x", 8)])
        #expect(try Self.plan(.name("x"), landmarks).landmark?.start == Self.lsn(7))
        #expect(try Self.plan(.name("x"), landmarks, chosen: 0).landmark?.start == Self.lsn(4))
    }

    @Test("leads from an undamaged backup to the same place, or else from the damaged one")
    func damaged() throws {
        for damaged in [["b"], ["a", "b"]] as [Set<String>] {
            let plan = try Self.plan(.name("x"), ListedLandmarks([Self.point("x", 7)]), damaged: damaged)
            #expect(plan.record.id == (damaged.count == 1 ? "a" : "b") && plan.landmark == Self.point("x", 7))
            #expect(plan.remarks.count == 1 && plan.remarks[0].contains("pgark show b"))
        }
        // From "a" recovery would stop at 4.
        let plan = try Self.plan(.name("x"), ListedLandmarks([Self.point("x", 4), Self.point("x", 7)]), damaged: ["b"])
        #expect(plan.record.id == "b" && plan.landmark == Self.point("x", 7) && plan.remarks.count == 1)
        #expect(try Self.plan(.name("x"), ListedLandmarks([Self.point("x", 4)]), damaged: ["b"]).remarks == [])
    }

    @Test("passes over a backup in which recovery would meet the name too early")
    func withinBackup() throws {
        // From "b" recovery would stop at 5, before it is consistent, and never get to 8.
        let plan = try Self.plan(.name("x"), ListedLandmarks([Self.point("x", 5), Self.point("x", 8)]))
        #expect(plan.record.id == "a")
        #expect(plan.landmark?.start == Self.lsn(5))
    }

    @Test("is refused where the name is nowhere, and says where was searched and what is there")
    func nowhere() throws {
        let points = (0..<15).map {
            WALLandmark(kind: .restorePoint("p\($0)"), time: Self.time(0), start: Self.lsn(3) + $0 * 200_000, end: Self.lsn(9))
        }
        let failure = try #require(throws: Failure.self) { try Self.plan(.name("x"), ListedLandmarks(points)) }
        #expect(failure.code == .targetUnreachable)
        #expect(failure.details.first?.contains("from \(Self.lsn(2)) to \(Self.lsn(9))") == true)
        #expect(failure.details.dropFirst().map { $0.split(separator: "\"")[1] } == (5..<15).map { "p\($0)" })
    }

    @Test("is refused where the name lies before every backup's end", arguments: [nil, 0])
    func tooOld(chosen: Int?) throws {
        let failure = try #require(throws: Failure.self) {
            try Self.plan(.name("x"), ListedLandmarks([Self.point("x", 2)]), chosen: chosen)
        }
        #expect(failure.code == .noSuitableBackup)
    }

    // MARK: Times

    @Test("to a time ends behind the last transaction up to then, whatever the receiver noted", arguments: [nil, 150, 300])
    func time(moment: Int?) throws {
        let landmarks = ListedLandmarks([Self.commit(739, 7, at: 240), Self.commit(740, 8, at: 260)], last: Self.lsn(8))
        let plan = try Self.plan(.time(Self.time(250)), landmarks, moment: moment)
        #expect(plan.target.point == .time(Self.time(250)))
        #expect(plan.recoveryTarget.point == .lsn(Self.lsn(7)))
        #expect(plan.recoveryTarget.isInclusive)
    }

    @Test("to a time ends behind what precedes the first later transaction, though an earlier one follows it in the WAL")
    func disorder() throws {
        let landmarks = ListedLandmarks(
            [Self.commit(738, 6, at: 230), Self.commit(739, 7, at: 251), Self.commit(740, 8, at: 249)], last: Self.lsn(8))
        let plan = try Self.plan(.time(Self.time(250)), landmarks)
        #expect(plan.recoveryTarget.point == .lsn(Self.lsn(6)))
    }

    @Test("to a time before anything was committed after the backup is the end of the backup")
    func quiet() throws {
        let plan = try Self.plan(.time(Self.time(250)), ListedLandmarks([Self.commit(740, 8, at: 260)], last: Self.lsn(8)))
        #expect(plan.recoveryTarget.point == .immediate)
    }

    @Test("to a time on an idle server is the last record of the WAL, and says so")
    func idle() throws {
        let plan = try Self.plan(.time(Self.time(290)), ListedLandmarks([Self.commit(740, 8, at: 260)], last: Self.lsn(8)))
        #expect(plan.target.point == .time(Self.time(290)))
        #expect(plan.recoveryTarget.point == .lsn(Self.lsn(8)))
        #expect(
            plan.remarks.first?.hasPrefix("no transaction was committed after \(Self.time(290)); recovery runs to the end of WAL")
                == true)
    }

    @Test("to the very moment of the last commit ends before it only where it is exclusive", arguments: [true, false])
    func lastCommit(inclusive: Bool) throws {
        let landmarks = ListedLandmarks([Self.commit(739, 7, at: 250), Self.commit(740, 8, at: 260)], last: Self.lsn(8))
        let plan = try Self.plan(.time(Self.time(260)), landmarks, inclusive: inclusive)
        #expect(plan.recoveryTarget.point == .lsn(Self.lsn(inclusive ? 8 : 7)))
        #expect(plan.recoveryTarget.isInclusive)
    }

    @Test("is refused for a time up to which the WAL is not known to be complete")
    func unproved() throws {
        for (moment, momentAt, reach) in [(300, 9, 9), (nil, 9, 9), (300, 9, 8), (300, 8, 9)] as [(Int?, Int, Int)] {
            let failure = try #require(throws: Failure.self) {
                try Self.plan(
                    .time(Self.time(301)), ListedLandmarks([], last: Self.lsn(7)), reach: reach, moment: moment,
                    momentAt: momentAt)
            }
            #expect(failure.code == .targetUnreachable)
        }
        // A backup's own end proves no moment.
        #expect(throws: Failure.self) {
            try Self.plan(.time(Self.time(200)), ListedLandmarks([], last: Self.lsn(7)), moment: nil)
        }
    }

    // MARK: Positions

    @Test("to a position behind the last record is that record", arguments: [(7, false), (8, false), (9, true)])
    func position(megabytes: Int, isMoved: Bool) throws {
        let plan = try Self.plan(.lsn(Self.lsn(megabytes)), ListedLandmarks([], last: Self.lsn(8)), inclusive: false)
        #expect(plan.recoveryTarget.point == .lsn(Self.lsn(isMoved ? 8 : megabytes)))
        #expect(plan.recoveryTarget.isInclusive == isMoved)
    }
}
