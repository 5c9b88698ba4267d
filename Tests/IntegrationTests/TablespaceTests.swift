import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A tablespace")
struct TablespaceTests {
    @Test("is restored to where it was mapped, and never over the original", arguments: TestMachine.majors)
    func isMapped(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let old = try site.tablespace("space", on: node)
            try node.createMarkers(3, tablespace: "space")
            let oid = try node.value("SELECT oid FROM pg_tablespace WHERE spcname = 'space'")
            try pgark("backup")
            try node.stop()

            let before = try site.fingerprint(old)
            let place = site.directory.appending("refused")
            try pgark.fails(.directoryNotEmpty, 3, "restore", "--to", place.string, "--yes")
            #expect(try site.isAbsent(place))
            #expect(try site.fingerprint(old) == before)

            let new = site.directory.appending("elsewhere")
            let restored = try pgark.restore(to: "restored", ["--tablespace", "\(old)=\(new)"])
            #expect(Directory.linkTarget(restored.data.pushing(FilePath("pg_tblspc/\(oid)"))) == new)
            try restored.recover()
            #expect(try restored.markers() == 3)
            #expect(try restored.value("SELECT pg_tablespace_location(\(oid))") == new.string)
            #expect(try restored.value("SELECT pg_relation_filepath('public.marker')").hasPrefix("pg_tblspc/\(oid)/"))
            try restored.sql("INSERT INTO public.marker VALUES (4)")
            #expect(try site.fingerprint(old) == before)
        }
    }

    @Test("may be named by its oid, and an unknown one is a usage error")
    func isNamedByOid() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try site.tablespace("space", on: node)
            let oid = try node.value("SELECT oid FROM pg_tablespace WHERE spcname = 'space'")
            try pgark("backup")
            let place = site.directory.appending("restored")
            for mapping in ["1=/nowhere", "/nowhere=/else", "nonsense"] {
                try pgark.fails(.usage, 64, "restore", "--to", place.string, "--yes", "--tablespace", mapping)
                #expect(try site.isAbsent(place))
            }
            let new = site.directory.appending("elsewhere")
            let restored = try pgark.restore(to: "restored", ["--tablespace", "\(oid)=\(new)"])
            #expect(Directory.linkTarget(restored.data.pushing(FilePath("pg_tblspc/\(oid)"))) == new)
        }
    }

    @Test("inside the data directory comes back inside the restored one", arguments: TestMachine.majors)
    func isInPlace(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(settings: ["allow_in_place_tablespaces": "on"])
            let pgark = try site.pgark(node)
            try node.sql("CREATE TABLESPACE inside LOCATION ''")
            try node.createMarkers(3, tablespace: "inside")
            let oid = try node.value("SELECT oid FROM pg_tablespace WHERE spcname = 'inside'")
            try pgark("backup")
            try node.stop()

            let place = site.directory.appending("restored")
            try pgark.fails(.usage, 64, "restore", "--to", place.string, "--yes", "--tablespace", "\(oid)=/nowhere/at-all")
            let restored = try pgark.restore()
            let inside = restored.data.pushing(FilePath("pg_tblspc/\(oid)"))
            #expect(try Directory.status(inside)?.kind == .directory)
            try restored.recover()
            #expect(try restored.markers() == 3)
        }
    }
}
