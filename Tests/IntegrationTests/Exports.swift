import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// An incremental backup of a server with a tablespace, an unlogged table and a second database, which has stopped since.
struct ExportSubject {
    let pgark: Pgark
    let state: BackedUpState
    let space: FilePath
    let oid: String

    init(_ site: TestSite) throws {
        let node = try site.primary(settings: site.major < 17 ? [:] : ["summarize_wal": "on"])
        pgark = try site.pgark(node)
        space = try site.tablespace("space", on: node)
        oid = try node.value("SELECT oid FROM pg_tablespace WHERE spcname = 'space'")
        try node.sql("CREATE DATABASE other")
        let rows = "AS SELECT n, md5(n::text) AS r FROM generate_series(1, 20000) n"
        try node.sql("CREATE TABLE public.near \(rows)")
        try node.sql("CREATE UNLOGGED TABLE public.unlogged \(rows)")
        try node.sql("CREATE TABLE public.far TABLESPACE space \(rows)", database: "other")
        try pgark.backUp(node)
        try node.sql("UPDATE public.near SET r = 'new' WHERE n % 5000 = 0")
        try node.sql("CREATE INDEX ON public.near (r) TABLESPACE space")
        try node.sql("DELETE FROM public.far WHERE n > 15000", database: "other")
        state = try pgark.backUp(node)
        #expect(state.isIncremental)
        try node.stop()
    }
}

extension Pgark {
    func export(_ state: BackedUpState, _ arguments: [String] = []) throws -> TestServer {
        let place = site.directory.appending("exported")
        try succeed(["export", state.id, place.string] + arguments)
        return try site.restored(in: place)
    }
}

extension TestSite {
    /// Makes of archives a directory that can be started, by hand: each tablespace's own and its link, then the WAL.
    func unpack(_ archives: FilePath, tablespaces: [String] = []) throws -> TestServer {
        let place = FilePath("\(archives).unpacked")
        let script = """
            from=$1 to=$2; shift 2; umask 077; mkdir "$to"
            tar -xpf "$from/base.tar" -C "$to"; tar -xpf "$from/pg_wal.tar" -C "$to/pg_wal"; cp "$from/backup_manifest" "$to"
            for oid; do mkdir "$to.$oid"; tar -xpf "$from/$oid.tar" -C "$to.$oid"; ln -sfn "$to.$oid" "$to/pg_tblspc/$oid"; done
            """
        try command("/bin/sh", ["-euc", script, "sh", archives.string, place.string] + tablespaces).run()
        return try restored(in: place)
    }

    /// Names, kinds, modes, owners, sizes and contents of all that is below a directory, the tablespaces' included.
    func listing(_ directory: FilePath) throws -> String {
        try shell(
            """
            cd "$1"; find -L . -type d -printf '%P %m %u\\n' -o -printf '%P %m %u %s\\n' | sort
            find -L . -type f -print0 | sort -z | xargs -0r sha256sum
            """, directory.string)
    }
}
