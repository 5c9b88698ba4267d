import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A restore with --delta")
struct DeltaTests {
    @Test("brings a server that went its own way to an older and to a newer backup", arguments: TestMachine.majors)
    func goesAnywhere(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let space = try site.tablespace("space", on: node)
            for (table, place) in [("near", "pg_default"), ("far", "space")] {
                try node.sql(
                    "CREATE TABLE public.\(table) TABLESPACE \(place) AS SELECT n, md5(n::text) AS r FROM generate_series(1, 50000) n"
                )
            }
            let older = try pgark.backUp(node)
            try node.sql("UPDATE public.near SET r = 'new' WHERE n % 5000 = 0")
            try node.sql("DELETE FROM public.far WHERE n > 20000")
            try node.sql("VACUUM public.far")
            try node.sql("CREATE TABLE public.later TABLESPACE space AS SELECT * FROM public.near")
            let newer = try pgark.backUp(node)
            try node.stop()

            let mapping = ["--tablespace", "\(space)=\(site.directory)/elsewhere"]
            let restored = try pgark.restore(to: "restored", [older.id, "--target-immediate"] + mapping)
            try restored.expect(older)
            let place = restored.data.string
            func bring(_ state: BackedUpState) throws -> JSON {
                try pgark.succeed(["restore", state.id, "--to", place, "--delta", "--yes", "--target-immediate"] + mapping)
            }
            for state in [older, newer, older] {
                try restored.startBesideOriginal()
                try goOwnWay(restored)
                try restored.stop()
                let document = try bring(state)
                let (bytes, written) = (try #require(document.bytes.int), try #require(document.written_bytes.int))
                #expect(bytes == state.backup.data_bytes.int)
                #expect((1..<bytes / 2).contains(written), "\(written) of \(bytes) bytes written")
                try restored.expect(state)
            }
            // Where nobody did anything since, nothing is wrong but the control file, which went first.
            _ = try bring(newer)
            let again = try #require(try bring(newer).written_bytes.int)
            #expect(again < 200_000, "\(again) bytes written")
            try restored.expect(newer)
        }
    }

    private func goOwnWay(_ server: TestServer) throws {
        try server.sql("CREATE TABLE public.own AS SELECT generate_series(1, 10000) AS n")
        try server.sql("UPDATE public.near SET r = 'own' WHERE n % 7000 = 3")
        try server.sql("TRUNCATE public.far")
        try server.sql("CREATE DATABASE own")
        try server.sql("DROP TABLE IF EXISTS public.later")
        try server.sql("DROP DATABASE IF EXISTS template1_copy")
        try server.sql("DROP TABLE public.own")
        try server.sql("DROP DATABASE own")
        try server.sql("CREATE UNLOGGED TABLE public.unlogged AS SELECT 1 AS n")
        try server.sql("CREATE TABLE public.mine AS SELECT * FROM public.near")
    }

    @Test("is refused where pgark did not restore, and what is there stays as it is")
    func refusesForeign() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.createMarkers(3)
            try pgark("backup")
            let made = try pgark.restore(to: "made")
            try made.recover()
            try node.stop()

            // Another system, restored by pgark as well.
            let stranger = try site.primary("stranger")
            let other = try site.pgark(stranger, cluster: "other")
            try other("backup")
            try stranger.stop()
            _ = try other.restore(to: "others")

            func refuse(_ place: FilePath, _ code: Failure.Code, _ arguments: [String] = []) throws {
                let before = try site.fingerprint(place)
                let error = try pgark.fails(code, 3, ["restore", "--to", place.string, "--delta", "--yes"] + arguments)
                #expect(error.message.string?.contains(place.string) == true, "\(error)")
                #expect(try site.fingerprint(place) == before, "\(place)")
            }
            try pgark.fails(.serverRunning, 3, "restore", "--to", made.data.string, "--delta", "--yes")
            #expect(try made.markers() == 3)
            try made.stop()
            _ = try site.shell("cp --archive \"$1\" \"$1.copy\"", made.data.string)
            try refuse(FilePath("\(made.data).copy"), .directoryNotEmpty)
            try refuse(node.data, .directoryNotEmpty)
            try refuse(stranger.data, .foreignSystem)
            try refuse(site.directory.appending("others"), .foreignSystem)
            let full = site.directory.appending("full")
            try Directory.create(full, owner: site.owner)
            try SmallFile.write("precious", to: full.appending("file"), owner: site.owner)
            try refuse(full, .directoryNotEmpty)
            // Without the flag a directory of ours is as any other, and the way out is said.
            let error = try pgark.fails(.directoryNotEmpty, 3, "restore", "--to", made.data.string, "--yes")
            #expect(error.hint.string?.contains("--delta") == true)
            // The one and only.
            try pgark("restore", "--to", made.data.string, "--delta", "--yes")
            try made.recover()
            #expect(try made.markers() == 3)
        }
    }

    @Test("writes to no tablespace that it did not make")
    func refusesForeignTablespace() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let space = try site.tablespace("space", on: node)
            try node.createMarkers(3, tablespace: "space")
            let state = try pgark.backUp(node)
            let restored = try pgark.restore(to: "restored", ["--tablespace", "\(space)=\(space).restored"])

            // The original's own, which is in use; and one that somebody else filled.
            let before = try site.fingerprint(space)
            let full = site.directory.appending("full")
            try Directory.create(full, owner: site.owner)
            try SmallFile.write("precious", to: full.appending("file"), owner: site.owner)
            for mapping in [[], ["--tablespace", "\(space)=\(full)"]] {
                try pgark.fails(
                    .directoryNotEmpty, 3, ["restore", "--to", restored.data.string, "--delta", "--yes"] + mapping)
            }
            #expect(try site.fingerprint(space) == before)
            #expect(try SmallFile.readText(full.appending("file")) == "precious")

            // A new place is as good as the old one.
            try pgark(
                "restore", "--to", restored.data.string, "--delta", "--yes", "--tablespace", "\(space)=\(space).new")
            try restored.expect(state)
        }
    }
}
