import Glibc

/// What pg_hba.conf must have so that pgark's role may log in, for SQL and for replication.
package enum AccessLine {
    /// `address`: from where it comes, as the server sees it; nil over a socket.
    package static func text(from address: String?) -> String {
        guard let address else { return "local all,replication \(ClusterRoles.repository) scram-sha-256" }
        return "host all,replication \(ClusterRoles.repository) \(DesiredFiles.address(address)) scram-sha-256"
    }

    /// The address in a server's refusal, which names it whatever its language; nil where none is in it. Before the server's own
    /// words libpq names where it has connected to.
    package static func address(in refusal: String) -> String? {
        let own = refusal.split(separator: "FATAL"), isMarked = own.count > 1
        let addresses = (own.last ?? "").split { !($0.isHexDigit || $0 == "." || $0 == ":") }.map(String.init).filter(isAddress)
        return isMarked || addresses.count > 1 ? addresses.last : nil
    }

    private static func isAddress(_ text: String) -> Bool {
        var bytes = in6_addr()
        return inet_pton(AF_INET, text, &bytes) == 1 || inet_pton(AF_INET6, text, &bytes) == 1
    }
}
