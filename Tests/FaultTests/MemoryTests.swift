import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Memory does not grow with the database.
@Suite("The memory")
struct MemoryTests {
    private static let limit = 64 * 1024  // KiB

    /// The peaks of one round, in KiB.
    private typealias Peaks = [(command: String, peak: Int)]

    @Test("of a command stays below 64 MiB, and no more is needed for twice as much data")
    func isBounded() throws {
        let free = try Directory.space(at: TestMachine.temporaryRoot).free
        guard free.rawValue > 8 << 30 else {
            throw TestFailure("8 GiB are needed in \(TestMachine.temporaryRoot), \(free) are free")
        }
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["max_wal_size": "4GB", "full_page_writes": "off"])
            let pgark = try site.pgark(node)
            var rounds: [Peaks] = []
            for round in 1...2 {
                try node.stop()
                // A table that is made in the transaction that fills it leaves no WAL then.
                try node.start(settings: ["wal_level": "minimal", "max_wal_senders": "0"])
                try node.fill("large\(round)", megabytes: 1024)
                try node.stop()
                try node.start()
                let restored = ["restore", "--to", site.directory.appending("restored").string, "--yes"]
                let backup = try peak(pgark, ["backup"])
                // Every tenth page, so that what is referred to is in many pieces.
                for table in 1...round {
                    try node.sql("UPDATE large\(table) SET filler = '' WHERE (ctid::text::point)[0]::int % 10 = \(round)")
                }
                var peaks: Peaks = [("backup", backup)]
                for (name, arguments) in [
                    ("increment", ["backup"]), ("verify", ["verify", "latest", "--deep"]), ("restore", restored),
                    ("delta", restored + ["--delta"]), ("delete", ["delete", "latest", "--yes"]),
                ] { peaks.append((name, try peak(pgark, arguments))) }
                try Directory.removeTree(site.directory.appending("restored"))
                try pgark("delete", "latest", "--yes")
                rounds.append(peaks)
                print("\(round) GiB: " + peaks.map { "\($0) \($1) KiB" }.joined(separator: ", "))
            }
            for (first, second) in zip(rounds[0], rounds[1]) {
                #expect(first.peak < Self.limit && second.peak < Self.limit, "\(first), \(second)")
                // Twice the data: the rest is how full the queues between threads were, which on a busy machine differs by 5 MiB.
                #expect(second.peak <= first.peak * 105 / 100 + 6144, "\(first), \(second)")
            }
        }
    }

    /// The largest resident set, in KiB, as the kernel tells the parent of a process that ended.
    private func peak(_ pgark: Pgark, _ arguments: [String]) throws -> Int {
        let script = """
            import resource, subprocess, sys
            status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
            print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
            sys.exit(status)
            """
        var command = try pgark.command(arguments, under: ["/usr/bin/env", "python3", "-c", script])
        command.timeoutSeconds = 300
        let output = try command.run().output
        guard let peak = Int(output.filter(\.isNumber)) else { throw TestFailure("no peak: \(output)") }
        return peak
    }
}
