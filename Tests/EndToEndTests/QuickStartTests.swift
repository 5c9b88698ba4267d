import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Somebody has a running PostgreSQL and the README.
@Suite("A server that runs already", .serialized)
struct QuickStartTests {
    private static let root = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
    static let sockets = "/var/run/postgresql"

    /// The first commands of the README's chapter, as they are there.
    private static func commands() throws -> [String] {
        let text = try #require(try SmallFile.readText(root.appending("README.md")))
        let chapter = try #require(text.split(separator: "## Protect a server that runs already").last)
        let block = chapter.split(separator: "```").dropFirst().first ?? ""
        return block.split(whereSeparator: \.isNewline).map { line in String(line.prefix { $0 != "#" }) }
    }

    /// In a directory of its own, with pgark in the path as somebody has who has just got it.
    static func shell(_ hosts: TestHosts, _ host: TestHost, _ script: String, as user: String? = nil) throws -> Command {
        let place = hosts.directory.appending("\(host.name)-work")
        try Directory.create(place, permissions: 0o755)
        try Directory.create(place.appending("bin"), permissions: 0o755)
        if try !Directory.exists(place.appending("bin/pgark")) {
            try Directory.link(try TestMachine.pgark().string, at: place.appending("bin/pgark"))
        }
        let words = ["/bin/sh", "-c", "export PATH=\(place)/bin:$PATH; cd \(place); \(script)"]
        let switching = user.map { ["/usr/bin/setpriv", "--reuid=\($0)", "--regid=\($0)", "--init-groups", "--"] } ?? []
        return host.command(switching + words)
    }

    /// On a terminal, with these answers.
    private static func typed(_ hosts: TestHosts, _ command: String, _ answers: String) throws -> Command.Outcome {
        let quoted = "script --quiet --return --command '\(command)' /dev/null"
        return try shell(hosts, hosts["db"], "printf '\(answers)' | \(quoted)").outcome()
    }

    static func debian(_ host: TestHost, _ more: String = "") throws {
        try host.run("pg_createcluster 15 main > /dev/null; \(more)\npg_ctlcluster 15 main start")
    }

    @Test("is protected by the README's three commands, and what it had is restored")
    func readme() throws {
        try TestHosts.with(["db"], major: 15) { hosts in
            let host = hosts["db"], commands = try Self.commands()
            try #require(commands.count == 3 && commands[0].hasPrefix("pgark init"))
            try Self.debian(host)
            func sql(_ statement: String) throws -> String { try host.sql(statement, hosts.programs, sockets: Self.sockets) }
            let started = try sql("SELECT pg_postmaster_start_time()")
            _ = try sql("CREATE TABLE orders AS SELECT generate_series(1, 1000) n")

            var seconds = 0.0
            // The name, the directory, the role; then the plan; then nothing.
            for (command, answers) in zip(commands, ["shop\\n\\n\\n", "y\\n", ""]) {
                let outcome = try Self.typed(hosts, command, answers)
                #expect(outcome.status == .exited(0), "\(command): \(outcome.output)\(outcome.errors)")
                seconds += outcome.seconds
            }
            #expect(seconds < 60, "\(seconds)")
            #expect(try sql("SELECT pg_postmaster_start_time()") == started)
            #expect(try sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'pgark'") == "f")
            #expect(try sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'pgark'") == "t")

            _ = try sql("INSERT INTO orders SELECT generate_series(1001, 1500)")
            let end = try sql("SELECT pg_current_wal_lsn()")
            try eventually("the repository has it") {
                let status = try Self.shell(hosts, host, "pgark wal status --json").run().output
                return try JSON(parsing: status).durable_lsn.string.flatMap { LSN($0) }.map { $0 >= LSN(end)! } ?? false
            }
            let check = try Self.shell(hosts, host, "pgark check").outcome()
            #expect(check.status == .exited(0), "\(check.output)")
            try host.run("pg_ctlcluster 15 main stop -m immediate; rm -rf /var/lib/postgresql/15/main")
            try Self.shell(hosts, host, "pgark restore --to /var/lib/postgresql/15/main --yes --start").run()
            try eventually("it takes writes") { (try? sql("SELECT pg_is_in_recovery()")) == "f" }
            #expect(try sql("SELECT count(*) FROM orders") == "1500")
            // Another apply has nothing to do.
            let again = try Self.shell(hosts, host, "pgark plan --detailed-exitcode").outcome()
            #expect(again.status == .exited(0), "\(again.output)")
        }
    }

    @Test("is protected by somebody who is not root, without apply")
    func withoutRoot() throws {
        try TestHosts.with(["db"], major: 15) { hosts in
            let host = hosts["db"]
            try Self.debian(host)
            try host.run("install -d -o postgres /var/lib/postgresql/work")
            func run(_ script: String) throws -> Command.Outcome {
                try Self.shell(hosts, host, "cd /var/lib/postgresql/work; export HOME=$PWD; \(script)", as: "postgres").outcome()
            }
            let made = try run("pgark init --cluster shop --from dbname=postgres --create-role")
            #expect(made.status == .exited(0) && made.errors.contains("pgark wal receive &"), "\(made.output)\(made.errors)")
            #expect(try host.run("stat -c '%a %U' /var/lib/postgresql/work/shop.pgpass") == "600 postgres\n")
            let backup = try run(
                "pgark wal receive > log 2>&1 & sleep 1; pgark backup && pgark check --nagios; pgark list --json")
            #expect(
                backup.output.contains("\"path\"") || backup.output.contains("\"backups\""), "\(backup.output)\(backup.errors)")
            #expect(backup.output.contains("done"))
        }
    }

    @Test("says what stands in the way")
    func obstacles() throws {
        try TestHosts.with(["db", "backup"], major: 15) { hosts in
            let hba = "/etc/postgresql/15/main/pg_hba.conf", address = "192.168.20.228"
            try Self.debian(
                hosts["db"],
                """
                echo "listen_addresses = '*'" >> /etc/postgresql/15/main/postgresql.conf
                echo 'host all postgres 192.168.20.0/24 scram-sha-256' >> \(hba)
                """)
            func sql(_ statement: String) throws -> String {
                try hosts["db"].sql(statement, hosts.programs, sockets: Self.sockets)
            }
            _ = try sql("ALTER ROLE postgres PASSWORD 'topsecret'")
            let begin = "export PGPASSWORD=topsecret; pgark init --cluster shop --from \"host=\(address) user=postgres\""
            func fails(_ status: Int32, _ script: String, _ words: String...) throws {
                let outcome = try Self.shell(hosts, hosts["backup"], "(\(script)) < /dev/null").outcome()
                let text = outcome.output + outcome.errors
                #expect(outcome.status == .exited(status), "\(script): \(text)")
                for word in words { #expect(text.contains(word), "\(word) in: \(text)") }
                #expect(!text.contains("topsecret") && !text.contains("SCRAM-SHA-256$"))
            }
            try fails(64, "pgark init", "--cluster NAME", "--from CONNINFO")
            try fails(64, "\(begin)' password=x'", "must not hold a password")
            try fails(8, begin.replacing("topsecret", with: "wrong"), "password authentication failed", "hint:")
            try fails(8, begin.replacing(address, with: "192.168.20.99"), "could not connect", "hint:")
            try fails(64, "\(begin) --output /nowhere/pgark.yaml", "/nowhere does not exist", "mkdir -p /nowhere")
            try fails(3, begin, "it has no role pgark", "CREATE ROLE pgark LOGIN REPLICATION;", "--create-role")
            // Until pg_hba.conf lets it in, and the line is the right one.
            let line = "host all,replication pgark 192.168.20.229/32 scram-sha-256"
            try fails(8, "\(begin) --create-role", "could not log in", "head of \(hba)", line, "pg_reload_conf()")
            try fails(3, begin, "pgark.yaml: it exists")
            try hosts["db"].run("sed -i '1i \(line)' \(hba); pg_ctlcluster 15 main reload")
            let works = try Self.shell(hosts, hosts["backup"], "pgark apply --yes && pgark backup").outcome()
            #expect(works.status == .exited(0), "\(works.output)\(works.errors)")
            #expect(try hosts["backup"].run("stat -c '%a %U' /etc/pgark/shop.pgpass") == "600 pgark\n")
            let log = try hosts["db"].run("cat /var/log/postgresql/*.log")
            #expect(log.contains("pgark") && !log.contains("SCRAM-SHA-256$"))

            // The role has another password now; a new one mends it.
            _ = try sql("ALTER ROLE pgark PASSWORD 'other'")
            try fails(8, "rm pgark.yaml; \(begin)", "is not the one of pgark", "--new-password")
            try fails(0, "\(begin) --new-password", "pgark.yaml is written")
            try fails(0, "pgark apply --yes && pgark backup")
            // And a server that is away.
            try hosts["db"].run("pg_ctlcluster 15 main stop -m fast")
            try fails(8, "pgark backup", "could not connect", "hint:")
        }
    }
}
