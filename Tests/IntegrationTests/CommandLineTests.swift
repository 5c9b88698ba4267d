import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("Bad input", .histories)
struct CommandLineTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let arguments: [String]
        let code: Failure.Code
        let status: Int32

        init(_ line: String, _ code: Failure.Code, _ status: Int32) {
            arguments = line.split(separator: " ").map { String($0).replacing("_", with: " ") }
            self.code = code
            self.status = status
        }

        var testDescription: String { arguments.joined(separator: " ") }
    }

    static let restore = "restore --yes --to /nowhere/at-all"

    static let cases: [Case] =
        [
            "backup", "list", "show latest", "verify", "keep latest", "delete latest", restore, "wal receive", "wal status",
            "wal switch",
            "status", "check",
        ].flatMap { command in
            [
                Case("\(command) --wrong", .usage, 64),
                Case("\(command) --config /nowhere/pgark.yaml", .configuration, 64),
                Case("\(command) --cluster other", .clusterMissing, 6),
            ]
        } + [
            Case("nonsense", .usage, 64), Case("wal", .usage, 64), Case("wal nonsense", .usage, 64), Case("", .usage, 64),
            Case("show", .usage, 64), Case("delete", .usage, 64), Case("keep", .usage, 64), Case("restore", .usage, 64),
            Case("show nothing", .backupMissing, 6), Case("verify nothing", .backupMissing, 6),
            Case("keep nothing", .backupMissing, 6), Case("delete nothing --yes", .backupMissing, 6),
            Case("restore nothing --yes --to /nowhere/at-all", .backupMissing, 6),
            Case("backup --node nobody", .nodeMissing, 6), Case("backup --jobs 0", .usage, 64),
            Case("backup --jobs x", .usage, 64),
            Case("backup --name latest", .usage, 64), Case("backup --name a/b", .usage, 64),
            Case("wal receive --node nobody", .nodeMissing, 6), Case("wal switch --timeout soon", .usage, 64),
            Case("\(restore) --target-lsn 12", .usage, 64), Case("\(restore) --target-lsn 0/1/2", .usage, 64),
            Case("\(restore) --target-lsn 0/123456789", .usage, 64), Case("\(restore) --target-lsn -1/0", .usage, 64),
            Case("\(restore) --target-xid x", .usage, 64), Case("\(restore) --target-xid 99999999999999999999999", .usage, 64),
            Case("\(restore) --target-xid 0", .usage, 64), Case("\(restore) --target-time yesterday", .usage, 64),
            Case("\(restore) --target-time 2026-02-30_00:00:00+00", .usage, 64),
            Case("\(restore) --target-time 2026-01-01_25:00:00+00", .usage, 64),
            Case("\(restore) --target-time 99999-01-01_00:00:00+00", .usage, 64),
            Case("\(restore) --target-time 2026-01-01_00:00:00+99", .usage, 64),
            Case("\(restore) --target-name \(String(repeating: "n", count: 64))", .usage, 64),
            Case("\(restore) --target-timeline next", .usage, 64), Case("\(restore) --target-timeline 0", .usage, 64),
            Case("\(restore) --target-timeline 4294967296", .usage, 64), Case("\(restore) --target-action explode", .usage, 64),
            Case("\(restore) --target-immediate --target-xid 5", .usage, 64), Case("\(restore) --slot s", .usage, 64),
            Case("\(restore) --standby --target-xid 5", .usage, 64), Case("\(restore) --jobs 65", .usage, 64),
            Case("verify latest --all", .usage, 64), Case("verify --jobs 0", .usage, 64), Case("verify --jobs -1", .usage, 64),
            Case("export latest /nowhere/at-all --jobs 65", .usage, 64),
        ]

    @Test("gives the error of the contract as one JSON document, and never a trap", arguments: cases)
    func isAnError(input: Case) throws {
        let history = try Histories.of(TestMachine.newest)
        try history.pgark.fails(input.code, input.status, input.arguments)
    }

    @Test("gives a person the same error on stderr, with nothing on stdout")
    func isReadable() throws {
        let pgark = try Histories.of(TestMachine.newest).pgark
        let outcome = try pgark.run("show", "nothing")
        #expect(outcome.status == .exited(6))
        #expect(outcome.output.isEmpty)
        let lines = outcome.errors.split(separator: "\n")
        #expect(lines.first?.hasPrefix("pgark: could not find backup \"nothing\"") == true)
        #expect(lines.contains { $0.hasPrefix("detail: ") } && lines.contains { $0.hasPrefix("hint: ") })
    }

    @Test(
        "in the cluster file is named by its line",
        arguments: [
            ("", "empty"), ("cluster: [", ":2:1"), ("cluster: a\nnodes: 5\nrepository: {path: r}\n", ":2:"),
            ("cluster: a\nnodes: {n: {host: h}}\nrepository: {path: r, speed: 3}\n", ":3:"),
            ("cluster: a\nnodes: {n: {connection: \"host=h password=secret\"}}\nrepository: {path: r}\n", ":2:"),
            ("cluster: ../a\nnodes: {n: {host: h}}\nrepository: {path: r}\n", ":1:"),
        ])
    func namesLine(text: String, place: String) throws {
        try TestSite.with(TestMachine.newest) { site in
            let pgark = try site.pgark(try site.place("node1"))
            try SmallFile.write(text, to: pgark.configuration, owner: site.owner)
            let error = try pgark.fails(.configuration, 64, "list")
            #expect(error.detail.string?.contains(place) == true, "\(error)")
            #expect(error.detail.string?.contains("password=secret") != true)
        }
    }

    @Test("about a repository that is not there yet says so")
    func missesRepository() throws {
        try TestSite.with(TestMachine.newest) { site in
            let pgark = try site.pgark(try site.place("node1"))
            #expect(try pgark("list").backups.array.isEmpty)
            for line in [["show", "latest"], ["verify"], ["wal", "status"], ["restore", "--yes", "--to", "/nowhere/at-all"]] {
                try pgark.fails(.clusterMissing, 6, line)
            }
        }
    }
}
