@testable import Cluster
import Hosts
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// What systemd itself says of what we write for it. No systemd needs to run.
@Suite("systemd")
struct SystemdTests {
    private static let analyze: FilePath = "/usr/bin/systemd-analyze"

    private static func outcome(_ program: FilePath, _ arguments: [String]) throws -> Command.Outcome {
        var command = Command(program, arguments)
        command.environment = ["TZ": "UTC", "LC_ALL": "C", "SYSTEMD_COLORS": "0"]
        return try command.outcome()
    }

    // MARK: Schedules

    /// The times after `begin` that systemd finds for any of these.
    private static func times(_ events: [String], after begin: Timestamp, count: Int) throws -> [Timestamp] {
        let outcome = try outcome(
            analyze, ["calendar", "--iterations=\(count)", "--base-time=\(begin.shortText)"] + events)
        guard outcome.succeeded else { throw TestFailure("\(events): \(outcome.errors)") }
        // "    Next elapse: Mon 2026-11-23 01:00:00 UTC", "       Iter. #2: …"
        let found = outcome.output.split(separator: "\n").compactMap { line -> Timestamp? in
            let words = line.split(separator: " ")
            guard words.count > 3, words.last == "UTC", line.contains("Next elapse:") || line.contains("Iter. #"),
                case .instant(let time)? = TimeText("\(words[words.count - 3]) \(words[words.count - 2])Z")
            else { return nil }
            return time
        }
        return Array(Set(found).sorted().prefix(count))
    }

    @Test("begins a timer at the same times as cron would", arguments: Seed.some(300))
    func calendar(seed: Seed) throws {
        var random = seed.generator
        let expression = RandomSchedule.make(&random)
        let begin = Timestamp(seconds: 1_767_225_600 + Int64(random.below(4 * 365 * 1440)) * 60)
        var expected: [Timestamp] = []
        while expected.count < 6, let next = expression.next(after: expected.last ?? begin, offset: { _ in 0 }) {
            expected.append(next)
        }
        let found = try Self.times(expression.calendarEvents, after: begin, count: 6)
        #expect(found == expected, "\(expression.text) as \(expression.calendarEvents)")
    }

    @Test("gets two expressions where either field of days is enough, and one else")
    func eitherDay() throws {
        #expect(
            try CronExpression("0 1 1,15 * 1-5").calendarEvents == ["*-*-01,15 01:00:00", "Mon,Tue,Wed,Thu,Fri *-*-* 01:00:00"])
        #expect(
            try CronExpression("*/30 1 */2 1-3 7").calendarEvents == [
                "Sun *-01..03-01,03,05,07,09,11,13,15,17,19,21,23,25,27,29,31 01:00,30:00"
            ])
        #expect(try CronExpression("@hourly").calendarEvents == ["*-*-* *:00:00"])
    }

    // MARK: Units

    private static func file(_ more: String = "", path: String = "/var/lib/pgark", node: String = "{ host: 10.0.0.11 }") throws
        -> ClusterFile
    {
        try ClusterFile.parse(
            text: """
                cluster: shop
                nodes: { node1: \(node) }
                repository: { host: 10.0.0.20, path: "\(path)", service: systemd }
                \(more)
                """, path: "/etc/pgark/shop.yaml")
    }

    /// The units in a directory, with a program that is there.
    private static func write(_ file: ClusterFile, into directory: FilePath) throws -> [FilePath] {
        try ServiceFiles(file).texts(for: .systemd).sorted { $0.key < $1.key }.map { path, text in
            let copy = directory.appending(FilePath(path).lastComponent!.string)
            try SmallFile.write(text.replacing("ExecStart=/usr/local/bin/pgark", with: "ExecStart=/bin/true"), to: copy)
            return copy
        }
    }

    @Test(
        "accepts every unit, whatever is in the cluster file",
        arguments: [
            ("", "/var/lib/pgark"), ("backup: { schedule: \"0 1 1 * mon\" }", "/home/me/my backups"),
            ("backup: { schedule: none }", "/srv/100%"),
        ])
    func verify(more: String, path: String) throws {
        try withScratchDirectory { scratch in
            let units = try Self.write(Self.file(more, path: path), into: scratch)
            #expect(units.count == (more.contains("none") ? 3 : 5))
            let outcome = try Self.outcome(Self.analyze, ["verify", "--man=no"] + units.map(\.string))
            let remarks = outcome.errors.split(separator: "\n").filter { $0.contains("pgark") }
            #expect(outcome.succeeded && remarks.isEmpty, "\(outcome.errors)")
        }
    }

    @Test("finds the units well protected")
    func security() throws {
        try withScratchDirectory { scratch in
            let units = try Self.write(Self.file(), into: scratch).filter { $0.extension == "service" }
            #expect(units.count == 3)
            let outcome = try Self.outcome(
                Self.analyze, ["security", "--offline=true", "--threshold=35", "--no-pager"] + units.map(\.string))
            #expect(outcome.succeeded, "\(outcome.output.suffix(600))\(outcome.errors)")
        }
    }

    @Test("enables the receiver and both timers, and disables them again")
    func enable() throws {
        try withScratchDirectory { scratch in
            let folder = scratch.appending("etc/systemd/system")
            try Directory.create(folder)
            _ = try Self.write(Self.file(), into: folder)
            let names = ServiceNames("shop"), wanted = [names.receive] + ServiceNames.commands.map(names.timer)
            func links() throws -> [String] {
                try ["multi-user.target.wants", "timers.target.wants"].flatMap {
                    try Directory.names(in: folder.appending($0)) ?? []
                }
            }
            for (verb, expected) in [("enable", wanted), ("disable", [])] {
                let outcome = try Self.outcome("/usr/bin/systemctl", ["--root=\(scratch)", verb] + wanted)
                #expect(outcome.succeeded, "\(outcome.errors)")
                #expect(try links() == expected)
            }
        }
    }

    @Test(
        "keeps from a service what it does not need, and nothing else",
        arguments: [
            ("/var/lib/pgark", "{ host: 10.0.0.11 }", "yes", "yes"), ("/home/me/repo", "{ host: 10.0.0.11 }", "read-only", "yes"),
            ("/repo", "{ host: /tmp }", "yes", "no"),
            ("/repo", "{ connection: \"host=a passfile=/root/.pgpass\" }", "read-only", "yes"),
            ("/homework", "{ host: /var/tmp/x }", "yes", "no"),
        ])
    func protection(path: String, node: String, home: String, temporary: String) throws {
        let units = ServiceFiles(try Self.file(path: path, node: node)).texts(for: .systemd).filter {
            $0.key.hasSuffix(".service")
        }
        #expect(units.count == 3)
        for text in units.values {
            let lines = text.split(separator: "\n")
            #expect(
                lines.contains("ProtectHome=\(home)") && lines.contains("PrivateTmp=\(temporary)")
                    && lines.contains("ReadWritePaths=\(path)"))
            #expect(text.hasPrefix(ServiceNames.mark))
        }
    }

    @Test func aPathIsWrittenSoThatSystemdReadsItAsItIs() {
        #expect(ServiceFiles.unitQuoted("/a b") == "\"/a b\"")
        #expect(ServiceFiles.unitQuoted(#"/a%"\"#) == #""/a%%\"\\""#)
        #expect(ServiceFiles.unitQuoted("/plain-path_1") == "/plain-path_1")
    }

    @Test func whatItSaysOfUnitsIsRead() {
        let text = """
            Id=pgark-shop-receive.service
            ActiveState=active
            UnitFileState=enabled
            NeedDaemonReload=yes

            Id=pgark-shop-backup.timer
            ActiveState=inactive
            UnitFileState=
            NeedDaemonReload=no

            """
        #expect(
            RepositoryServices.parse(text) == [
                "pgark-shop-receive.service": .init(isActive: true, isEnabled: true, needsReload: true),
                "pgark-shop-backup.timer": .init(isActive: false, isEnabled: false, needsReload: false),
            ])
    }
}
