import PostgresModel
import TestSupport
import Testing

@Suite("A timeline's history")
struct TimelineTests {
    /// 1 → 2 → 4; timeline 3 went another way.
    static let history = TimelineHistory(
        of: TimelineID(rawValue: 4),
        ancestors: [
            .init(timeline: TimelineID(rawValue: 1), end: LSN("0/3000100")!),
            .init(timeline: TimelineID(rawValue: 2), end: LSN("0/5000028")!),
        ])

    @Test("is read from the file that PostgreSQL writes")
    func reads() throws {
        let text = "1\t0/3000100\tno recovery target specified\n\n# a remark\n2\t0/5000028\tbefore 2026-11-22 15:04:05+00\n"
        #expect(try TimelineHistory(parsing: text, of: TimelineID(rawValue: 4)) == Self.history)
    }

    @Test("may have no ancestors, no final line end, and lines of Windows")
    func readsLeniently() throws {
        #expect(try TimelineHistory(parsing: "", of: .first).ancestors.isEmpty)
        let text = " 1  0/3000100\r\n2 0/5000028"
        #expect(try TimelineHistory(parsing: text, of: TimelineID(rawValue: 4)) == Self.history)
    }

    @Test(
        "is refused where the file is damaged",
        arguments: [
            "1", "1\t", "x\t0/1\tr", "1\t0-1\tr", "0\t0/1\tr", "-1\t0/1\tr", "4\t0/1\tr", "5\t0/1\tr", "99999999999\t0/1\tr",
            "2\t0/1\tr\n1\t0/2\tr", "1\t0/1\tr\n1\t0/2\tr", "1\t0/2\tr\n2\t0/1\tr", "1\t0/1\tr\n\u{0}\u{1}", "1\t0/123456789\tr",
        ])
    func refuses(text: String) throws {
        let failure = try #require(throws: Failure.self) { try TimelineHistory(parsing: text, of: TimelineID(rawValue: 4)) }
        #expect(failure.code == .damaged)
        #expect(failure.message.contains("00000004.history"))
    }

    @Test("comes back from its own text, and damage of it never ends the program", arguments: Seed.some(20))
    func roundTrip(seed: Seed) throws {
        var random = seed.generator
        let count = Int.random(in: 0...8, using: &random)
        let ids = Set((0..<count).map { _ in UInt32.random(in: 1...50, using: &random) }).sorted()
        let ends = ids.map { _ in random.next() >> 8 }.sorted()
        let history = TimelineHistory(
            of: TimelineID(rawValue: 51),
            ancestors: zip(ids, ends).map { .init(timeline: TimelineID(rawValue: $0), end: LSN(rawValue: $1)) })
        let text = history.ancestors.map { "\($0.timeline)\t\($0.end)\treason\n" }.joined()
        #expect(try TimelineHistory(parsing: text, of: history.timeline) == history)

        for _ in 0..<50 {
            var bytes = Array(text.utf8)
            for _ in 0..<3 where !bytes.isEmpty {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            do {
                let read = try TimelineHistory(parsing: String(decoding: bytes, as: UTF8.self), of: history.timeline)
                #expect(
                    zip(read.ancestors, read.ancestors.dropFirst()).allSatisfy { $0.timeline < $1.timeline && $0.end <= $1.end })
            } catch let failure as Failure {
                #expect(failure.code == .damaged)
            }
        }
    }

    @Test(
        "says where each of its timelines ends, and that the others are none of its own",
        arguments: [(1, LSN("0/3000100")), (2, LSN("0/5000028"))] as [(UInt32, LSN?)])
    func ends(timeline: UInt32, end: LSN?) {
        #expect(Self.history.end(of: TimelineID(rawValue: timeline)) == .some(end))
    }

    @Test("has no end for its own timeline, and none of its own for a sister")
    func openEnd() {
        #expect(Self.history.end(of: TimelineID(rawValue: 4)) == .some(nil))
        #expect(Self.history.end(of: TimelineID(rawValue: 3)) == .none)
    }

    @Test("leads from each timeline to the next", arguments: [(1, 2), (2, 4), (3, nil), (4, nil)] as [(UInt32, UInt32?)])
    func successors(timeline: UInt32, next: UInt32?) {
        #expect(Self.history.successor(of: TimelineID(rawValue: timeline)) == next.map { TimelineID(rawValue: $0) })
    }

    @Test(
        "contains what a server passed through, forks included",
        arguments: [
            ("0/0", 1, true), ("0/3000100", 1, true), ("0/3000101", 1, false), ("0/3000101", 2, true), ("0/5000028", 2, true),
            ("0/5000029", 2, false), ("0/1", 3, false), ("0/9000000", 4, true),
        ] as [(String, UInt32, Bool)])
    func contains(position: String, timeline: UInt32, expected: Bool) {
        #expect(Self.history.contains(LSN(position)!, on: TimelineID(rawValue: timeline)) == expected)
    }

    @Test(
        "knows which timeline holds the byte at a position",
        arguments: [
            ("0/0", 1), ("0/30000FF", 1), ("0/3000100", 2), ("0/5000027", 2), ("0/5000028", 4), ("F/0", 4),
        ] as [(String, UInt32)])
    func timelineAt(position: String, timeline: UInt32) {
        #expect(Self.history.timeline(at: LSN(position)!) == TimelineID(rawValue: timeline))
    }

    @Test("begins where its parent ended, the first one at zero")
    func begin() {
        #expect(Self.history.begin == LSN("0/5000028"))
        #expect(TimelineHistory(of: .first).begin == .zero)
    }

    @Test(
        "has a file name of eight upper-case digits",
        arguments: [(1, "00000001.history"), (0xABCDEF, "00ABCDEF.history")] as [(UInt32, String)])
    func fileName(timeline: UInt32, name: String) {
        #expect(TimelineID(rawValue: timeline).historyFileName == name)
    }

    @Test(
        "belongs to a timeline whose number is positive",
        arguments: [("1", true), ("0", false), ("-1", false), ("x", false), ("4294967296", false)])
    func numbers(text: String, isOne: Bool) {
        #expect((TimelineID(text) != nil) == isOne)
    }

    @Test(
        "keeps the server's words for why the parent was left",
        arguments: [
            ("1\t0/5000028\tno recovery target specified\n", "no recovery target specified"),
            ("1\t0/3000000\tat restore point \"a\tb\"\n\n# end\n", "at restore point \"a\tb\""), ("1\t0/3000000\n", nil),
            ("", nil),
        ] as [(String, String?)])
    func reason(text: String, reason: String?) {
        #expect(TimelineHistory.reason(in: text) == reason)
    }
}
