import Hosts
import Lab
import Postgres
import PostgresModel
import TestSupport
import Testing

/// What PostgreSQL 18.4 leaves out of the changes that it sends, pg_basebackup's included (docs/decisions/0016).
@Suite("What a server's increments leave out")
struct OmissionTests {
    /// Whether a server loses the rows is decided by the order in which its directory lists the summaries, anew each time.
    private static let rounds = 6

    @Test("is in a backup: tables that were cut shorter and grew again")
    func tablesCutShorter() throws {
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["summarize_wal": "on", "autovacuum": "off"])
            let pgark = try site.pgark(node)
            for round in 1...Self.rounds {
                try node.sql("CREATE TABLE public.cut\(round) AS SELECT n, 'old' AS r FROM generate_series(1, 20000) n")
            }
            try pgark.backUp(node)
            for round in 1...Self.rounds {
                let table = "public.cut\(round)"
                for statement in ["DELETE FROM \(table) WHERE n > 5000", "VACUUM \(table)", "CHECKPOINT"] {
                    try node.sql(statement)
                }
                try node.sql("INSERT INTO \(table) SELECT n, 'new' FROM generate_series(5001, 20000) n")
                try node.sql("CHECKPOINT")
                let increment = try pgark.backUp(node)
                // The round would prove nothing if all was read.
                #expect(increment.isIncremental && increment.backup.read_reason == .null)
            }
            // The last one has the tables as the increments of all rounds left them.
            try pgark.expectRestored(try pgark.backUp(node))
        }
    }

    @Test("is in a backup: bits of visibility maps, without which an index alone is believed")
    func visibilityMaps() throws {
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["summarize_wal": "on", "autovacuum": "off"])
            let pgark = try site.pgark(node)
            try node.sql("CREATE TABLE public.visible AS SELECT n FROM generate_series(1, 20000) n")
            try node.sql("CREATE INDEX ON public.visible (n)")
            try node.sql("VACUUM public.visible")
            for setting in ["seqscan", "bitmapscan"] { try node.sql("ALTER DATABASE postgres SET enable_\(setting) = off") }
            try pgark.backUp(node)
            try node.sql("DELETE FROM public.visible WHERE n % 1000 = 0")
            try node.sql("CHECKPOINT")
            let count = "SELECT count(*) FROM public.visible WHERE n > 0"
            let plan = try node.sql("EXPLAIN \(count)").compactMap { $0[0] }
            #expect(plan.contains { $0.contains("Index Only Scan") }, "\(plan)")
            #expect(try node.value(count) == "19980")

            let increment = try pgark.backUp(node)
            #expect(increment.isIncremental && increment.backup.read_reason == .null)
            try pgark.expectRestored(increment) { restored in
                let rows = try restored.value(count)
                #expect(rows == "19980")
            }
        }
    }
}
