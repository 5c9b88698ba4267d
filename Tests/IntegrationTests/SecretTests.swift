import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Promise P9: a password is in its passfile and nowhere else.
@Suite("A password")
struct SecretTests {
    @Test("is in no argument list, output, log, record or restored file", arguments: TestMachine.majors)
    func staysSecret(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(settings: [
                "log_statement": "all", "log_connections": "on", "log_replication_commands": "on",
            ])
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try node.createMarkers(1_000)
            let backup = try pgark.start("backup", log: "backup.log")
            var seen: [String] = []
            while backup.status == nil { seen += Self.commandLines() }
            #expect(seen.contains { $0.contains("pgark wal receive") }, "nothing was watched")
            var said = [receiver.output, backup.output] + seen
            for line in [
                ["list"], ["show", "latest"], ["wal", "status"], ["status"], ["check"], ["backup", "--node", "nobody"],
            ] {
                said.append(try pgark.run(line).text)
                said.append(try pgark.run(line + ["--json"]).text)
            }
            let standby = try pgark.restore(to: "standby", ["--standby"])
            try node.stop()
            said += [try pgark.run("backup").text, receiver.output, node.log]
            said.append(try #require(try SmallFile.readText(standby.data.appending("postgresql.auto.conf"))))

            for secret in [site.passwords.pgark, site.passwords.postgres] {
                #expect(!said.contains { $0.contains(secret) })
                let files = try site.shell(
                    "grep --recursive --files-with-matches --fixed-strings --file=- \"$1\" \"$2\" || true", "\(pgark.repository)",
                    "\(standby.data)", input: secret)
                #expect(files.isEmpty)
            }
        }
    }

    private static func commandLines() -> [String] {
        ((try? Directory.names(in: "/proc")) ?? []).filter { $0.allSatisfy(\.isNumber) }.compactMap { pid in
            // Its size is said to be zero, so it is read in one piece.
            (try? File(FilePath("/proc/\(pid)/cmdline"), .read).bytes(at: 0, count: 64 << 10)).map {
                String(decoding: $0.map { $0 == 0 ? UInt8(ascii: " ") : $0 }, as: UTF8.self)
            }
        }
    }
}
