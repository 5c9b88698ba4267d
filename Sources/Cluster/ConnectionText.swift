import Glibc

/// What a libpq connection string says, as far as pgark must know it without connecting: whether it carries a secret,
/// and which host and port it names.
///
/// The rules are those of PostgreSQL: src/interfaces/libpq/fe-connect.c, conninfo_parse and conninfo_uri_parse_options.
/// A text that breaks them reads as far as it can be read; libpq itself has the last word when it connects.
package struct ConnectionText: Sendable, Equatable {
    /// Later ones win, as in libpq.
    private(set) var keywords: [String: String] = [:]

    package init(_ text: String) {
        if let rest = ["postgresql://", "postgres://"].first(where: text.hasPrefix).map({ text.dropFirst($0.count) }) {
            readURI(rest)
        } else {
            readKeywords(text)
        }
    }

    /// The server's address as pg_stat_wal_receiver would show it; nil where libpq's defaults decide.
    package var host: String? { keywords["host"] ?? keywords["hostaddr"] }
    package var port: String { keywords["port"] ?? "5432" }
    package var user: String? { keywords["user"] }

    package var passfile: String? { keywords["passfile"] }
    package subscript(keyword: String) -> String? { keywords[keyword] }
    package var database: String? { keywords["dbname"] }

    /// Each server that it names, as a passfile does: a socket in libpq's usual place is that of localhost.
    package var places: [(host: String, port: String)] {
        let hosts = (host ?? "localhost").split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        let ports = port.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        return hosts.enumerated().map { index, host in
            let port = ports.count == 1 ? ports[0] : index < ports.count ? ports[index] : "5432"
            return (["", "/tmp", "/var/run/postgresql"].contains(host) ? "localhost" : host, port.isEmpty ? "5432" : port)
        }
    }

    /// Only to a server whose certificate is of these authorities and names the host.
    static func verifying(_ authorities: String) -> [(keyword: String, value: String)] {
        [("sslmode", "verify-full"), ("sslrootcert", authorities)]
    }

    /// A connection string that says one thing more.
    package static func adding(_ keyword: String, _ value: String, to text: String) -> String {
        guard text.hasPrefix("postgresql://") || text.hasPrefix("postgres://") else {
            return text + " " + make([(keyword, value)])
        }
        return text + (text.contains("?") ? "&" : "?") + keyword + "=" + encoded(value)
    }

    /// The same, where a passfile was made for this very connection: a variable that is meant for another role must not win, as
    /// PGPASSWORD would; an empty password is none.
    package static func withPassfile(_ path: String, _ text: String) -> String {
        let connection = adding("passfile", path, to: text)
        return getenv("PGPASSWORD") == nil ? connection : adding("password", "", to: connection)
    }

    private static func encoded(_ value: String) -> String {
        value.utf8.map { byte in
            let scalar = Unicode.Scalar(byte)
            let isPlain = byte < 0x80 && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
            if isPlain || scalar == "/" || scalar == "." || scalar == "-" || scalar == "_" { return String(scalar) }
            let digits = String(byte, radix: 16, uppercase: true)
            return "%" + (digits.count == 1 ? "0" : "") + digits
        }.joined()
    }

    /// False for a text in which libpq would find no setting at all, such as a bare host name.
    package var isConnectionString: Bool { !keywords.isEmpty }

    /// The keyword that holds a secret; nil where the text may be shown and stored.
    package var secretKeyword: String? { ["password", "sslpassword"].first { keywords[$0] != nil } }

    /// The text, for people to see.
    static func withoutSecret(_ text: String) -> String {
        let parts = ConnectionText(text)
        guard parts.secretKeyword != nil else { return text }
        return make(
            parts.keywords.sorted { $0.key < $1.key }.map {
                ($0.key, ["password", "sslpassword"].contains($0.key) ? "…" : $0.value)
            })
    }

    /// A connection string of these parts, with quotes where a value needs them.
    package static func make(_ parts: [(keyword: String, value: String)]) -> String {
        parts.map { "\($0.keyword)=\(quoted($0.value))" }.joined(separator: " ")
    }

    private static func quoted(_ value: String) -> String {
        guard value.isEmpty || value.contains(where: { $0.isWhitespace || $0 == "'" || $0 == "\\" }) else { return value }
        return "'" + value.flatMap { $0 == "'" || $0 == "\\" ? ["\\", $0] : [$0] } + "'"
    }

    // MARK: host=H port=P

    private mutating func readKeywords(_ text: String) {
        var rest = Substring(text)
        while true {
            rest = rest.drop { $0.isWhitespace }
            let keyword = rest.prefix { $0 != "=" && !$0.isWhitespace }
            rest = rest.dropFirst(keyword.count).drop { $0.isWhitespace }
            guard !keyword.isEmpty, rest.first == "=" else { return }
            rest = rest.dropFirst().drop { $0.isWhitespace }
            keywords[String(keyword)] = Self.value(&rest)
        }
    }

    private static func value(_ rest: inout Substring) -> String {
        let isQuoted = rest.first == "'"
        if isQuoted { rest.removeFirst() }
        var value = ""
        while let character = rest.popFirst() {
            if character == "\\" {
                if let escaped = rest.popFirst() { value.append(escaped) }
            } else if isQuoted ? character == "'" : character.isWhitespace {
                break
            } else {
                value.append(character)
            }
        }
        return value
    }

    // MARK: postgresql://user@host:port/dbname?keyword=value

    private mutating func readURI(_ text: Substring) {
        let location = text.prefix { $0 != "?" }
        let address = location.prefix { $0 != "/" }
        var hosts = address
        if let at = address.lastIndex(of: "@") {
            let login = address[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            if let user = login.first, !user.isEmpty { keywords["user"] = Self.decoded(user) }
            if login.count == 2, !login[1].isEmpty { keywords["password"] = Self.decoded(login[1]) }
            hosts = address[address.index(after: at)...]
        }
        readHosts(hosts)
        let name = location.dropFirst(address.count + 1)
        if !name.isEmpty { keywords["dbname"] = Self.decoded(name) }
        readOptions(text.dropFirst(location.count + 1))
    }

    private mutating func readHosts(_ text: Substring) {
        guard !text.isEmpty else { return }
        var hosts: [String] = []
        var ports: [String] = []
        for address in text.split(separator: ",", omittingEmptySubsequences: false) {
            let host = address.first == "[" ? address.prefix { $0 != "]" }.dropFirst() : address.prefix { $0 != ":" }
            let port = address.dropFirst(host.count + (address.first == "[" ? 2 : 0)).drop { $0 == ":" }
            hosts.append(Self.decoded(host))
            ports.append(port.isEmpty ? "5432" : String(port))
        }
        if hosts != [""] { keywords["host"] = hosts.joined(separator: ",") }
        keywords["port"] = ports.joined(separator: ",")
    }

    private mutating func readOptions(_ text: Substring) {
        for option in text.split(separator: "&") {
            let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { keywords[Self.decoded(parts[0])] = Self.decoded(parts[1]) }
        }
    }

    /// Undoes percent-encoding; what is not well encoded stays as it is.
    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let value = UInt8(String(Substring(rest.prefix(2))), radix: 16) {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
