import Lab
import PostgresModel
import TestSupport
import Testing

@Suite("A backup")
struct BackupTests {
    @Test("is complete when the command returns, with and without a receiver", arguments: TestMachine.majors)
    func finishes(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let backup = try pgark("backup")
            #expect(backup.status.string == "done")
        }
    }
}
