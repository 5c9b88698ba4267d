@testable import Cluster
import Backup
import FoundationEssentials
import PostgresModel
import Testing

@Suite("A history")
struct HistoryTests {
    static func time(_ seconds: Int64) -> Timestamp { Timestamp(seconds: 1_800_000_000 + seconds) }

    /// As the journal writes them: (second, event, step).
    static func journal(
        _ command: String?, node: String? = nil, run: Int64? = nil, of count: Int = 2,
        _ lines: [(second: Int64, event: JournalLine.Event, step: Int?, outage: Plan.Step.Outage?)]
    ) throws -> String {
        try lines.map { found in
            var line = JournalLine(time: time(found.second), event: found.event, command: command, node: node)
            line.run = run.map(time)
            (line.step, line.of, line.outage, line.host) = (found.step, count, found.outage, "node1")
            if found.event == .begin {
                line.changes = [.init(action: .change, node: "node1", object: "part \(found.step ?? 0)", to: "new")]
            }
            if found.event == .failed { line.error = "could not do it" }
            return String(decoding: try JSONEncoder().encode(line), as: UTF8.self)
        }.joined(separator: "\n") + "\n"
    }

    @Test("tells of a restore how long nobody could write, from the stop of the old server until the new one takes writes")
    func restore() throws {
        let text = try Self.journal(
            "restore", node: "node1", run: 0, of: 4,
            [
                (0, .begin, 1, .begins), (3, .done, 1, .begins), (3, .begin, 2, nil), (9, .done, 2, nil), (9, .begin, 3, nil),
                (10, .done, 3, nil), (10, .begin, 4, .ends), (12, .done, 4, .ends), (12, .end, nil, nil), (13, .begin, 1, nil),
                (20, .done, 1, nil), (20, .end, nil, nil),
            ])
        let event = try #require(ClusterHistory.commands(in: text).first)
        #expect(ClusterHistory.commands(in: text).count == 1)
        #expect(event.kind == "restore" && event.node == "node1" && event.result == .done)
        #expect(event.outageSeconds == 12 && event.outageFrom == .journal)
        #expect(event.time == Self.time(0) && event.endTime == Self.time(20))
        #expect(event.detail == "part 1: new; part 2: new; and 3 more")
    }

    @Test("tells of an apply how long its restarts of the primary took")
    func restarts() throws {
        let text = try Self.journal(
            "apply", run: 0,
            [(0, .begin, 1, nil), (5, .done, 1, nil), (5, .begin, 2, .within), (7, .done, 2, .within), (7, .end, nil, nil)])
        let event = try #require(ClusterHistory.commands(in: text).first)
        #expect(event.outageSeconds == 2 && event.detail == "2 changes on node1" && event.node == nil)
    }

    @Test("knows a run that was cut short, one that failed, and one whose second plan did what the first could not")
    func results() throws {
        func result(_ lines: [(second: Int64, event: JournalLine.Event, step: Int?, outage: Plan.Step.Outage?)]) throws -> String
        {
            let event = try #require(ClusterHistory.commands(in: Self.journal("rejoin", node: "node1", run: 0, lines)).first)
            return "\(event.result!): \(event.detail)"
        }
        #expect(try result([(0, .begin, 1, nil)]) == "interrupted: nothing was changed")
        #expect(try result([(0, .begin, 1, nil), (1, .done, 1, nil)]) == "interrupted: part 1: new")
        let failed: [(second: Int64, event: JournalLine.Event, step: Int?, outage: Plan.Step.Outage?)] = [
            (0, .begin, 1, nil), (1, .done, 1, nil), (1, .begin, 2, nil), (2, .failed, 2, nil), (2, .end, nil, nil),
        ]
        #expect(try result(failed) == "failed: part 1: new; failed: could not do it")
        #expect(
            try result(failed + [(3, .begin, 1, nil), (4, .done, 1, nil), (4, .end, nil, nil)])
                == "done: part 1: new; part 1: new")
    }

    /// Written before a run said which it was, and with a line that a crash cut.
    @Test("reads journals of earlier versions, and leaves out what it cannot read")
    func earlier() throws {
        let first = try Self.journal(nil, [(0, .begin, 1, nil), (1, .done, 1, nil), (1, .begin, 2, nil), (2, .done, 2, nil)])
        let second = try Self.journal(nil, [(10, .begin, 1, nil), (11, .done, 1, nil), (11, .begin, 2, nil)])
        let events = ClusterHistory.commands(in: first + second + "{\"time\":\"2027-01")
        #expect(events.map(\.kind) == ["apply", "apply"])
        #expect(events.map(\.result) == [.done, .interrupted])
        #expect(events.map(\.time) == [Self.time(0), Self.time(10)])
    }

    // MARK: Timelines

    private static func begin(_ timeline: UInt32 = 2, time: Int64? = 100, last: Int64? = 95) -> TimelineBegin {
        TimelineBegin(
            timeline: TimelineID(rawValue: timeline), parent: TimelineID(rawValue: timeline - 1), at: LSN("0/5000000")!,
            time: time.map(Self.time), lastOfParent: last.map(Self.time), reason: "no recovery target specified")
    }

    @Test("bounds a promotion's outage by the last transaction before it")
    func promotion() {
        let event = ClusterHistory.timeline(Self.begin(), node: "node2")
        #expect(event.kind == "timeline" && event.node == "node2" && event.atLSN == LSN("0/5000000"))
        #expect(event.outageSeconds == 5 && event.outageFrom == .wal)
        #expect(event.detail == "promoted, from timeline 1")
    }

    @Test("says what a timeline left behind, and where both went on")
    func leftBehind() {
        var begin = Self.begin()
        begin.leftBehindTo = LSN("0/6000000")
        begin.reason = "before 2027-01-15 08:00:00+00"
        #expect(
            ClusterHistory.timeline(begin, node: nil).detail
                == "recovered (before 2027-01-15 08:00:00+00), from timeline 1; timeline 1 went on to 0/6000000, which is "
                + "no part of this one")
        begin.lastOfParent = Self.time(300)
        let fork = ClusterHistory.timeline(begin, node: nil)
        #expect(fork.outageSeconds == nil && fork.detail.contains("committed there until 2027-01-15 08:05:00 UTC"))
        #expect(ClusterHistory.timeline(Self.begin(time: nil), node: nil).outageSeconds == nil)
    }

    @Test("puts what has no time where its order puts it, and lets a restore and its timeline tell of each other")
    func order() throws {
        let restore = try Self.journal(
            "restore", node: "node1", run: 200, of: 1, [(200, .begin, 1, .begins), (201, .done, 1, .ends), (230, .end, nil, nil)])
        var commands = ClusterHistory.commands(in: restore)
        commands[0].outageFrom = .journal
        let stored = [
            ClusterHistory.timeline(Self.begin(2, time: 100), node: "node2"),
            ClusterHistory.timeline(Self.begin(3, time: nil), node: nil),
            ClusterHistory.timeline(Self.begin(4, time: 210), node: nil),
        ]
        let apply = try ClusterHistory.commands(
            in: Self.journal("apply", run: 150, of: 1, [(150, .begin, 1, nil), (151, .done, 1, nil), (151, .end, nil, nil)]))
        let events = ClusterHistory(stored: stored, commands: commands + apply).events
        #expect(events.map(\.kind) == ["timeline", "timeline", "apply", "restore", "timeline"])
        #expect(events.compactMap(\.timeline?.rawValue) == [2, 3, 4, 4])
        #expect(events[4].node == "node1" && events[4].detail.hasSuffix("by `pgark restore`"))
        #expect(events[3].atLSN == LSN("0/5000000"))
    }
}
