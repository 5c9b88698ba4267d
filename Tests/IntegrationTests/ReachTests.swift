import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("What cannot be reached")
struct ReachTests {
    @Test("a stopped server: server-unreachable, exit 8")
    func stoppedServer() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try pgark("backup")
            try node.stop()
            for line in [["backup"], ["wal", "switch"]] {
                let error = try pgark.fails(.serverUnreachable, 8, line)
                #expect(error.message.string?.contains("127.0.0.1:\(node.port)") == true)
                #expect(error.hint.string?.isEmpty == false)
            }
            // What is stored needs no server.
            #expect(try pgark("list").backups.array.count == 1)
            #expect(try pgark("verify", "--deep").problems.array.isEmpty)
        }
    }

    @Test("a wrong password: authentication-failed, exit 8, and the password is not shown")
    func wrongPassword() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let passfile = site.directory.appending("passfile")
            try SmallFile.write("127.0.0.1:*:*:pgark:secretmistake\n", to: passfile, owner: site.owner)
            let error = try pgark.fails(.authenticationFailed, 8, "backup")
            #expect(error.hint.string?.contains("passfile") == true)
            #expect(!"\(error)".contains("secretmistake"))
            #expect(try Directory.names(in: pgark.repository.appending("backups")) ?? [] == [])
        }
    }

    @Test("a repository that may not be read: repository-unreachable, exit 8, and nothing lost")
    func unreadableRepository() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try pgark("backup")
            let before = try site.fingerprint(pgark.repository.appending("packs"))
            let root = pgark.repository.removingLastComponent()
            try Directory.setPermissions(of: root, 0)
            for line in [
                ["backup"], ["list"], ["show", "latest"], ["verify"], ["wal", "status"], ["wal", "receive"],
                ["restore", "--yes", "--to", "\(site.directory)/never"],
            ] { try pgark.fails(.repositoryUnreachable, 8, line) }
            try Directory.setPermissions(of: root, 0o750)
            #expect(try site.fingerprint(pgark.repository.appending("packs")) == before)
            #expect(try pgark("verify", "--deep").problems.array.isEmpty)
        }
    }

    @Test("a role that may not replicate: the server's own words")
    func noPrivilege() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            try node.sql("ALTER ROLE pgark NOREPLICATION")
            let outcome = try site.pgark(node).run("backup", "--json")
            #expect(outcome.status != .exited(0))
            let message = try outcome.json.error.message.string ?? ""
            #expect(message.contains("permission denied") || message.contains("must be"), "\(outcome.text)")
        }
    }
}
