import PostgresModel
import Storage
import SystemPackage

/// The passwords of the lab's roles: random, made once per lab, kept in a libpq passfile that only its owner can read.
struct LabPasswords {
    static let roles = ["postgres", "replicator", "pgark"]
    private let byRole: [String: String]

    /// Those of the passfile, which is written where it is missing.
    static func load(_ passfile: FilePath) throws -> LabPasswords {
        if let text = try SmallFile.readText(passfile) { return try LabPasswords(parsing: text, of: passfile) }
        let passwords = LabPasswords(byRole: Dictionary(uniqueKeysWithValues: roles.map { ($0, random()) }))
        let lines = roles.map { "127.0.0.1:*:*:\($0):\(passwords[$0])" }
        try SmallFile.write(lines.joined(separator: "\n") + "\n", to: passfile, permissions: 0o600)
        return passwords
    }

    subscript(role: String) -> String { byRole[role] ?? "" }

    private init(byRole: [String: String]) { self.byRole = byRole }

    private init(parsing text: String, of passfile: FilePath) throws {
        let fields = text.split(whereSeparator: \.isNewline).map { $0.split(separator: ":").map(String.init) }
        byRole = Dictionary(fields.filter { $0.count == 5 }.map { ($0[3], $0[4]) }) { first, _ in first }
        guard Self.roles.allSatisfy({ byRole[$0] != nil }) else {
            throw Failure(.labFailed, "could not read \(passfile): a role is missing", hint: "Begin anew: pgark lab down --yes")
        }
    }

    /// 32 letters and digits from the kernel's random source: 190 bits.
    private static func random() -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
        var source = SystemRandomNumberGenerator()
        return String((0..<32).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &source)] })
    }
}
