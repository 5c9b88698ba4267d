import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// PostgreSQL's own tools judge what a restore wrote.
@Suite("A restored directory")
struct JudgeTests {
    @Test("is found right by PostgreSQL's own programs", arguments: TestMachine.majors)
    func isJudged(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.createMarkers(20_000)
            try node.sql("CREATE INDEX ON public.marker (n)")
            try pgark("backup")
            let restored = try pgark.restore()

            #expect(try restored.problems() == [])
            #expect(try ManifestJudge(restored.data).files > 900)

            try restored.recover()
            #expect(try restored.markers() == 20_000)
            if try restored.value("SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'") == "1" {
                try restored.sql("CREATE EXTENSION amcheck")
                try restored.instance.run(
                    "pg_amcheck", ["--heapallindexed", "--rootdescend", "--parent-check", "postgres"],
                    environment: restored.environment)
            }
            try restored.stop()
            #expect(try restored.controlData("Database cluster state") == "shut down")
            try restored.instance.run("pg_checksums", ["--check", "--pgdata=\(restored.data)"])
        }
    }

    /// The wheel of PostgreSQL 18 has a pg_verifybackup that crashes on start; what is wrong must be seen all the same.
    @Test("with one changed byte, or a file too many, is found wrong by the judge of these tests")
    func judgeSeesDamage() throws {
        try TestSite.with(TestMachine.newest) { site in
            let pgark = try site.pgark(try site.primary())
            try pgark("backup")
            let restored = try pgark.restore()
            let file = try File(restored.data.appending("PG_VERSION"), .update)
            try [UInt8(ascii: "9")].withUnsafeBytes { try file.write($0, at: 0) }
            try SmallFile.write("", to: restored.data.appending("stranger"))
            #expect(try ManifestJudge(restored.data).differences == ["PG_VERSION", "stranger"])
        }
    }
}
