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

    @Test("of a backup and of a restore stays below 64 MiB, and no more is needed for twice as much data")
    func isBounded() throws {
        let free = try Directory.space(at: TestMachine.temporaryRoot).free
        guard free.rawValue > 8 << 30 else {
            throw TestFailure("8 GiB are needed in \(TestMachine.temporaryRoot), \(free) are free")
        }
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["max_wal_size": "4GB", "full_page_writes": "off"])
            let pgark = try site.pgark(node)
            var peaks: [(backup: Int, restore: Int)] = []
            for round in 1...2 {
                try node.stop()
                // A table that is made in the transaction that fills it leaves no WAL then.
                try node.start(settings: ["wal_level": "minimal", "max_wal_senders": "0"])
                try node.fill("large\(round)", megabytes: 1024)
                try node.stop()
                try node.start()
                let backup = try peak(pgark, ["backup"])
                let place = site.directory.appending("restored")
                let restore = try peak(pgark, ["restore", "--to", place.string, "--yes"])
                try Directory.removeTree(place)
                try pgark("delete", "latest", "--yes")
                peaks.append((backup, restore))
                print("\(round) GiB: backup \(backup) KiB, restore \(restore) KiB")
                #expect(backup < Self.limit && restore < Self.limit, "\(peaks)")
            }
            // Twice the data: a twentieth and 2 MiB are for the allocator's moods.
            #expect(peaks[1].backup <= peaks[0].backup * 105 / 100 + 2048, "\(peaks)")
            #expect(peaks[1].restore <= peaks[0].restore * 105 / 100 + 2048, "\(peaks)")
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
