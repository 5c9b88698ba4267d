import Hosts
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// examples/lab, as its README has it: its commands, in its order, with its file.
@Suite("The example of the lab")
struct LabExampleTests {
    private static let directory = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
        .appending("examples/lab")

    /// The commands of the README's blocks.
    private static func commands() throws -> [String] {
        let text = try SmallFile.readText(directory.appending("README.md")) ?? ""
        return text.split(separator: "\n").filter { $0.hasPrefix("$ pgark ") }.map { String($0.dropFirst(8)) }
    }

    @Test("goes from nothing to a restored cluster", arguments: [15].filter(TestMachine.majors.contains))
    func plays(major: Int) throws {
        try TestHosts.with(["node1", "node2", "barman"], major: major, bare: ["node1", "node2"]) { hosts in
            let text = try SmallFile.readText(Self.directory.appending("pgark.yaml")) ?? ""
            #expect(text.contains("version: 18"))
            try hosts.write(text.replacing("version: 18", with: "version: \(major)"))
            func sql(_ node: String, _ statement: String) throws -> String {
                try hosts[node].sql(statement, hosts.programs, sockets: "/var/run/postgresql")
            }
            func databases(_ node: String) throws -> String {
                try sql(node, "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname LIKE 'otus%'")
            }
            var moment = "", played: [String] = []
            for command in try Self.commands() {
                var words = command.split(separator: " ").map(String.init)
                if let option = words.firstIndex(of: "--target-time") { words[(option + 1)...] = [moment] }
                if ["apply", "restore"].contains(words[0]) { words.append("--yes") }
                if words[0] == "backup" {
                    for database in ["otus", "otus_test"] { _ = try sql("node1", "CREATE DATABASE \(database)") }
                }
                let outcome = try hosts.command(words).outcome()
                // There is no backup yet, and `check` says so.
                let expected: Int32 = words[0] == "check" ? 5 : 0
                #expect(outcome.status == .exited(expected), "\(command): \(outcome.output)\(outcome.errors)")
                if words[0] == "list" {
                    moment = try sql(
                        "node1", "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'")
                    for database in ["otus", "otus_test"] { _ = try sql("node1", "DROP DATABASE \(database)") }
                    let end = try sql("node1", "SELECT pg_current_wal_lsn()")
                    try eventually("the repository has it") {
                        try hosts.json(0, "wal", "status").durable_lsn.string.flatMap { LSN($0) }.map { $0 >= LSN(end)! } ?? false
                    }
                }
                played.append(words[0])
            }
            #expect(played == ["plan", "apply", "status", "check", "backup", "list", "restore"])
            try #expect(databases("node1") == "otus otus_test")
            try eventually("node2 has them too") { try databases("node2") == "otus otus_test" }
            #expect(try hosts.pgark("check").status == .exited(0))
            try hosts.json(0, "plan", "--detailed-exitcode")
        }
    }
}
