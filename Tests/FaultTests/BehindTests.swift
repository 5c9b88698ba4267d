import Glibc
import Hosts
import Lab
import PostgresModel
import Storage
import TestSupport
import Testing

/// While it is far behind, a receiver keeps nothing but archived segments.
@Suite("A receiver that is far behind")
struct BehindTests {
    @Test("may be killed again and again: what it reported is archived, and nothing is missing", arguments: Seed.some(1))
    func killed(seed: Seed) throws {
        var generator = seed.generator
        try TestSite.with(18) { site in
            let node = try site.primary(initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            try node.sql("SELECT pg_create_physical_replication_slot('pgark', true)")
            var reported = LSN.zero
            for round in 1...5 {
                try node.writeWAL(megabytes: 20)
                let receiver = try pgark.receive(log: "receiver\(round).log")
                usleep(UInt32.random(in: 0...250_000, using: &generator))
                receiver.kill()
                let held = try #require(
                    LSN(node.value("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'pgark'")))
                #expect(held >= reported, "\(seed)")
                reported = held
                let ranges = try pgark("wal", "status").timelines.array
                let end = ranges.first?.to_lsn.string.flatMap { LSN($0) } ?? .zero
                // The slot begins where it was made, in the middle of a segment of which nothing may be stored yet.
                #expect(end >= held || ranges.isEmpty, "stored to \(end), reported \(held), \(seed)")
            }
            let receiver = try pgark.receive(log: "last.log")
            try pgark.waitUntilStored(try node.lsn())
            try receiver.stop()
            try pgark.expectWhole("\(seed)")
        }
    }
}
