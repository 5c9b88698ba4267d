import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage

/// Starts a restored server with the pg_ctl of its own major version, as the owner of its files.
enum StartedServer {
    /// Replaying much WAL takes long; pg_ctl by itself would give up after a minute.
    private static let longestRecovery = 24 * 3600

    static func start(_ directory: FilePath, owner: Owner, version: String) throws {
        let programs = try PostgresPrograms.find(major: Int(version.prefix { $0.isNumber }))
        let start = [
            programs.path(of: "pg_ctl").string, "-D", directory.string, "-l", directory.appending("startup.log").string, "-w",
            "-t", String(longestRecovery), "start",
        ]
        // The server refuses to run as root, and so does pg_ctl.
        let asOwner =
            Owner.current.isRoot
            ? ["/usr/bin/setpriv", "--reuid=\(owner.user)", "--regid=\(owner.group)", "--init-groups"] : []
        let words = asOwner + start
        var command = Command(FilePath(words[0]), Array(words.dropFirst()))
        command.timeoutSeconds = Double(longestRecovery)
        try command.run()
    }
}
