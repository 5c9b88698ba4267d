import Hosts
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// Makes a server whose history went another way a standby again, with pg_rewind (PostgreSQL documentation: pg_rewind).
///
/// It works in the place of an unfinished server, on a copy or on what was the data directory. One that is cut short there is known
/// for what it is and made anew; pg_rewind itself cannot go on (its Warnings).
struct InstanceRewinder {
    let site: InstanceSite
    private var creator: InstanceCreator { InstanceCreator(site: site) }

    /// Returns what became of the data directory.
    func rewind(from source: String, _ files: InstanceFiles, inPlace: Bool) throws -> String? {
        let lock = try site.lock()
        defer { withExtendedLifetime(lock) {} }
        try InstanceControl(site: site).stop()
        try awaitNobody()
        try InstanceWriter(site: site).writePassfile(files.passfile)
        try Directory.removeTree(site.unfinished)
        if inPlace {
            // What can be found out beforehand is, while nothing is lost yet.
            if try InstanceObserver.control(site).state.hasPrefix("shut down") {
                try pgRewind(site.data, source, ["--dry-run"])
            }
            try Directory.rename(site.data, to: site.unfinished)
        } else {
            try copy()
        }
        // That of a crash names a process that may be another's by now. Nobody is in there, as was seen.
        try Directory.remove(site.unfinished.appending("postmaster.pid"))
        let own = try ownFiles()
        try pgRewind(site.unfinished, source)
        for (name, text) in own {
            try SmallFile.write(text, to: site.unfinished.appending(name), permissions: 0o600, owner: site.account.owner)
        }
        // They are of the other history; on a standby nobody would advance them.
        try Directory.removeContents(site.unfinished.appending("pg_replslot"))
        let remark = inPlace ? nil : try creator.setAside()
        try creator.finish(files)
        return remark
    }

    /// The processes of a server that crashed end one after the other, and may write until then. All of them have its directory as theirs.
    private func awaitNobody() throws {
        let deadline = Deadline(seconds: 60)
        while let process = try ProcessIdentity.working(in: site.data).first {
            try deadline.check("could not rewind \(site.data): process \(process) still works in it")
            pause(milliseconds: 100)
        }
    }

    /// Blocks are shared where the file system can.
    private func copy() throws {
        var command = site.command(
            "/bin/cp", ["--archive", "--reflink=auto", "--no-target-directory", site.data.string, site.unfinished.string])
        command.timeoutSeconds = 7 * 24 * 3600
        try command.run()
    }

    /// The node's own configuration, where it is in the data directory: pg_rewind brings the other server's.
    private func ownFiles() throws -> [(String, String)] {
        guard site.layout.kind == .plain else { return [] }
        return try ["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "postgresql.auto.conf"].compactMap { name in
            try SmallFile.readText(site.unfinished.appending(name)).map { (name, $0) }
        }
    }

    private func pgRewind(_ directory: FilePath, _ source: String, _ more: [String] = []) throws {
        let configuration = FilePath(site.layout.configuration).appending(".pgark-rewind.conf")
        var arguments = ["--target-pgdata=\(directory)", "--source-server=\(source)"] + more
        if site.layout.kind == .debian {
            // A server that crashed is recovered first; the configuration's own data_directory is not the one to do that in.
            let text = "include 'postgresql.conf'\n" + SettingsText.line("data_directory", directory.string) + "\n"
            try SmallFile.write(text, to: configuration, owner: site.account.owner)
            arguments.append("--config-file=\(configuration)")
        }
        var command = site.command(site.program("pg_rewind"), arguments)
        command.timeoutSeconds = 7 * 24 * 3600
        try command.run()
        if site.layout.kind == .debian { try Directory.remove(configuration) }
    }
}
