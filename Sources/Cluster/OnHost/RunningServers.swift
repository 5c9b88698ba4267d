import Hosts
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// The PostgreSQL servers that run on this host, wherever they are.
enum RunningServers {
    /// Each is asked as its superuser. One that cannot be hides no other.
    static func survey() throws -> [ServerSurvey] {
        let servers = try postmasters()
        if Owner.current.isRoot, !servers.isEmpty { try Account(named: InstanceSite.accountName)?.become() }
        var surveys: [ServerSurvey] = [], failures: [Failure] = []
        for server in servers {
            do { surveys.append(try SurveyQueries(server.connect()).survey()) } catch let failure as Failure {
                failures.append(failure)
            }
        }
        if surveys.isEmpty, let failure = failures.first { throw failure }
        return surveys
    }

    /// A server's first process works in its data directory.
    private static func postmasters() throws -> [Postmaster] {
        try (Directory.names(in: "/proc") ?? []).compactMap { Int32($0) }.sorted().compactMap { pid in
            ProcessIdentity.workingDirectory(of: pid).flatMap { Postmaster($0) }.flatMap { $0.pid == pid ? $0 : nil }
        }
    }
}
