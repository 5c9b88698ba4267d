package import SystemPackage

/// A libpq connection string made of keywords (PostgreSQL documentation: 34.1.1.1).
package struct Conninfo: Sendable, CustomStringConvertible {
    package var keywords: [(name: String, value: String)]

    /// A server on this machine's loopback. The password is not here: libpq finds it in the passfile.
    package init(port: Int, user: String, database: String, passfile: FilePath) {
        keywords = [
            ("host", "127.0.0.1"), ("port", String(port)), ("user", user), ("dbname", database), ("passfile", passfile.string),
        ]
    }

    package func setting(_ name: String, _ value: String) -> Conninfo {
        var copy = self
        copy.keywords.removeAll { $0.name == name }
        copy.keywords.append((name, value))
        return copy
    }

    package var description: String {
        keywords.map { "\($0.name)=\(Self.quoted($0.value))" }.joined(separator: " ")
    }

    private static func quoted(_ value: String) -> String {
        let special = value.isEmpty || value.contains { $0 == "'" || $0 == "\\" || $0.isWhitespace }
        guard special else { return value }
        return "'" + value.map { $0 == "'" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "'"
    }
}
