import Hosts
import Lab
import Storage
import SystemPackage
import TestSupport
import Testing

/// What a person waits for stays quick, however much is stored. Times differ from machine to machine, system calls do not:
/// these are counted, and of the time only so much is asked that no machine should need it.
@Suite("With a thousand backups and three thousand segments")
struct ManyBackupsTests {
    private static let backups = 1000, segments = 3000
    /// What it takes to load the libraries, to read the cluster file and to list some directories.
    private static let callsOfAnyCommand = 1500

    private func with(_ body: (TestSite, Pgark, _ ids: [String]) throws -> Void) throws {
        try TestSite.with(TestMachine.newest) { site in
            let pgark = try site.pgark(try site.place("node1"))
            let root = pgark.repository.removingLastComponent()
            let ids = try RepositoryExample.many(backups: Self.backups, segments: Self.segments, root: root, cluster: "test")
            try Command("/bin/chown", ["-R", "\(site.owner.user):\(site.owner.group)", root.string]).run()
            try body(site, pgark, ids)
        }
    }

    @Test("a listing makes six system calls for each backup and none for a segment, and takes less than a second")
    func list() throws {
        try with { site, pgark, ids in
            let list = try pgark("list")
            #expect(list.backups.array.map(\.id.string) == ids)
            #expect(list.recovery_window.gaps.array.isEmpty)
            for arguments in [["list"], ["list", "--json"]] {
                #expect(try systemCalls(site, pgark, arguments) < Self.callsOfAnyCommand + 7 * Self.backups)
                #expect(try seconds(pgark, arguments) < 1)
            }
        }
    }

    @Test("the newest is found among them in less than a second, and one that is named without a look at the others")
    func show() throws {
        try with { site, pgark, ids in
            let (latest, oldest) = (try pgark("show", "latest"), try pgark("show", "oldest"))
            #expect(latest.id.string == ids.first && oldest.id.string == ids.last)
            #expect(try systemCalls(site, pgark, ["show", "latest"]) < Self.callsOfAnyCommand + 5 * Self.backups)
            #expect(try systemCalls(site, pgark, ["show", ids[500]]) < Self.callsOfAnyCommand)
            #expect(try seconds(pgark, ["show", "latest"]) < 1)
        }
    }

    /// The best of some, for others may use the machine too.
    private func seconds(_ pgark: Pgark, _ arguments: [String]) throws -> Double {
        try (0..<3).map { _ in
            let outcome = try pgark.run(arguments)
            #expect(outcome.status == .exited(0))
            return outcome.seconds
        }.min()!
    }

    private func systemCalls(_ site: TestSite, _ pgark: Pgark, _ arguments: [String]) throws -> Int {
        let summary = site.directory.appending("calls")
        try pgark.command(arguments, under: ["/usr/bin/strace", "-f", "-c", "-o", summary.string]).run()
        // The last line: the share of the time, the seconds, those for each call, the calls, maybe the errors, "total".
        let fields = try #require(try SmallFile.readText(summary)).split(separator: "\n").last?.split(separator: " ") ?? []
        return try #require(fields.last == "total" ? Int(fields[3]) : nil)
    }
}
