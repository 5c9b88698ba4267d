import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Promise P5 for exports, and that half of one is never taken for a whole one.
@Suite("An export is refused")
struct ExportRefusalTests {
    static let formats = [[], ["--tar"]]

    @Test("into what is not an empty directory, and of a backup that there is not", arguments: formats)
    func occupied(format: [String]) throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try pgark("backup")
            try node.stop()
            let full = site.directory.appending("full")
            try Directory.create(full, owner: site.owner)
            try SmallFile.write("precious", to: full.appending("file"), owner: site.owner)
            let before = (try site.fingerprint(full), try site.fingerprint(node.data))
            for place in [full, full.appending("file"), node.data] {
                let error = try pgark.fails(.directoryNotEmpty, 3, ["export", "latest", place.string] + format)
                #expect(error.message.string?.contains(place.string) == true, "\(error)")
            }
            #expect(try (site.fingerprint(full), site.fingerprint(node.data)) == before)

            let place = site.directory.appending("exported")
            try pgark.fails(.backupMissing, 6, ["export", "20010101T000000Z", place.string] + format)
            #expect(try site.isAbsent(place))
        }
    }

    @Test("over a tablespace that is there, and archives take no place for it")
    func tablespace() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let space = try site.tablespace("space", on: node)
            try node.createMarkers(3, tablespace: "space")
            try pgark("backup")
            try node.stop()
            let before = try site.fingerprint(space)
            let place = site.directory.appending("exported")
            try pgark.fails(.directoryNotEmpty, 3, "export", "latest", place.string)
            try pgark.fails(.usage, 64, "export", "latest", place.string, "--tar", "--tablespace", "\(space)=\(space).new")
            #expect(try site.isAbsent(place) && site.isAbsent(FilePath("\(space).new")))
            #expect(try site.fingerprint(space) == before)
        }
    }

    @Test("without its WAL, before anything is written", arguments: formats)
    func missingWAL(format: [String]) throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let begin = try pgark("backup").begin_lsn.string ?? ""
            let segment = try node.value("SELECT pg_walfile_name('\(begin)')")
            let moved = try site.shell("find \"$1\" -name \"$2*\" -print -delete", pgark.repository.string, segment)
            #expect(!moved.isEmpty)
            let place = site.directory.appending("exported")
            let error = try pgark.fails(.segmentMissing, 6, ["export", "latest", place.string] + format)
            #expect(error.message.string?.contains(segment) == true, "\(error)")
            #expect(try site.isAbsent(place))
        }
    }

    @Test("of a damaged backup, which leaves nothing that looks complete", arguments: formats)
    func damagedPack(format: [String]) throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.createMarkers(50_000)
            let state = try pgark.backUp(node)
            let name = try #require(try pgark.packs(of: state.id).first)
            let pack = pgark.repository.pushing(FilePath("packs/\(name).pack"))
            try node.stop()

            let place = site.directory.appending("exported")
            let whole = try #require(try SmallFile.read(pack))
            var damaged = whole
            damaged[whole.count / 2] ^= 1
            try SmallFile.write(damaged, to: pack, permissions: 0o640, owner: site.owner)
            try pgark.fails(.damaged, 1, ["export", state.id, place.string] + format)
            #expect(try site.isAbsent(place.pushing("global/pg_control")) && site.isAbsent(place.appending("backup_manifest")))

            try SmallFile.write(whole, to: pack, permissions: 0o640, owner: site.owner)
            if format.isEmpty {
                // It is marked as unfinished, so it may be begun anew.
                #expect(try !site.isAbsent(place.appending("pgark_restore_incomplete")))
                try pgark("export", state.id, place.string)
                let exported = try site.restored(in: place)
                try exported.expect(state)
            } else {
                // The last thing in the archive is the control file, and it is not there.
                let outcome = try site.command("/usr/bin/tar", ["-tf", place.appending("base.tar").string]).outcome()
                #expect(!outcome.output.contains("pg_control"))
                try pgark.fails(.directoryNotEmpty, 3, "export", state.id, place.string, "--tar")
            }
        }
    }
}
