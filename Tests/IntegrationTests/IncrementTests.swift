import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A backup on an earlier one")
struct IncrementTests {
    /// How a server is asked: 17 and newer send changes where they summarize their WAL.
    struct Way: Sendable, CustomTestStringConvertible {
        let major: Int
        var summarizes = false

        static let all = TestMachine.majors.flatMap { major in
            major < 17 ? [Way(major: major)] : [Way(major: major, summarizes: false), Way(major: major, summarizes: true)]
        }

        var settings: [String: String] { major < 17 ? [:] : ["summarize_wal": summarizes ? "on" : "off"] }
        var testDescription: String { "\(major)\(summarizes ? ", summaries" : "")" }

        /// Why everything is read; nil where it is not.
        var reason: String? {
            if summarizes { return nil }
            return major < 17 ? "PostgreSQL \(major) cannot tell what changed" : "summarize_wal is off on the server"
        }
    }

    @Test("is incremental by itself, says how and why, and --full is not", arguments: Way.all)
    func isIncrementalByItself(way: Way) throws {
        try TestSite.with(way.major) { site in
            let node = try site.primary(settings: way.settings)
            let pgark = try site.pgark(node)
            try node.sql("CREATE TABLE public.large AS SELECT n, md5(n::text) AS r FROM generate_series(1, 200000) n")
            let first = try pgark.backUp(node)
            #expect(first.backup.method.string == "full" && first.backup.reference == .null)
            #expect(first.backup.read_reason.string == "there is no earlier backup")

            try node.sql("UPDATE public.large SET r = 'changed' WHERE n % 20000 = 7")
            let second = try pgark.backUp(node)
            #expect(second.backup.method.string == "incremental" && second.backup.reference.string == first.id)
            #expect(second.backup.read_reason.string == way.reason)
            let data = try #require(second.backup.data_bytes.int)
            let read = try #require(second.backup.read_bytes.int)
            #expect(way.summarizes ? read < data / 4 : read > data, "\(read) of \(data) read")
            #expect(try #require(second.backup.stored_bytes.int) < #require(first.backup.stored_bytes.int) / 8)

            let full = try pgark.backUp(node, "--full")
            #expect(full.backup.method.string == "full" && full.backup.reference == .null)
            #expect(full.backup.read_reason.string == "it was asked for")
            #expect(try pgark.packs(of: full.id).allSatisfy { $0.hasPrefix(full.id) })
            #expect(try #require(full.backup.stored_bytes.int) > #require(first.backup.stored_bytes.int) * 9 / 10)

            // The newest is built on, whichever kind it is, and nothing of it is stored again.
            let last = try pgark.backUp(node)
            #expect(last.backup.reference.string == full.id)
            #expect(try pgark("verify", "--all", "--deep").problems.array.isEmpty)
            try pgark.expectRestored(second)
            try pgark("delete", first.id, second.id, full.id, "--yes")
            try pgark.expectRestored(last)
        }
    }

    @Test("reads everything where the server's summaries are gone, in the server's own words")
    func missesSummaries() throws {
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["summarize_wal": "on", "min_wal_size": "2MB"], initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            try node.createMarkers(1_000)
            try pgark.backUp(node)

            // For some time nobody summarizes, and the WAL of that time is gone when somebody does again.
            func summarize(_ setting: String) throws {
                try node.sql("ALTER SYSTEM SET summarize_wal = \(setting)")
                try node.sql("SELECT pg_reload_conf()")
                try eventually("summarize_wal is \(setting)") { try node.value("SHOW summarize_wal") == setting }
            }
            try summarize("off")
            for _ in 1...4 { try node.sql("INSERT INTO public.marker SELECT 0; SELECT pg_switch_wal(); CHECKPOINT") }
            try summarize("on")
            let late = try pgark.backUp(node)
            #expect(late.isIncremental)
            #expect(late.backup.read_reason.string?.contains("WAL summaries are required") == true, "\(late.backup.read_reason)")
            #expect(late.backup.read_reason.string?.contains("incomplete") == true, "\(late.backup.read_reason)")
            // Since then there is no gap.
            let reference = try pgark.backUp(node)
            #expect(reference.backup.read_reason == .null)

            // wal_summary_keep_time has passed, as far as the server can see.
            try node.sql("INSERT INTO public.marker SELECT 0")
            try node.sql("CHECKPOINT")
            let begin = try #require(reference.backup.begin_lsn.string)
            try eventually("what happened since the backup is summarized") {
                try node.value("SELECT count(*) FROM pg_available_wal_summaries() WHERE start_lsn >= '\(begin)'") != "0"
            }
            let summaries = node.data.pushing("pg_wal/summaries")
            for name in try #require(try Directory.names(in: summaries)) { try Directory.remove(summaries.appending(name)) }
            let last = try pgark.backUp(node)
            #expect(last.isIncremental)
            #expect(last.backup.read_reason.string?.contains("WAL summaries are required") == true, "\(last.backup.read_reason)")
            #expect(try #require(last.backup.stored_bytes.int) < #require(last.backup.data_bytes.int) / 10)
            try pgark.expectRestored(late)
            try pgark.expectRestored(last)
        }
    }

    @Test("of the primary may be one of a standby, and the other way about", arguments: [false, true])
    func changesNodes(withReceiver: Bool) throws {
        try TestSite.with(18) { site in
            let primary = try site.primary(settings: ["summarize_wal": "on"])
            let standby = try site.standby(of: primary, settings: ["summarize_wal": "on"])
            let pgark = try site.pgark(primary, standby)
            if withReceiver { try pgark.receive(node: "node1") }
            try primary.createMarkers(5_000)
            var states: [BackedUpState] = []
            for node in [primary, standby, standby, primary] {
                try primary.sql("INSERT INTO public.marker SELECT 0")
                let position = try primary.lsn()
                try eventually("the standby has it") { try standby.lsn() >= position }
                states.append(try pgark.backUp(node))
            }
            #expect(states.map(\.isIncremental) == [false, true, true, true])
            for state in states.dropFirst() {
                // A standby whose last restart point is older than the earlier backup refuses, in words of its own.
                let reason = state.backup.read_reason.string
                #expect(reason == nil || reason!.hasPrefix("the server cannot send changes: "), "\(state.backup.read_reason)")
                #expect(try #require(state.backup.stored_bytes.int) < #require(state.backup.data_bytes.int) / 10)
            }
            #expect(states[3].backup.read_reason == .null)
            for state in [states[1], states[3]] { try pgark.expectRestored(state) }
        }
    }
}
