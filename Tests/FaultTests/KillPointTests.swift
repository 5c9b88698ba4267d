import Glibc
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// kill -9 where it is unlikely to fall by chance: as the process is about to make the n-th call of a kind, which strace
/// turns into its death.
@Suite("Killed at the moment of a system call")
struct KillPointTests {
    private struct Point {
        let call: String
        let number: Int
        var description: String { "\(call) \(number)" }

        var wrapper: [String] {
            // strace counts the calls of each thread by itself.
            [
                "/usr/bin/strace", "-f", "-qq", "-e", "trace=\(call)", "-e", "inject=\(call):signal=SIGKILL:when=\(number)", "-o",
                "/dev/null",
            ]
        }
    }

    private static func points(_ counts: KeyValuePairs<String, Int>) -> [Point] {
        counts.flatMap { call, count in (1...count).map { Point(call: call, number: $0) } }
    }

    @Test("a first backup can be taken again and leaves no garbage")
    func backup() throws {
        let points = Self.points(["rename": 6, "fdatasync": 4, "fsync": 7, "mkdir": 4, "pwrite64": 2])
        try TestSite.with(18) { site in
            let node = try site.primary()
            // Holds what is between two backups, each of which streams its own WAL.
            try node.sql("SELECT pg_create_physical_replication_slot('pgark', true)")
            var killed = 0
            for (number, point) in points.enumerated() {
                let pgark = try site.pgark(node, repository: "repository\(number)")
                let status = try pgark.command(["backup"], under: point.wrapper).outcome().status
                #expect(status == .killed(signal: SIGKILL) || status == .exited(0), "\(point.description)")
                killed += status == .exited(0) ? 0 : 1
                let again = try pgark.run("backup", "--json")
                #expect(again.status == .exited(0), "\(point.description): \(again.text)")
                try pgark.expectWhole(point.description)
                try pgark.expectNoGarbage(point.description)
                try Directory.removeTree(pgark.repository.removingLastComponent())
            }
            #expect(killed > points.count / 2, "only \(killed) of \(points.count) calls were made at all")
        }
    }

    @Test("a restore can be begun anew in the same directory")
    func restore() throws {
        let points = Self.points([
            "rename": 3, "fsync": 3, "ftruncate": 2, "mkdir": 3, "pwrite64": 3, "syncfs": 1, "unlink": 1,
        ])
        try TestSite.with(18) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try pgark("backup")
            let place = site.directory.appending("restored")
            let arguments = ["restore", "--to", place.string, "--yes"]
            var killed = 0
            for point in points {
                let status = try pgark.command(arguments, under: point.wrapper).outcome().status
                #expect(status == .killed(signal: SIGKILL) || status == .exited(0), "\(point.description)")
                killed += status == .exited(0) ? 0 : 1
                // The control file comes last, after everything else is durable: only a call that removes (the marker, in the
                // end) may find it there.
                let isComplete = try Directory.exists(place.pushing(FilePath("global/pg_control")))
                if status != .exited(0), point.call != "unlink" { #expect(!isComplete, "\(point.description)") }
                if !isComplete {
                    let again = try pgark.run(arguments)
                    #expect(again.status == .exited(0), "\(point.description): \(again.text)")
                }
                #expect(try Directory.exists(place.pushing(FilePath("global/pg_control"))), "\(point.description)")
                try Directory.removeTree(place)
            }
            #expect(killed > points.count / 2, "only \(killed) of \(points.count) calls were made at all")
        }
    }
}
