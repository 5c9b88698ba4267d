import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport

extension TestServer {
    /// Starts it, to recover to exactly `lsn`; then it is a primary. Whether it stops there and what it does then its settings
    /// say: an exclusive target, promote.
    ///
    /// With an exclusive target a recovery ends before the first record that begins at the target or behind it
    /// (src/backend/access/transam/xlogrecovery.c, recoveryStopsBefore). The end of a backup is the end of a record, so
    /// everything up to there counts and nothing more. Nobody is let in before: a transaction that rewrites a catalog and had
    /// not ended then would keep its lock from everybody.
    func recover(to lsn: LSN, settings: [String: String] = [:]) throws {
        try startBesideOriginal(settings: settings.merging(["hot_standby": "off"]) { $1 })
        try eventually("\(name) ends its recovery", seconds: 60) {
            guard instance.isRunning else { throw TestFailure("\(name) ended\n\(log.suffix(2000))") }
            return (try? value("SELECT pg_is_in_recovery()")) == "f"
        }
        try requireEnded(at: lsn)
    }

    /// Throws unless its last recovery ended there.
    func requireEnded(at lsn: LSN) throws {
        let said = log.split(separator: "\n").last { $0.contains("recovery stopping before WAL location") }
        guard let said, said.contains("\"\(lsn)\"") else {
            throw TestFailure("\(name) is not at \(lsn): \(said ?? "it is silent")")
        }
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

    /// Writes down what the server was at a position that is behind the one of the last call.
    func dump(at lsn: LSN, to file: FilePath) throws {
        try advance(to: lsn)
        // What is read is a copy of this copy: it leaves the recovery, and this one must go on.
        let other = site.directory.appending("reference-at-\(lsn.rawValue)")
        try site.command("/usr/bin/cp", ["--archive", home.string, other.string]).run()
        let copy = try site.restored(in: other.appending("data"))
        try copy.recover(to: lsn, settings: settings(lsn, action: "promote"))
        try copy.dump(to: file)
        try copy.stop(.immediate)
        try Directory.removeTree(other)
    }

    private func advance(to lsn: LSN) throws {
        // pg_ctl says that it could not start a server which ends again by itself.
        try? server.startBesideOriginal(settings: settings(lsn, action: "shutdown"))
        try eventually("the reference stops at \(lsn)", seconds: 60) { !server.instance.isRunning }
        try server.requireEnded(at: lsn)
    }

    private func settings(_ lsn: LSN, action: String) -> [String: String] {
        [
            "hot_standby": "off", "restore_command": "cp \"\(archive)/%f\" \"%p\"", "recovery_target_lsn": "\(lsn)",
            "recovery_target_inclusive": "off", "recovery_target_action": action,
        ]
    }
}
