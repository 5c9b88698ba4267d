import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// What is exported is used without pgark: nothing of the repository is left when a server starts from it.
@Suite("An export")
struct ExportTests {
    @Test("of an incremental backup starts by itself and is right, its tablespace included", arguments: TestMachine.majors)
    func startsByItself(major: Int) throws {
        try TestSite.with(major) { site in
            let subject = try ExportSubject(site)
            let exported = try subject.pgark.export(subject.state, ["--tablespace", "\(subject.space)=\(subject.space).new"])
            try Directory.removeTree(subject.pgark.repository)
            let link = exported.data.pushing(FilePath("pg_tblspc/\(subject.oid)"))
            #expect(Directory.linkTarget(link) == FilePath("\(subject.space).new"))
            #expect(try exported.problems(withWAL: true) == [])
            try exported.expect(subject.state) { server throws in
                #expect(try server.value("SELECT count(*) FROM public.unlogged") == "0")
                #expect(try server.value("SELECT count(*) FROM public.far", database: "other") == "15000")
                #expect(try server.value("SHOW restore_command") == "")
                // As of a server that crashed: nothing says that it was restored.
                #expect(try server.timeline() == "1")
            }
            #expect(try Directory.names(in: exported.data)?.contains { $0.hasPrefix("pgark") } == false)
        }
    }

    @Test("as tar archives is the same, unpacked by tar", arguments: TestMachine.majors)
    func tarIsTheSame(major: Int) throws {
        try TestSite.with(major) { site in
            let subject = try ExportSubject(site)
            let plain = try subject.pgark.export(subject.state, ["--tablespace", "\(subject.space)=\(subject.space).new"])
            let archives = site.directory.appending("archives")
            try subject.pgark("export", subject.state.id, archives.string, "--tar")
            let names = try #require(try Directory.names(in: archives))
            #expect(Set(names) == ["base.tar", "\(subject.oid).tar", "pg_wal.tar", "backup_manifest"])

            let unpacked = try site.unpack(archives, tablespaces: [subject.oid])
            #expect(try site.listing(unpacked.data) == site.listing(plain.data))
            #expect(try unpacked.problems(withWAL: true) == [])
            try Directory.removeTree(subject.pgark.repository)
            try unpacked.expect(subject.state)
        }
    }

    @Test("of a standby's backup starts too, and so does one of timeline 2", arguments: TestMachine.majors, [false, true])
    func ofStandby(major: Int, tar: Bool) throws {
        try TestSite.with(major) { site in
            let primary = try site.primary()
            let standby = try site.standby(of: primary)
            let pgark = try site.pgark(primary, standby)
            try primary.createMarkers(5_000)
            let position = try primary.lsn()
            try eventually("the standby has it") { try standby.lsn() >= position }
            let first = try pgark.backUp(standby)
            #expect(first.backup.from_standby.bool == true)
            try primary.stop()
            try standby.promote()
            try standby.sql("INSERT INTO public.marker SELECT 0")
            let second = try pgark.backUp(standby)
            #expect(second.backup.timeline.int == 2)
            try standby.stop()

            var exports: [(BackedUpState, TestServer)] = []
            for state in [first, second] {
                let place = site.directory.appending("export-\(state.id)")
                try pgark.succeed(["export", state.id, place.string] + (tar ? ["--tar"] : []))
                exports.append((state, try tar ? site.unpack(place) : site.restored(in: place)))
            }
            try Directory.removeTree(pgark.repository)
            for (state, exported) in exports {
                #expect(try exported.problems(withWAL: true) == [])
                try exported.expect(state) { server throws in
                    #expect(try server.timeline() == "2")
                    #expect(try server.slots() == [])
                }
                #expect(try Directory.names(in: exported.data)?.contains { $0.hasSuffix(".signal") } == false)
            }
        }
    }

    /// As with pg_basebackup (PostgreSQL: src/bin/pg_basebackup/receivelog.c, mark_file_as_archived).
    @Test("does not archive anew what its server has archived", arguments: [false, true])
    func archivesNothingAgain(tar: Bool) throws {
        try TestSite.with(TestMachine.newest) { site in
            let archive = site.directory.appending("archive")
            try Directory.create(archive, owner: site.owner)
            let command = "test ! -e \(archive)/%f && cp %p \(archive)/%f"
            let node = try site.primary(settings: ["archive_mode": "on", "archive_command": command])
            let pgark = try site.pgark(node)
            let state = try pgark.backUp(node)
            let last = try node.value("SELECT pg_walfile_name(pg_switch_wal())")
            try eventually("\(last) is archived") { try Directory.exists(archive.appending(last)) }
            try node.stop()

            let place = site.directory.appending("exported")
            try pgark.succeed(["export", state.id, place.string] + (tar ? ["--tar"] : []))
            let exported = try tar ? site.unpack(place) : site.restored(in: place)
            let segments = try #require(try Directory.names(in: exported.data.appending("pg_wal"))).filter { $0.count == 24 }
            let marks = try #require(try Directory.names(in: exported.data.pushing("pg_wal/archive_status")))
            #expect(!segments.isEmpty && Set(marks) == Set(segments.map { "\($0).done" }))
            // Its own WAL goes elsewhere.
            let new = site.directory.appending("new")
            try Directory.create(new, owner: site.owner)
            let elsewhere = "test ! -e \(new)/%f && cp %p \(new)/%f"
            try exported.recover(settings: ["archive_mode": "on", "archive_command": elsewhere])
            try exported.createMarkers(1)
            let own = try exported.value("SELECT pg_walfile_name(pg_switch_wal())")
            try exported.sql("CHECKPOINT")
            try eventually("\(own) is archived") { try Directory.exists(new.appending(own)) }
            #expect(try Set(Directory.names(in: new) ?? []).isDisjoint(with: segments))
        }
    }

    @Test("has the configuration that lay outside the data directory, in place or beside the archives")
    func configuration() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary(settings: ["work_mem": "7MB"], configurationOutside: true)
            let pgark = try site.pgark(node)
            let state = try pgark.backUp(node)
            let exported = try pgark.export(state)
            try exported.expect(state) { server throws in
                #expect(try server.value("SHOW work_mem") == "7MB")
                #expect(try server.value("SHOW config_file") == "\(exported.data)/postgresql.conf")
            }
            let archives = site.directory.appending("archives")
            try pgark("export", state.id, archives.string, "--tar")
            let saved = archives.appending("config")
            #expect(try Set(Directory.names(in: saved) ?? []) == ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"])
            for name in ["postgresql.conf", "pg_hba.conf"] {
                let original = try SmallFile.readText(node.instance.places.configuration.appending(name))
                #expect(try SmallFile.readText(saved.appending(name)) == original)
            }
        }
    }

    @Test("says in one document what it made")
    func document() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let state = try pgark.backUp(node)
            for format in ["plain", "tar"] {
                let place = site.directory.appending(format)
                let document = try pgark.succeed(["export", "latest", place.string] + (format == "tar" ? ["--tar"] : []))
                #expect(document.keys == ["schema", "backup", "directory", "format", "bytes", "files", "duration_seconds"])
                #expect(document.backup.string == state.id && document.directory.string == place.string)
                #expect(document.format.string == format && document.bytes.int == state.backup.data_bytes.int)
                #expect(document.files.int == state.backup.files.int)
                #expect(try #require(document.duration_seconds.double) > 0)
            }
        }
    }
}
