import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// What a power cut would leave, seen from the kernel: `pgark backup` and `pgark delete` run under strace.
@Suite("What a command did is durable")
struct CommitOrderTests {
    private static let calls = "trace=fdatasync,fsync,pwrite64,ftruncate,rename,unlink,openat,mkdir"

    @Test("when it says so, and a backup has a record only when it has everything else")
    func order() throws {
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["summarize_wal": "on"])
            try node.fill("large", megabytes: 12)
            let pgark = try site.pgark(node)
            #expect(try audit(pgark, "backup") == .init(records: 1))
            let first = try #require(try pgark("list").backups[0].id.string)
            try node.sql("UPDATE large SET filler = filler")
            #expect(try audit(pgark, "backup") == .init(records: 1))
            #expect(try audit(pgark, "delete", first, "--yes").rewrittenPacks == 1)
            #expect(try audit(pgark, "delete", "latest", "--yes").removedPacks == 2)
        }
    }

    private func audit(_ pgark: Pgark, _ arguments: String...) throws -> CommitAudit.Report {
        let trace = pgark.site.directory.appending("trace")
        let options = ["-f", "-ttt", "-y", "-xx", "-s", "512", "-e", Self.calls, "-o", trace.string]
        let outcome = try pgark.command(arguments, under: ["/usr/bin/strace"] + options).outcome()
        #expect(outcome.status == .exited(0), "\(arguments): \(outcome.errors)")
        let text = try Command("/bin/cat", [trace.string]).run().output
        return try CommitAudit.run(text, root: pgark.repository.string)
    }
}

/// The audit is worth something only if it rejects what is wrong.
@Suite("The audit of a commit")
struct CommitAuditTests {
    private static let right = [
        #"openat(AT_FDCWD, "/r/packs/a.pack", O_RDWR|O_CREAT, 0640) = 7"#, #"pwrite64(7</r/packs/a.pack>, "x", 1, 0) = 1"#,
        #"fdatasync(7</r/packs/a.pack>) = 0"#, #"fsync(8</r/packs>) = 0"#, #"mkdir("/r/backups/a", 0750) = 0"#,
        #"fsync(8</r/backups>) = 0"#, #"openat(AT_FDCWD, "/r/backups/a/backup.json.1.tmp", O_RDWR|O_CREAT, 0640) = 7"#,
        #"pwrite64(7</r/backups/a/backup.json.1.tmp>, "x", 1, 0) = 1"#, #"fdatasync(7</r/backups/a/backup.json.1.tmp>) = 0"#,
        #"rename("/r/backups/a/backup.json.1.tmp", "/r/backups/a/backup.json") = 0"#, #"fsync(8</r/backups/a>) = 0"#,
        #"rename("/r/backups/b/backup.json", "/r/backups/b/backup.json.deleted") = 0"#, #"fsync(8</r/backups/b>) = 0"#,
        #"unlink("/r/packs/b.pack") = 0"#,
    ]

    private func audit(_ calls: [String]) throws -> CommitAudit.Report {
        try CommitAudit.run(calls.map { "11 1795367454.100000 \($0)" }.joined(separator: "\n"), root: "/r")
    }

    @Test("accepts the right order")
    func acceptsRight() throws { #expect(try audit(Self.right) == .init(records: 1, removedPacks: 1)) }

    @Test("rejects a trace without any one of its syncs", arguments: right.indices.filter { right[$0].contains("sync(") })
    func rejectsMissing(index: Int) throws {
        var calls = Self.right
        calls.remove(at: index)
        #expect(throws: TraceFailure.self) { try audit(calls) }
    }
}
