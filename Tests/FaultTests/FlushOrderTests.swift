import Glibc
import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Promise P1, seen from the kernel: `pgark wal receive` runs under strace while a client writes, and every report on its
/// replication connection is compared with the syncs before it.
@Suite("A flush is reported")
struct FlushOrderTests {
    private static let calls =
        "trace=fdatasync,fsync,pwrite64,sendto,sendmsg,write,writev,rename,renameat,renameat2,link,unlink,openat"

    @Test("only after fdatasync of the bytes, and a segment's raw form is removed only after its archived form is durable")
    func afterSync() throws {
        try TestSite.with(18) { site in
            let (node, pgark) = try prepare(site)
            let strace = try receive(pgark, [])
            defer { strace.killChildren() }
            let writer = Writer(node)
            try writer.waitUntilAcknowledged(500, seconds: 60)
            try node.sql("CREATE TABLE public.bulk AS SELECT md5(g::text) FROM generate_series(1, 60000) g")
            try writer.waitUntilAcknowledged(1_000, seconds: 60)
            try writer.stop()
            let end = try node.lsn()
            try eventually("all is reported", seconds: 60) { try node.reportedFlush().map { $0 >= end } ?? false }
            kill(try #require(ProcessList.children(of: strace.pid).first), SIGTERM)
            #expect(try strace.wait() == .exited(0), "\(strace.output)")
            let report = try audit(site)
            #expect(report.advances > 50 && report.completed > 2 && report.archived > 2, "\(report)")
            #expect(report.failedSyncs == 0 && report.lastFlush >= end.rawValue)
        }
    }

    @Test("as well where it is far behind: then only after its segments are archived, names included")
    func behind() throws {
        try TestSite.with(18) { site in
            let (node, pgark) = try prepare(site)
            try node.sql("SELECT pg_create_physical_replication_slot('pgark', true)")
            try node.sql("CREATE TABLE public.bulk AS SELECT md5(g::text) FROM generate_series(1, 400000) g")
            let backlog = try node.lsn()
            let strace = try receive(pgark, [])
            defer { strace.killChildren() }
            try eventually("the backlog is reported", seconds: 60) { try node.reportedFlush().map { $0 >= backlog } ?? false }
            let writer = Writer(node)
            try writer.waitUntilAcknowledged(300, seconds: 60)
            try writer.stop()
            let end = try node.lsn()
            try eventually("all is reported", seconds: 60) { try node.reportedFlush().map { $0 >= end } ?? false }
            kill(try #require(ProcessList.children(of: strace.pid).first), SIGTERM)
            #expect(try strace.wait() == .exited(0), "\(strace.output)")
            let report = try audit(site)
            // Few segments had a raw form; the others were archived as they came.
            #expect(report.completed < 8 && report.advances > 50, "\(report)")
            #expect(report.failedSyncs == 0 && report.lastFlush >= end.rawValue)
            try pgark.expectWhole("after the backlog")
        }
    }

    @Test("never for bytes whose fdatasync failed: their segment is received anew", arguments: Seed.some(1))
    func neverAfterFailedSync(seed: Seed) throws {
        // The kernel says EIO once and from then on, having dropped the pages, success: what a second attempt would believe.
        var generator = seed.generator
        let at = Int.random(in: 40...120, using: &generator)
        try TestSite.with(18) { site in
            let (node, pgark) = try prepare(site)
            let strace = try receive(pgark, ["-e", "inject=fdatasync:error=EIO:when=\(at)"])
            defer { strace.killChildren() }
            let writer = Writer(node)
            try strace.waitUntil(prints: "trying again", seconds: 60)
            #expect(
                strace.output.contains("could not make durable") && strace.output.contains("Input/output error"),
                "\(strace.output)")
            let acknowledged = writer.acknowledged
            try writer.waitUntilAcknowledged(acknowledged + 100, seconds: 60)
            try writer.stop()
            let end = try node.lsn()
            try eventually("all is reported", seconds: 60) { try node.reportedFlush().map { $0 >= end } ?? false }
            kill(try #require(ProcessList.children(of: strace.pid).first), SIGTERM)
            #expect(try strace.wait() == .exited(0), "\(strace.output)")
            let report = try audit(site)
            #expect(report.failedSyncs == 1 && report.advances > 20, "\(report), \(seed)")
            try pgark.expectWhole("\(seed)")
        }
    }

    @Test("no sooner on a disk that is slow for longer than the server's patience; the connection lasts")
    func slowSync() throws {
        try TestSite.with(18) { site in
            let (node, pgark) = try prepare(site, ["wal_sender_timeout": "2s"])
            let strace = try receive(pgark, ["-e", "inject=fdatasync:delay_enter=7000000:when=60"])
            defer { strace.killChildren() }
            let sender = try node.value("SELECT pid FROM pg_stat_replication WHERE application_name = 'pgark'")
            let writer = Writer(node)
            try writer.waitUntilAcknowledged(300, seconds: 60)
            try writer.stop()
            let end = try node.lsn()
            try eventually("all is reported", seconds: 60) { try node.reportedFlush().map { $0 >= end } ?? false }
            #expect(try node.value("SELECT pid FROM pg_stat_replication WHERE application_name = 'pgark'") == sender)
            kill(try #require(ProcessList.children(of: strace.pid).first), SIGTERM)
            #expect(try strace.wait() == .exited(0), "\(strace.output)")
            #expect(!strace.output.contains("trying again"), "\(strace.output)")
            #expect(try audit(site).advances > 50)
            let calls = try Command("/bin/cat", [trace(site).string]).run().output
            #expect(calls.contains("(DELAYED)"))
        }
    }

    private func prepare(_ site: TestSite, _ settings: [String: String] = [:]) throws -> (TestServer, Pgark) {
        let node = try site.primary(settings: settings, initdb: ["--wal-segsize=1"])
        try Writer.prepare(node)
        return (node, try site.pgark(node))
    }

    private func receive(_ pgark: Pgark, _ faults: [String]) throws -> BackgroundProcess {
        let options = ["-f", "-ttt", "-y", "-xx", "-s", "512", "-e", Self.calls] + faults + ["-o", trace(pgark.site).string]
        var command = try pgark.command(["wal", "receive"], under: ["/usr/bin/strace"] + options)
        command.environment["PGSSLMODE"] = "disable"  // the bytes on the connection are read
        let strace = try pgark.site.start(command, log: "strace.log")
        try strace.waitUntil(prints: "WAL stream: from")
        return strace
    }

    private func trace(_ site: TestSite) -> FilePath { site.directory.appending("trace") }

    private func audit(_ site: TestSite) throws -> FlushAudit.Report {
        let text = try Command("/bin/cat", [trace(site).string]).run().output
        return try FlushAudit.run(text, segmentSize: #require(WALSegmentSize(bytes: 1 << 20)))
    }
}

extension BackgroundProcess {
    /// A tracer that is killed lets go of the traced process, which would outlive a test that fails.
    fileprivate func killChildren() {
        for child in ProcessList.children(of: pid) { Glibc.kill(child, SIGKILL) }
    }
}

/// The audit is worth something only if it rejects what is wrong: each of these traces differs from the right one by that.
@Suite("The audit of a trace")
struct FlushAuditTests {
    private static let size = WALSegmentSize(bytes: 1 << 20)!
    private static let incoming = "/r/incoming"
    private static let partial = "\(incoming)/000000010000000000000030.partial"

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { "\\x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
    private static func hex(_ text: String) -> String { hex(text.utf8) }

    private static func message(_ kind: String, _ body: [UInt8]) -> [UInt8] {
        Array(kind.utf8) + withUnsafeBytes(of: UInt32(body.count + 4).bigEndian, Array.init) + body
    }

    private static func sends(_ bytes: [UInt8]) -> String {
        "sendto(5<\(hex("socket:[9]"))>, \"\(hex(bytes))\", \(bytes.count), MSG_NOSIGNAL, NULL, 0) = \(bytes.count)"
    }

    private static let starts = sends(
        message("Q", Array("START_REPLICATION SLOT \"pgark\" PHYSICAL 0/3000000 TIMELINE 1\0".utf8)))
    private static let opens =
        "openat(AT_FDCWD<\(hex("/"))>, \"\(hex(partial))\", O_RDWR|O_CREAT|O_CLOEXEC, 0640) = 7<\(hex(partial))>"
    private static let syncsName = "fsync(8<\(hex(incoming))>)              = 0"
    private static func writes(_ count: Int, at offset: Int) -> String {
        "pwrite64(7<\(hex(partial))>, \"\(hex("abc"))\"..., \(count), \(offset)) = \(count)"
    }
    private static func syncs(_ path: String = partial) -> String { "fdatasync(7<\(hex(path))>)           = 0" }
    private static func reports(_ flushed: UInt64, written: UInt64? = nil) -> String {
        let update = StandbyStatusUpdate(
            written: LSN(rawValue: 0x300_0000 + (written ?? flushed)), flushed: LSN(rawValue: 0x300_0000 + flushed),
            applied: LSN(rawValue: 0x300_0000 + flushed), clock: Timestamp(microseconds: 0))
        return sends(message("d", update.bytes))
    }

    private func audit(_ calls: [String]) throws -> FlushAudit.Report {
        let lines = calls.enumerated().map { "11 1795367454.\(100000 + $0.offset) \($0.element)" }
        return try FlushAudit.run(lines.joined(separator: "\n"), segmentSize: Self.size)
    }

    private static let right = [starts, opens, syncsName, writes(8192, at: 0), syncs(), reports(8192)]

    @Test("accepts the right order")
    func acceptsRightOrder() throws {
        let report = try audit(
            Self.right + [Self.writes(100, at: 8192), Self.reports(8192, written: 8292), Self.syncs(), Self.reports(8292)])
        #expect(report.advances == 2 && report.lastFlush == 0x300_0000 + 8292)
    }

    static let wrong: [(String, [String])] = [
        ("no sync", [starts, opens, syncsName, writes(8192, at: 0), reports(8192)]),
        ("the sync after the report", [starts, opens, syncsName, writes(8192, at: 0), reports(8192), syncs()]),
        ("the sync before the write", [starts, opens, syncsName, syncs(), writes(8192, at: 0), reports(8192)]),
        ("a sync of another file", [starts, opens, syncsName, writes(8192, at: 0), syncs("\(incoming)/other"), reports(8192)]),
        ("a byte too many", Array(right.dropLast()) + [reports(8193)]),
        ("a written byte that was not", Array(right.dropLast()) + [reports(8192, written: 8193)]),
        ("a hole", [starts, opens, syncsName, writes(8192, at: 8192), syncs(), reports(16384)]),
        ("the name not durable", [starts, opens, writes(8192, at: 0), syncs(), reports(8192)]),
        ("the name synced too early", [starts, syncsName, opens, writes(8192, at: 0), syncs(), reports(8192)]),
        (
            "a sync that still runs",
            [
                starts, opens, syncsName, writes(8192, at: 0), "fdatasync(7<\(hex(partial))> <unfinished ...>", reports(8192),
                "<... fdatasync resumed>)  = 0",
            ]
        ),
        (
            "a sync that failed, and one that did not after it",
            [
                starts, opens, syncsName, writes(8192, at: 0),
                "fdatasync(7<\(hex(partial))>) = -1 EIO (Input/output error) (INJECTED)", syncs(), reports(8192),
            ]
        ),
        (
            "a segment removed before its archived form is durable",
            right + ["unlink(\"\(hex("\(incoming)/000000010000000000000030"))\") = 0"]
        ),
    ]

    @Test("rejects", arguments: wrong)
    func rejects(what: String, calls: [String]) {
        #expect(throws: TraceFailure.self, "\(what)") { try audit(calls) }
    }

    @Test("reads a call that another thread's lines cut in two")
    func stitchesCalls() throws {
        let calls = [
            Self.starts, Self.opens, Self.syncsName, Self.writes(8192, at: 0),
            "fdatasync(7<\(Self.hex(Self.partial))> <unfinished ...>",
            "<... fdatasync resumed>)  = 0", Self.reports(8192),
        ]
        #expect(try audit(calls).advances == 1)
    }
}
