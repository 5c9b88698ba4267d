@testable import Cluster
import PostgresModel
import Testing

/// Who keeps the receiver running and does what is due: facts in, a plan out.
@Suite("A plan for the repository's host")
struct PlannerServicesTests {
    private static let names = ServiceNames("shop")
    private static let cron = "/etc/cron.d/pgark-shop"

    /// As it is after an apply with this service.
    private static func converged(_ service: String, _ more: String = "") throws -> PlanExample {
        var example = try PlanExample.converged()
        example.text = example.text.replacing("path: /repo }", with: "path: /repo, service: \(service) }") + "\n" + more
        settle(&example, as: try example.file)
        return example
    }

    /// Makes of the repository's host what `file` makes of it.
    private static func settle(_ example: inout PlanExample, as file: ClusterFile) {
        example.repository.hasSystemd = true
        example.repository.repository!.clusterFile = example.text
        example.repository.repository!.serviceFiles = ServiceFiles(file).texts(for: file.repository.service)
        guard file.repository.service == .systemd else { return }
        for unit in names.units {
            let isStarted = unit.hasSuffix(".timer") || unit == names.receive
            example.repository.repository!.units[unit] = .init(isActive: isStarted, isEnabled: isStarted, needsReload: false)
        }
    }

    private static func titles(_ example: PlanExample) throws -> [String] {
        try example.plan().steps.filter { $0.host == Planner.repository }.map(\.action.title)
    }

    // MARK: Nothing to do

    @Test("is empty after an apply", arguments: ["systemd", "cron", "none"], ["", "backup: { schedule: none }"])
    func settled(service: String, more: String) throws {
        let plan = try Self.converged(service, more).plan()
        #expect(plan.steps.isEmpty && plan.blocked.isEmpty, "\(plan)")
        #expect(plan.remarks.count == (service == "none" ? 1 : 0))
    }

    @Test("chooses systemd before cron, and says what nobody does where neither is there")
    func automatic() throws {
        var example = try PlanExample.converged()
        example.repository.repository!.serviceFiles = [:]
        example.repository.hasSystemd = true
        #expect(try Self.titles(example).contains("write /etc/systemd/system/pgark-shop-receive.service"))
        example.repository.hasSystemd = false
        #expect(try Self.titles(example) == ["write \(Self.cron)"])
        example.repository.hasCron = false
        let plan = try example.plan()
        #expect(plan.steps.isEmpty && plan.remarks.count == 1)
        for job in ["\"0 1 * * *\" pgark backup --scheduled", "\"17 * * * *\" pgark maintain --scheduled"] {
            #expect(plan.remarks[0].contains(job), "\(plan.remarks)")
        }
    }

    // MARK: systemd

    @Test("writes all units, then starts what begins by itself")
    func systemd() throws {
        var example = try Self.converged("systemd")
        example.repository.repository!.serviceFiles = [:]
        example.repository.repository!.units = [:]
        example.repository.repository!.receiverIsRunning = false
        #expect(
            try Self.titles(example) == Self.names.units.map { "write /etc/systemd/system/\($0)" } + [
                "start pgark-shop-receive.service, pgark-shop-backup.timer, pgark-shop-maintain.timer"
            ])
    }

    @Test(
        "starts what is not as it should be, and nothing else",
        arguments: [
            ("stopped", "pgark-shop-backup.timer", "pgark-shop-backup.timer"),
            ("disabled", "pgark-shop-maintain.timer", "pgark-shop-maintain.timer"),
            ("stale", "pgark-shop-backup.timer", "pgark-shop-backup.timer"),
            ("stale", "pgark-shop-maintain.service", "pgark-shop-maintain.timer"),
            ("disabled", "pgark-shop-receive.service", "pgark-shop-receive.service"),
            ("stale", "pgark-shop-receive.service", "pgark-shop-receive.service"),
        ])
    func unsettled(what: String, unit: String, started: String) throws {
        var example = try Self.converged("systemd")
        switch what {
        case "stopped": example.repository.repository!.units[unit]!.isActive = false
        case "disabled": example.repository.repository!.units[unit]!.isEnabled = false
        default: example.repository.repository!.units[unit]!.needsReload = true
        }
        #expect(try Self.titles(example) == ["start \(started)"])
    }

    @Test("changes a timer when its schedule changes")
    func rescheduled() throws {
        var example = try Self.converged("systemd")
        example.text += "\nbackup: { schedule: \"30 2 1 * mon\" }"
        example.repository.repository!.clusterFile = example.text
        #expect(
            try example.lines()
                == [
                    "~ repository: /etc/systemd/system/pgark-shop-backup.timer: another → backup 30 2 1 * mon",
                    "+ repository: pgark-shop-backup.timer: active: 30 2 1 * mon",
                ].map { $0.replacing("+ repository: pgark", with: "~ repository: pgark") })
        guard case .writeFile(_, let text, "root", 0o644)? = try example.plan().steps.first?.action else {
            Issue.record("nothing is written")
            return
        }
        #expect(text.contains("OnCalendar=*-*-01 02:30:00\nOnCalendar=Mon *-*-* 02:30:00\nPersistent=true\n"))
    }

    @Test("takes over a receiver that runs in the background")
    func takesOver() throws {
        var example = try Self.converged("systemd")
        example.repository.repository!.units[Self.names.receive]!.isActive = false
        #expect(try Self.titles(example) == ["stop the WAL receiver", "start pgark-shop-receive.service"])
        #expect(try example.lines() == ["~ repository: WAL receiver: in the background → by systemd"])
    }

    // MARK: From one to another

    @Test("removes what is not wanted any more: backups that nobody schedules")
    func unscheduled() throws {
        var example = try Self.converged("systemd")
        example.text += "\nbackup: { schedule: none }"
        example.repository.repository!.clusterFile = example.text
        #expect(
            try example.lines() == [
                "- repository: pgark-shop-backup.service", "- repository: pgark-shop-backup.timer",
            ])
        example = try Self.converged("cron")
        example.text += "\nbackup: { schedule: none }"
        example.repository.repository!.clusterFile = example.text
        #expect(try example.lines() == ["~ repository: \(Self.cron): another → WAL receiver, maintain hourly at minute 17"])
    }

    @Test("goes from systemd to cron and back: the one before ends first, and the receiver goes on")
    func service() throws {
        var example = try Self.converged("systemd")
        example.text = example.text.replacing("service: systemd", with: "service: cron")
        example.repository.repository!.clusterFile = example.text
        #expect(
            try Self.titles(example) == [
                "remove \(Self.names.units.joined(separator: ", "))", "write \(Self.cron)", "start the WAL receiver",
            ])
        example = try Self.converged("cron")
        example.text = example.text.replacing("service: cron", with: "service: systemd")
        example.repository.repository!.clusterFile = example.text
        let titles = try Self.titles(example)
        #expect(titles.first == "remove \(Self.cron)")
        #expect(
            titles.suffix(2) == [
                "stop the WAL receiver", "start pgark-shop-receive.service, pgark-shop-backup.timer, pgark-shop-maintain.timer",
            ])
        example = try Self.converged("cron")
        example.text = example.text.replacing("service: cron", with: "service: none")
        example.repository.repository!.clusterFile = example.text
        #expect(try Self.titles(example) == ["remove \(Self.cron)"])
    }

    @Test("leaves alone what somebody else wrote, and says so where it is in the way", arguments: ["systemd", "cron"])
    func foreign(service: String) throws {
        var example = try Self.converged(service)
        let path = service == "cron" ? Self.cron : "/etc/systemd/system/pgark-shop-backup.timer"
        example.repository.repository!.serviceFiles[path] = "# mine\n"
        let plan = try example.plan()
        #expect(plan.steps.isEmpty && plan.blocked.map(\.reason) == ["\(path) is there, and pgark did not write it"], "\(plan)")
        // Where it is not in the way it is nobody's business.
        example.text = example.text.replacing("service: \(service)", with: "service: none")
        example.repository.repository!.clusterFile = example.text
        let removed = try example.plan().steps.flatMap(\.changes).map(\.object)
        #expect(!removed.contains { path.contains($0) || $0.contains(path) }, "\(removed)")
    }

    // MARK: The receiver

    @Test("starts the receiver again after what it read has changed", arguments: ["systemd", "cron", "none"])
    func outdated(service: String) throws {
        let titles = service == "systemd" ? ["start pgark-shop-receive.service"] : ["start the WAL receiver"]
        var example = try Self.converged(service)
        example.repository.repository!.receiverInputsChanged = 2000.04
        #expect(try example.plan().steps.isEmpty, "clocks are not that exact")
        example.repository.repository!.receiverInputsChanged = 2001
        #expect(try Self.titles(example) == titles)
        example = try Self.converged(service)
        example.repository.repository!.programDigest = "old"
        #expect(try Self.titles(example) == ["install pgark"] + titles)
        // Nobody knows when it began: it is left alone.
        example = try Self.converged(service)
        example.repository.repository!.receiverStarted = nil
        example.repository.repository!.receiverInputsChanged = 9000
        #expect(try example.plan().steps.isEmpty)
    }

    // MARK: Texts

    @Test func cronIsToldWhatToDoWithoutWhatItWouldTakeForItself() throws {
        var example = try Self.converged("cron", "backup: { schedule: \"0 1 * * mon-fri\" }")
        let text = try #require(ServiceFiles(try example.file).texts(for: .cron)[Self.cron])
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines.first?.hasPrefix(ServiceNames.mark) == true && lines.last == "" && !text.contains("%"))
        #expect(lines[1] == "SHELL=/bin/bash" && !text.contains("MAILTO"))
        let jobs = lines.filter { $0.contains(" pgark set -o pipefail; /usr/local/bin/pgark ") }
        #expect(
            jobs.map { $0.split(separator: " ").prefix(5).joined(separator: " ") } == ["* * * * *", "0 1 * * 1-5", "17 * * * *"])
        #expect(jobs.map { $0.contains("logger -s") } == [false, true, true])
        example.text = example.text.replacing("service: cron", with: "user: other, service: cron")
        #expect(ServiceFiles(try example.file).texts(for: .cron)[Self.cron]?.contains("* * * * * other set -o") == true)
    }
}
