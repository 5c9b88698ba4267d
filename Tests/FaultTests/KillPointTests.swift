import Glibc
import Hosts
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

    /// What is left over of it is neither shown nor in the way, and the next deletion or backup takes it away.
    @Test("a deletion leaves each backup whole or gone, and what is left restores")
    func deletion() throws {
        let points = Self.points([
            "rename": 3, "fsync": 6, "unlink": 6, "rmdir": 1, "pwrite64": 3, "fdatasync": 1, "copy_file_range": 1,
        ])
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["summarize_wal": "on"])
            try node.fill("large", megabytes: 12)
            let pgark = try site.pgark(node)
            let first = try #require(try pgark("backup").id.string)
            // Most of the first one's pack is dead without it, but not all.
            try node.sql("UPDATE large SET filler = filler")
            let last = try #require(try pgark("backup").id.string)
            let dump = try node.dumpDigest()
            let template = site.directory.appending("template")
            try Directory.rename(pgark.repository.removingLastComponent(), to: template)
            var killed = 0
            for (number, point) in points.enumerated() {
                let pgark = try site.pgark(node, repository: "repository\(number)")
                let root = pgark.repository.removingLastComponent()
                try Directory.removeTree(root)
                try site.command("/bin/cp", ["--archive", template.string, root.string]).run()
                let status = try pgark.command(["delete", first, "--yes"], under: point.wrapper).outcome().status
                #expect(status == .killed(signal: SIGKILL) || status == .exited(0), "\(point.description)")
                killed += status == .exited(0) ? 0 : 1
                try pgark.expectWhole(point.description)
                #expect(try pgark("verify", "--all", "--deep").problems.array.isEmpty, "\(point.description)")
                if try pgark("list").backups.array.contains(where: { $0.id.string == first }) {
                    try pgark("delete", first, "--yes")
                } else {
                    try pgark("backup")
                }
                try pgark.expectNoGarbage(point.description)
                if number % 5 == 0 {
                    let restored = try pgark.restore(to: "restored", [last, "--target-immediate"])
                    try restored.recover()
                    #expect(try restored.dumpDigest() == dump, "\(point.description)")
                    restored.discard()
                }
                try Directory.removeTree(root)
            }
            #expect(killed > points.count / 2, "only \(killed) of \(points.count) calls were made at all")
        }
    }

    @Test("a delta restore can be begun anew, to the same state or to another")
    func delta() throws {
        let points = Self.points(["rename": 3, "fsync": 3, "unlink": 4, "pwrite64": 3, "syncfs": 1])
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["summarize_wal": "on"])
            try node.fill("large", megabytes: 2)
            let pgark = try site.pgark(node)
            let first = try pgark.backUp(node)
            try node.sql("UPDATE large SET filler = filler")
            try node.sql("CREATE TABLE later AS SELECT 1 AS n")
            let states = [first, try pgark.backUp(node)]
            let restored = try pgark.restore(to: "restored", [states[1].id, "--target-immediate"])
            var killed = 0
            for (number, point) in points.enumerated() {
                let state = states[number % 2]
                let arguments = [
                    "restore", state.id, "--to", restored.data.string, "--delta", "--yes", "--target-immediate",
                ]
                let status = try pgark.command(arguments, under: point.wrapper).outcome().status
                #expect(status == .killed(signal: SIGKILL) || status == .exited(0), "\(point.description)")
                killed += status == .exited(0) ? 0 : 1
                let again = try pgark.run(arguments)
                #expect(again.status == .exited(0), "\(point.description): \(again.text)")
                if number % 4 < 2 {
                    try restored.recover()
                    #expect(try restored.dumps() == state.dumps, "\(point.description)")
                    try restored.stop()
                }
            }
            #expect(killed > points.count / 2, "only \(killed) of \(points.count) calls were made at all")
        }
    }

    @Test("a restore can be begun anew in the same directory")
    func restore() throws {
        let points = Self.points([
            "rename": 3, "fsync": 3, "mkdir": 3, "pwrite64": 3, "syncfs": 1, "unlink": 1,
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
