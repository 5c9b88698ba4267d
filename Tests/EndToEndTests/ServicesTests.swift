import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Who keeps the receiver running and does what is due, on a host.
@Suite("The repository's host", .serialized)
struct ServicesTests {
    private static let major = 15
    private static let cronFile = "/etc/cron.d/pgark-lab"

    private static func text(_ hosts: TestHosts, service: String, _ more: String = "") -> String {
        """
        cluster: lab
        postgres: { version: \(hosts.programs.version.major), bin: \(hosts.programs.directory), parameters: { shared_buffers: 32MB } }
        nodes:
          node1: { host: 192.168.20.228, data: /var/lib/postgresql/data }
        repository: { host: 192.168.20.229, path: /var/lib/pgark, service: \(service) }
        \(more)
        """
    }

    private static func receiver(_ hosts: TestHosts) throws -> String? {
        let outcome = try hosts["repo"].command(["pgrep", "-f", "^/usr/local/bin/pgark wal receive"]).outcome()
        return outcome.output.split(whereSeparator: \.isNewline).first.map(String.init)
    }

    private static func isSettled(_ hosts: TestHosts) throws -> Bool {
        try hosts.pgark("plan", "--detailed-exitcode").status == .exited(0)
    }

    /// cron looks once a minute.
    private static let cronSeconds = 90.0

    @Test("has cron bring the receiver back, take backups and say what fails")
    func cron() throws {
        try TestHosts.with(["node1", "repo"], major: Self.major) { hosts in
            let repo = hosts["repo"]
            try repo.startCron()
            try hosts.write(Self.text(hosts, service: "auto", "backup: { schedule: \"*/1 * * * *\" }"))
            try hosts.json(0, "apply", "--yes")
            let after = try hosts.pgark("plan").text
            #expect(try Self.isSettled(hosts), "\(after)")
            #expect(try repo.run("stat -c '%U %a' \(Self.cronFile)") == "root 644\n")

            let first = try #require(try Self.receiver(hosts))
            try repo.run("kill -KILL \(first)")
            try eventually("cron begins the receiver", seconds: Self.cronSeconds) {
                try Self.receiver(hosts).map { $0 != first } ?? false
            }
            try eventually("it streams") { try hosts.json(0, "wal", "status").connected.bool == true }
            #expect(repo.systemLog.contains("wal receive of lab: exit status 137"), "\(repo.systemLog)")
            try eventually("cron takes a backup", seconds: Self.cronSeconds) {
                try hosts.json(0, "list").backups.array.contains { $0.status.string == "done" }
            }
            let checks = try hosts.json(0, "check", "backup-schedule", "maintenance").checks.array
            #expect(checks.map(\.result.string) == ["ok", "ok"], "\(checks)")
            let receiver = try Self.receiver(hosts)

            // A failure is in the log, and goes where cron sends what is printed.
            try hosts["node1"].run("pkill -INT -x postgres")
            try eventually("the log says that a backup failed", seconds: Self.cronSeconds) {
                repo.systemLog.contains("backup of lab: exit status 8") && repo.systemLog.contains("discarding output")
            }
            let lines = repo.systemLog.split(separator: "\n").filter { $0.contains(" pgark: ") }
            #expect(lines.contains { $0.contains("could not connect") }, "\(lines)")
            #expect(lines.contains { $0.contains("done in") }, "what a backup says is in the log too")
            #expect(!lines.contains { $0.contains("another process") || $0.contains("exit status 7") }, "\(lines)")
            #expect(!repo.systemLog.contains("bad minute") && !repo.systemLog.contains("WRONG"), "\(repo.systemLog)")
            #expect(try Self.receiver(hosts) == receiver, "one that runs is not disturbed")

            // And away again.
            try hosts.json(0, "apply", "--yes")
            try hosts.write(Self.text(hosts, service: "cron", "backup: { schedule: none }"))
            try hosts.json(0, "apply", "--yes")
            #expect(try !repo.run("cat \(Self.cronFile)").contains("pgark backup"))
            #expect(try Self.isSettled(hosts))
            try hosts.write(Self.text(hosts, service: "none"))
            try hosts.json(0, "apply", "--yes")
            #expect(try repo.run("ls /etc/cron.d") == "")
            #expect(try Self.isSettled(hosts) && Self.receiver(hosts) != nil)
        }
    }

    @Test("without cron has the receiver in the background, which follows a change of the program and of the cluster file")
    func none() throws {
        try TestHosts.with(["node1", "repo"], major: Self.major) { hosts in
            let repo = hosts["repo"]
            try hosts.write(Self.text(hosts, service: "none"))
            try hosts.json(0, "apply", "--yes")
            let plan = try hosts.json(0, "plan", "--detailed-exitcode")
            #expect(plan.remarks.array.count == 1 && plan.remarks[0].string?.contains("pgark maintain --scheduled") == true)
            #expect(try repo.run("stat -c %U /var/log/pgark/lab/receive.log") == "pgark\n")
            try eventually("its log says that it streams") {
                try repo.run("cat /var/log/pgark/lab/receive.log").contains("WAL stream")
            }

            let first = try #require(try Self.receiver(hosts))
            try repo.run("kill -KILL \(first)")
            let killed = try hosts.json(4, "plan", "--detailed-exitcode")
            #expect(killed.changes.array.map(\.object.string) == ["WAL receiver"])
            try hosts.json(0, "apply", "--yes")
            let second = try #require(try Self.receiver(hosts))
            #expect(try second != first && Self.isSettled(hosts))

            // A program that was replaced while nobody looked: the receiver still is the one of before.
            try repo.run("cp /usr/local/bin/pgark /usr/local/bin/new && mv /usr/local/bin/new /usr/local/bin/pgark")
            #expect(try hosts.json(4, "plan", "--detailed-exitcode").changes[0].to.string == "started again")
            try hosts.json(0, "apply", "--yes")
            let third = try #require(try Self.receiver(hosts))
            #expect(try third != second && Self.isSettled(hosts))

            try hosts.write(Self.text(hosts, service: "none", "backup: { maximum_age: 26h }"))
            try hosts.json(0, "apply", "--yes")
            let fourth = try #require(try Self.receiver(hosts))
            #expect(try fourth != third && Self.isSettled(hosts))
            let again = try hosts.pgark("apply", "--yes")
            #expect(again.status == .exited(0) && again.errors.contains("nothing to do"), "\(again.text)")
        }
    }
}
