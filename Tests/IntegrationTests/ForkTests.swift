import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// An archive in which history forked three times: 1 → 2 by a restore to the past, 2 → 3 by a promotion, and 2 → 4 by a
/// restore to a moment before that promotion. Timeline 3 and the end of 2 are no part of what is current then.
@Suite("Where history forked three times")
struct ForkTests {
    private struct Target {
        let name: String
        let arguments: [String]
        let rows: [Int]
    }

    @Test("backups on every side of each fork restore to the end of, and to moments on, every timeline")
    func reachesAll() throws {
        try TestSite.with(TestMachine.newest) { site in
            var life = try Life(site)
            // Timeline 1.
            try life.backUp("first")
            try life.add(11)
            try life.add(12)
            // Back to row 11: timeline 2.
            try life.goBack(to: "11", timeline: 1)
            try life.add(21)
            try life.backUp("second")
            try life.add(22)
            try life.add(23)
            // A standby takes over: timeline 3.
            try life.promoteStandby()
            try life.add(31)
            try life.backUp("third")
            try life.add(32)
            // Back to row 22 of timeline 2: timeline 4.
            try life.goBack(to: "22", timeline: 2)
            try life.add(41)
            try life.backUp("fourth")
            try life.add(42)
            let pgark = try life.end()
            #expect(try pgark("wal", "status").timelines.array.map(\.timeline.int) == [1, 2, 3, 4])
            #expect(try pgark("wal", "status").gaps.array.isEmpty)

            for target in targets(life) {
                let restored = try pgark.restore(to: target.name, target.arguments)
                try restored.recover(settings: ["fsync": "off"])
                let rows = try restored.sql("SELECT n FROM public.marker ORDER BY n").compactMap { $0[0].flatMap { Int($0) } }
                #expect(rows == target.rows, "\(target.name)")
                #expect(try restored.timeline() == "5", "\(target.name)")
                restored.discard()
            }
            // A backup that is no part of a timeline's history does not lead there.
            let never = site.directory.appending("never")
            for (backup, timeline) in [("third", "4"), ("fourth", "3"), ("third", "2"), ("second", "1")] {
                let error = try pgark.fails(
                    .noSuitableBackup, 3, "restore", backup, "--to", never.string, "--yes", "--target-timeline", timeline)
                #expect(error.message.string?.isEmpty == false)
                #expect(try site.isAbsent(never))
            }
        }
    }

    private func targets(_ life: Life) -> [Target] {
        func on(_ timeline: Int, _ more: String...) -> [String] { ["--target-timeline", "\(timeline)"] + more }
        let (lsn, time) = (life.positions, life.moments)
        return [
            Target(name: "latest", arguments: [], rows: [11, 21, 22, 41, 42]),
            Target(name: "one", arguments: on(1), rows: [11, 12]),
            Target(name: "two", arguments: on(2), rows: [11, 21, 22, 23]),
            Target(name: "three", arguments: on(3), rows: [11, 21, 22, 23, 31, 32]),
            Target(name: "four", arguments: on(4), rows: [11, 21, 22, 41, 42]),
            Target(name: "one-lsn", arguments: on(1, "--target-lsn", lsn["11"]!), rows: [11]),
            Target(name: "two-lsn", arguments: on(2, "--target-lsn", lsn["21"]!), rows: [11, 21]),
            Target(name: "three-lsn", arguments: on(3, "--target-lsn", lsn["31"]!), rows: [11, 21, 22, 23, 31]),
            // Before the fork, so that a backup of timeline 2 is taken on the way to timeline 4.
            Target(name: "four-lsn-before", arguments: on(4, "--target-lsn", lsn["22"]!), rows: [11, 21, 22]),
            Target(name: "one-time", arguments: on(1, "--target-time", time["11"]!), rows: [11]),
            Target(name: "two-time", arguments: on(2, "--target-time", time["22"]!), rows: [11, 21, 22]),
            Target(name: "three-time", arguments: on(3, "--target-time", time["31"]!), rows: [11, 21, 22, 23, 31]),
            Target(name: "four-time", arguments: on(4, "--target-time", time["41"]!), rows: [11, 21, 22, 41]),
            Target(name: "first-to-three", arguments: ["first"] + on(3), rows: [11, 21, 22, 23, 31, 32]),
            Target(name: "first-to-four", arguments: ["first"] + on(4), rows: [11, 21, 22, 41, 42]),
            Target(name: "second-to-three", arguments: ["second"] + on(3), rows: [11, 21, 22, 23, 31, 32]),
            Target(name: "second-to-four", arguments: ["second"] + on(4, "--target-lsn", lsn["41"]!), rows: [11, 21, 22, 41]),
            Target(name: "third-current", arguments: ["third", "--target-timeline", "current"], rows: [11, 21, 22, 23, 31, 32]),
        ]
    }
}

/// What a cluster goes through, and where each of its rows lies in time and WAL.
private struct Life {
    private let site: TestSite
    private var node: TestServer
    private var pgark: Pgark
    private var receiver: BackgroundProcess
    private var servers = 1
    /// After each row was committed, and before the next one.
    private(set) var positions: [String: String] = [:]
    private(set) var moments: [String: String] = [:]

    init(_ site: TestSite) throws {
        self.site = site
        node = try site.primary(settings: ["wal_keep_size": "1GB"], initdb: ["--wal-segsize=1"])
        pgark = try site.pgark(node)
        receiver = try pgark.receive()
        try node.sql("CREATE TABLE public.marker (n int)")
    }

    func backUp(_ name: String) throws { try pgark("backup", "--name", name) }

    mutating func add(_ row: Int) throws {
        try node.sql("INSERT INTO marker VALUES (\(row))")
        positions["\(row)"] = "\(try node.lsn())"
        moments["\(row)"] = try node.value(
            "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'")
    }

    /// The server and the receiver end; a restore to just after that row takes the server's place.
    mutating func goBack(to row: String, timeline: Int) throws {
        _ = try end()
        servers += 1
        let target = ["--target-lsn", positions[row]!, "--target-timeline", "\(timeline)"]
        let restored = try pgark.restore(to: "server\(servers)", target)
        try restored.recover()
        // A standby copies these with everything else, and would never leave the old timeline.
        for setting in ["recovery_target_lsn", "recovery_target_timeline"] {
            try restored.sql("ALTER SYSTEM RESET \(setting)")
        }
        try follow(restored)
    }

    mutating func promoteStandby() throws {
        servers += 1
        let standby = try site.standby("server\(servers)", of: node, settings: ["wal_keep_size": "1GB"])
        let position = try node.lsn()
        try eventually("the standby has everything") { try standby.lsn() >= position }
        _ = try end()
        try standby.promote()
        try follow(standby)
    }

    private mutating func follow(_ server: TestServer) throws {
        node = server
        pgark = try site.pgark(server)
        receiver = try pgark.receive(log: "receiver\(servers).log")
    }

    mutating func end() throws -> Pgark {
        try pgark.waitUntilStored(try node.lsn())
        try node.stop()
        try receiver.stop()
        return pgark
    }
}
