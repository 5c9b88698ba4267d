import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport

extension TestServer {
    /// Starts it and waits until its recovery pauses at `lsn`, neither before nor behind it.
    ///
    /// With an exclusive target a recovery ends before the first record that begins at the target or behind it
    /// (src/backend/access/transam/xlogrecovery.c, recoveryStopsBefore). The end of a backup is the end of a record, so
    /// everything up to there counts and nothing more.
    func startAndPause(at lsn: LSN, settings: [String: String] = [:]) throws {
        try startBesideOriginal(settings: settings)
        try eventually("the recovery of \(name) pauses at \(lsn)", seconds: 60) {
            try value("SELECT pg_get_wal_replay_pause_state()") == "paused"
        }
        let position = try self.lsn()
        guard position == lsn else { throw TestFailure("\(name) stands at \(position), not at \(lsn)") }
    }

    /// Goes on as a primary. Before, transactions that had not ended at the pause would keep their locks from everybody.
    func endRecovery() throws {
        try sql("SELECT pg_wal_replay_resume()")
        try eventually("\(name) ends its recovery") { try value("SELECT pg_is_in_recovery()") == "f" }
    }

    /// All databases, roles and tablespaces as text. Copies of the same files have their rows in the same order.
    ///
    /// Left out are the random words that pg_dump adds, the places of the tablespaces, and how far the sequences are: the WAL
    /// has them up to 32 values ahead of their pages (src/backend/commands/sequence.c, SEQ_LOG_VALS).
    func dump(to file: FilePath) throws {
        let script = """
            pg_dumpall --dbname="$0" --file="$1.raw"
            sed -e '/^.\\(un\\)\\?restrict /d' -e '/^SELECT pg_catalog.setval(/d' \\
              -e "s/^\\(CREATE TABLESPACE .*\\) LOCATION .*/\\1/" "$1.raw" > "$1"
            rm "$1.raw"
            """
        var command = Command("/bin/sh", ["-euc", script, "\(conninfo())", file.string])
        command.environment["PATH"] = "\(instance.programs.directory):/usr/bin:/bin"
        try command.run()
    }
}

/// A copy of the server that pgark has nothing to do with: made by pg_basebackup before the first backup, and moved forward
/// with the WAL that the server itself has archived by cp.
struct Reference {
    private let site: TestSite
    private let server: TestServer
    private let home: FilePath
    private let archive: FilePath

    init(of node: TestServer, _ site: TestSite, _ places: TablespacePlaces, archive: FilePath) throws {
        self.site = site
        self.archive = archive
        home = site.directory.appending("reference")
        server = try site.restored(in: home.appending("data"))
        try places.prepare(for: server.data)
        try node.instance.run(
            "pg_basebackup",
            ["--dbname=\(node.conninfo())", "--pgdata=\(server.data)", "--wal-method=none", "--checkpoint=fast", "--no-sync"])
        try SmallFile.write("", to: server.data.appending("recovery.signal"), owner: site.owner)
    }

    /// Writes down what the server was at a position that is behind the one of the last call. What is written down is a copy of
    /// this copy: to be read it leaves the recovery, and this one must go on.
    func dump(at lsn: LSN, to file: FilePath) throws {
        let settings = [
            "restore_command": "cp \"\(archive)/%f\" \"%p\"", "recovery_target_lsn": "\(lsn)",
            "recovery_target_inclusive": "off", "recovery_target_action": "pause",
        ]
        try server.startAndPause(at: lsn, settings: settings)
        try server.stop()
        let other = site.directory.appending("reference-at-\(lsn.rawValue)")
        try site.command("/usr/bin/cp", ["--archive", home.string, other.string]).run()
        let copy = try site.restored(in: other.appending("data"))
        try copy.startAndPause(at: lsn, settings: settings)
        try copy.endRecovery()
        try copy.dump(to: file)
        try copy.stop(.immediate)
        try Directory.removeTree(other)
    }
}
