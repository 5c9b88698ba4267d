import Glibc
import Hosts
import PostgresModel
import SystemPackage

/// Installs packages with the host's own apt and from its own sources; which ones it has is its administrator's business.
enum PackageInstaller {
    static func install(_ names: [String]) throws {
        var update = apt(["update"])
        update.timeoutSeconds = 600
        _ = try update.outcome()  // old lists may do; what is missing then, the installation says
        let before = try clusters()
        var install = apt(["install", "--yes", "--no-install-recommends"] + names)
        install.timeoutSeconds = 1800
        try install.run()
        // The server's package makes a server of its own and starts it, which nobody has used yet.
        for cluster in try clusters().subtracting(before) {
            try Command("/usr/bin/pg_dropcluster", ["--stop"] + cluster.split(separator: " ").map(String.init)).run()
        }
    }

    /// What postgresql-common has: version and name.
    private static func clusters() throws -> Set<String> {
        guard InstanceSite.hasDebianTools else { return [] }
        let lines = try Command("/usr/bin/pg_lsclusters", ["--no-header"]).run().output.split(whereSeparator: \.isNewline)
        return Set(lines.map { $0.split(separator: " ").prefix(2).joined(separator: " ") })
    }

    private static func apt(_ arguments: [String]) -> Command {
        Command(
            "/usr/bin/apt-get", ["--quiet", "--option", "DPkg::Lock::Timeout=300"] + arguments,
            environment: ["DEBIAN_FRONTEND": "noninteractive"])
    }
}
