import Cluster
import Hosts
import Postgres
import PostgresModel
import Storage

/// How a person gets into a server, and by the same way into its neighbours.
struct ServerLogin {
    let conninfo: String

    init(_ conninfo: String) { self.conninfo = conninfo }

    /// What pgark's own connections should have too.
    var security: [(keyword: String, value: String)] {
        let text = ConnectionText(conninfo)
        return ["sslmode", "sslrootcert"].compactMap { keyword in text[keyword].map { (keyword, $0) } }
    }

    /// Over a socket a server believes the system about who we are. Root, whom it mostly does not know, is there as the account of
    /// the role's name.
    func connect(at host: String? = nil, _ port: Int? = nil) throws -> Connection {
        let text = ConnectionText(conninfo)
        var conninfo = conninfo
        if let host {
            conninfo = ConnectionText.adding("host", host, to: conninfo)
            if text["hostaddr"] != nil { conninfo = ConnectionText.adding("hostaddr", "", to: conninfo) }
        }
        if let port { conninfo = ConnectionText.adding("port", "\(port)", to: conninfo) }
        do { return try Connection(conninfo, application: "pgark init") } catch let failure as Failure
            where failure.code == .authenticationFailed
        {
            let isSocket = ClusterDiscovery.isLocal(host ?? text.host ?? "")
            guard Owner.current.isRoot, isSocket, let account = Account(named: text.user ?? "postgres") else { throw failure }
            let known = text.user == nil ? ConnectionText.adding("user", account.name, to: conninfo) : conninfo
            guard let connection = try? account.acting({ try Connection(known, application: "pgark init") }) else {
                throw failure
            }
            return connection
        }
    }

    func survey(at host: String, _ port: Int) throws -> [ServerSurvey] { [try SurveyQueries(connect(at: host, port)).survey()] }
}
