import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// A server ends a base backup by an error where a database goes just when its directory is about to be opened.
@Suite("A database that is dropped while a backup reads the server")
struct DroppedDatabaseTests {
    @Test("makes it begin again, and where that does not help, the server's words are ours")
    func again() throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            try node.sql("CREATE DATABASE other")
            let oid = try node.value("SELECT oid FROM pg_database WHERE datname = 'other'")
            let pgark = try site.pgark(node)
            // It fails for as long as the tracer lives: three times at most, in which the tracer is gone after the first.
            let first = try vanishing("./base/\(oid)", of: node, site)
            let backup = try pgark.start("backup")
            while first.status == nil {
                if first.output.contains("(INJECTED)") { first.kill() }
            }
            #expect(try backup.wait() == .exited(0), "\(backup.output)")
            #expect(backup.output.contains("base/\(oid)") && backup.output.contains("beginning again"), "\(backup.output)")
            #expect(try pgark("verify", "--deep").problems.array.isEmpty)

            let second = try vanishing("./base/\(oid)", of: node, site)
            defer { second.kill() }
            let error = try pgark.fails(.serverError, 1, "backup")
            #expect(error.message.string?.contains("base/\(oid)") == true, "\(error)")
            #expect(try pgark("list").backups.array.count == 1)
        }
    }

    /// To the server, the directory is not there when it opens it.
    private func vanishing(_ path: String, of node: TestServer, _ site: TestSite) throws -> BackgroundProcess {
        let postmaster = try #require(node.instance.process?.pid)
        let what = ["-P", path, "-e", "trace=openat", "-e", "inject=openat:error=ENOENT"]
        let strace = try site.start(Command("/usr/bin/strace", ["-f", "-p", "\(postmaster)"] + what), log: "strace.log")
        try strace.waitUntil(prints: "attached")
        return strace
    }
}
