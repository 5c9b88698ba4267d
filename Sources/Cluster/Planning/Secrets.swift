import Postgres
import PostgresModel
import Storage

/// The passwords of the cluster's roles. They live where they are needed, in passfiles that only their reader may read, and
/// from there they are known; a plan has their places only.
package struct Secrets: Sendable {
    private var known: [String: String]

    package init(_ known: [String: String] = [:]) { self.known = known }

    package subscript(role: String) -> String? { known[role] }

    /// The place of a password in a text, and of what a server keeps instead of it.
    static func password(of role: String) -> String { "\u{1}password:\(role)\u{1}" }
    static func verifier(of role: String) -> String { "\u{1}verifier:\(role)\u{1}" }

    /// The name under which the password of a node that is only protected is known, whatever its role.
    static func connection(of node: String) -> String { "connection of \(node)" }

    /// The text that belongs on a host; nil while a password in it is not known.
    package func filled(_ text: String) throws -> String? {
        var parts = text.split(separator: "\u{1}", omittingEmptySubsequences: false).map(String.init)
        for index in parts.indices where index % 2 == 1 {
            let words = parts[index].split(separator: ":").map(String.init)
            guard words.count == 2, let password = known[words[1]] else { return nil }
            parts[index] = words[0] == "verifier" ? try PasswordVerifier.scram(password) : password
        }
        return parts.joined()
    }

    /// True where a host has this text already.
    func isFilled(_ text: String, _ found: String?) throws -> Bool {
        guard let wanted = try filled(text) else { return false }
        return wanted == found
    }

    /// Makes a password for each role that has none.
    package mutating func complete(_ roles: [String]) {
        for role in roles where known[role] == nil { known[role] = Self.random() }
    }

    /// 32 characters of 62, 190 bits, that need no quotes anywhere.
    private static func random() -> String {
        let characters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
        return String((0..<32).map { _ in characters.randomElement()! })
    }

    /// What passfiles say (PostgreSQL documentation: 34.16), by role.
    package static func passwords(in passfiles: [String]) -> [String: String] {
        var passwords: [String: String] = [:]
        for entry in passfiles.flatMap({ Passfile($0).entries }) where passwords[entry.user] == nil {
            passwords[entry.user] = entry.password
        }
        return passwords
    }
}
