import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("The catalogue", .histories)
struct CatalogueTests {
    @Test("lists, shows, verifies, keeps, releases and deletes backups")
    func livesItsLife() throws {
        try TestSite.with(TestMachine.newest) { site in
            let pgark = try site.pgark(try site.primary())
            let first = try pgark("backup", "--name", "first")
            let second = try pgark("backup")
            let (firstID, secondID) = (try #require(first.id.string), try #require(second.id.string))

            #expect(try pgark("list").backups.array.map(\.id.string) == [secondID, firstID])
            for (reference, id) in [("latest", secondID), ("oldest", firstID), ("first", firstID), (firstID, firstID)] {
                #expect(try pgark("show", reference).id.string == id)
            }
            #expect(try pgark("verify").backups.array.map(\.string) == [secondID])
            #expect(try pgark("verify", "--all", "--deep").problems.array.isEmpty)

            #expect(try pgark("keep", "first").kept.bool == true)
            try pgark.fails(.backupKept, 3, "delete", firstID, "--yes")
            #expect(try pgark("list").backups.array.count == 2)
            #expect(try pgark("keep", "first", "--release").kept.bool == false)

            try pgark.fails(.confirmationNeeded, 3, "delete", firstID)
            _ = try pgark("delete", firstID, "--dry-run")
            #expect(try pgark("list").backups.array.count == 2)
            try pgark("delete", firstID, "--yes")
            #expect(try pgark("list").backups.array.map(\.id.string) == [secondID])
            try pgark.fails(.backupMissing, 6, "show", firstID)

            #expect(try pgark("verify", "--deep").problems.array.isEmpty)
            try pgark("delete", secondID, "--yes")
            #expect(try pgark("list").backups.array.isEmpty)
            #expect(try Directory.names(in: pgark.repository.appending("packs")) == [])
            #expect(try Directory.names(in: pgark.repository.appending("backups")) == [])
        }
    }

    @Test("prints the fields of the contract")
    func keepsContract() throws {
        let pgark = try Histories.of(TestMachine.newest).pgark
        let backup: Set = [
            "id", "name", "cluster", "node", "status", "method", "reference", "begin_time", "end_time", "begin_lsn", "end_lsn",
            "timeline", "system_identifier", "server_version", "data_bytes", "read_bytes", "stored_bytes", "wal_bytes",
            "duration_seconds", "kept", "obsolete", "bad_pages", "last_drill",
        ]
        #expect(try backup.subtracting(pgark("show", "latest").keys) == [])
        let list = try pgark("list")
        #expect(backup.subtracting(list.backups[0].keys) == [])
        #expect(Set(["schema", "backups", "recovery_window", "stored_bytes"]).subtracting(list.keys) == [])
        #expect(Set(["from_time", "to_time", "from_lsn", "to_lsn", "gaps"]).subtracting(list.recovery_window.keys) == [])
        let wal = try pgark("wal", "status")
        #expect(Set(["timelines", "gaps", "received_lsn", "durable_lsn", "connected"]).subtracting(wal.keys) == [])
        #expect(Set(["timeline", "from_lsn", "to_lsn", "segments", "bytes"]).subtracting(wal.timelines[0].keys) == [])
        let restore = try pgark("restore", "--to", "/nowhere/at-all", "--dry-run")
        #expect(
            Set(["backup", "target", "timeline", "directory", "bytes", "files", "duration_seconds", "started"])
                .subtracting(restore.keys) == [])
    }
}
