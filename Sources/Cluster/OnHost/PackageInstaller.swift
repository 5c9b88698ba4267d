import Hosts
import PostgresModel
import SystemPackage

/// Installs packages with the host's own apt and from its own sources; which ones it has is its administrator's business.
enum PackageInstaller {
    static func install(_ names: [String]) throws {
        var update = apt(["update"])
        update.timeoutSeconds = 600
        _ = try update.outcome()  // old lists may do; what is missing then, the installation says
        // postgresql-common makes and starts a server "main" by itself, unless it is told not to.
        var install = apt(["install", "--yes", "--no-install-recommends"] + names)
        install.timeoutSeconds = 1800
        try install.run()
    }

    private static func apt(_ arguments: [String]) -> Command {
        Command(
            "/usr/bin/apt-get", ["--quiet", "--option", "DPkg::Lock::Timeout=300"] + arguments,
            environment: ["DEBIAN_FRONTEND": "noninteractive"])
    }
}
