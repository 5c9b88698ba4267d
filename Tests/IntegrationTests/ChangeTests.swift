import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// What can happen to files between two backups: they come, go, grow, shrink, and come again under the name of another.
@Suite("What happened since an earlier backup")
struct ChangeTests {
    @Test("is in the next one, for relations, databases and tablespaces alike", arguments: IncrementTests.Way.all)
    func isStored(way: IncrementTests.Way) throws {
        try TestSite.with(way.major) { site in
            let node = try site.primary(settings: way.settings)
            let pgark = try site.pgark(node)
            let places = ["removed", "staying", "added"].map { site.directory.appending($0) }
            for place in places { try Directory.create(place, owner: site.owner) }
            func run(_ script: String, in database: String = "postgres") throws {
                for statement in script.split(separator: ";") { try node.sql(String(statement), database: database) }
            }

            try run(Self.beginning)
            for place in places.dropLast() {
                let name = place.stem ?? ""
                try run("CREATE TABLESPACE \(name) LOCATION '\(place)'; \(Self.table(name, tablespace: name))")
            }
            try run(Self.table("inside"), in: "gone")
            let first = try pgark.backUp(node)

            let gone = try node.value("SELECT oid FROM pg_database WHERE datname = 'gone'")
            try run(Self.firstChanges)
            try run("CREATE TABLESPACE added LOCATION '\(places[2])'; \(Self.table("added", tablespace: "added"))")
            // The same directory with other content, of which no block is in the WAL, and a strategy for each kind.
            if way.major > 15 { try run("CREATE DATABASE gone OID = \(gone) TEMPLATE template0 STRATEGY file_copy") }
            let second = try pgark.backUp(node)

            try run(Self.secondChanges)
            try run(Self.table("inside"), in: "by_copy")
            let third = try pgark.backUp(node)
            #expect([first, second, third].map(\.isIncremental) == [false, true, true])
            for state in [second, third] { #expect(state.backup.read_reason.string == way.reason) }
            #expect(try pgark("verify", "--all", "--deep").problems.array.isEmpty)

            for state in [first, second, third] {
                if state.id == third.id { try pgark("delete", first.id, second.id, "--yes") }
                let mapping = places.filter { place in
                    state.backup.tablespaces.array.contains { $0.location.string == place.string }
                }
                try pgark.expectRestored(state, mapping.flatMap { ["--tablespace", "\($0)=\($0)-\(state.id)"] }) { restored in
                    // Unlogged tables begin empty after a recovery, and can be written to.
                    #expect(try restored.value("SELECT count(*) FROM public.unlogged") == "0")
                    try restored.sql("INSERT INTO public.unlogged SELECT 1")
                }
            }
        }
    }

    private static func table(_ name: String, tablespace: String = "pg_default", rows: Int = 3_000) -> String {
        """
        CREATE TABLE public.\(name) TABLESPACE \(tablespace) AS SELECT n, md5('\(name)' || n) AS r FROM generate_series(1, \(rows)) n;
        CREATE INDEX ON public.\(name) (r);
        """
    }

    /// Tables are named after what becomes of them.
    private static let names = [
        "untouched", "truncated", "grown", "shrunk", "regrown", "dropped", "recreated", "rewritten", "emptied", "moved",
    ]

    private static let beginning =
        names.map { table($0) }.joined() + """
            CREATE UNLOGGED TABLE public.unlogged AS SELECT n FROM generate_series(1, 3000) n;
            CREATE DATABASE gone;
            """

    private static let firstChanges = """
        TRUNCATE public.truncated;
        INSERT INTO public.grown SELECT n, 'grown' FROM generate_series(1, 5000) n;
        DELETE FROM public.shrunk WHERE n > 1000; VACUUM public.shrunk;
        DELETE FROM public.regrown WHERE n > 1000; VACUUM public.regrown; CHECKPOINT;
        INSERT INTO public.regrown SELECT n, 'regrown' FROM generate_series(1, 2500) n;
        DROP TABLE public.dropped; DROP TABLE public.recreated;
        CREATE TABLE public.recreated AS SELECT n, 'another' AS r FROM generate_series(1, 4000) n;
        DELETE FROM public.rewritten WHERE n % 2 = 0; VACUUM FULL public.rewritten;
        DELETE FROM public.emptied; VACUUM public.emptied;
        ALTER TABLE public.moved SET TABLESPACE staying; ALTER TABLE public.staying SET TABLESPACE pg_default;
        INSERT INTO public.unlogged SELECT 0; CREATE UNLOGGED TABLE public.unlogged2 AS SELECT 1 AS n;
        DROP TABLE public.removed; DROP TABLESPACE removed;
        CREATE DATABASE by_log STRATEGY wal_log; CREATE DATABASE by_copy STRATEGY file_copy; DROP DATABASE gone;
        """

    /// Some of it once more, on top of the increment.
    private static let secondChanges = """
        INSERT INTO public.truncated SELECT n, 'back' FROM generate_series(1, 3000) n;
        DELETE FROM public.grown WHERE n > 2000; VACUUM public.grown;
        INSERT INTO public.shrunk SELECT n, 'back' FROM generate_series(1, 4000) n; CHECKPOINT;
        DELETE FROM public.regrown WHERE r = 'regrown'; VACUUM public.regrown; CHECKPOINT;
        INSERT INTO public.regrown SELECT n, 'again' FROM generate_series(1, 4000) n;
        INSERT INTO public.emptied SELECT n, 'back' FROM generate_series(1, 100) n;
        ALTER TABLE public.moved SET TABLESPACE added; VACUUM FULL public.rewritten;
        DROP DATABASE by_log; CREATE DATABASE by_log TEMPLATE by_copy;
        """
}
