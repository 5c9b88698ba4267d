import Glibc
import PostgresModel
import Storage
package import SystemPackage

/// libpq's file of passwords (PostgreSQL documentation: 34.16): lines of host:port:database:user:password.
package struct Passfile: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
        package let host: String
        package let port: String
        package let database: String
        package let user: String
        package let password: String
    }

    package private(set) var entries: [Entry] = []

    package init(_ text: String) {
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            let fields = Self.fields(line)
            guard fields.count >= 5 else { continue }  // libpq reads no further either
            entries.append(
                Entry(host: fields[0], port: fields[1], database: fields[2], user: fields[3], password: fields[4]))
        }
    }

    private static func fields(_ line: Substring) -> [String] {
        var fields = [""], isEscaped = false
        for character in line {
            if isEscaped || (character != "\\" && character != ":") {
                fields[fields.count - 1].append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else {
                fields.append("")
            }
        }
        return fields
    }

    /// A line for every database. The password is `escaped` already, or a place for one.
    package static func line(_ host: String, _ port: String, _ user: String, _ password: String) -> String {
        "\(escaped(host)):\(port):*:\(escaped(user)):\(password)"
    }

    /// The text of a passfile with these lines too, where they are not there yet.
    package static func text(_ old: String?, adding lines: [String]) -> String {
        let old = old ?? "# Written by `pgark init`.\n"
        let known = Set(old.split(whereSeparator: \.isNewline).map(String.init)), new = lines.filter { !known.contains($0) }
        return old + (old.hasSuffix("\n") ? "" : "\n") + new.map { $0 + "\n" }.joined()
    }

    package static func escaped(_ field: String) -> String {
        field.map { $0 == ":" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined()
    }

    /// The first line that fits counts (PostgreSQL: src/interfaces/libpq/fe-connect.c, passwordFromFile).
    package func password(host: String, port: String, database: String, user: String) -> String? {
        func fits(_ field: String, _ value: String) -> Bool { field == "*" || field == value }
        return entries.first {
            fits($0.host, host) && fits($0.port, port) && fits($0.database, database) && fits($0.user, user)
        }?.password
    }

    /// What libpq would find here for a connection string; nil where it would find nothing for one of its hosts.
    package func password(for connection: ConnectionText) -> String? {
        guard let user = connection.user else { return nil }
        let passwords = connection.places.map { place in
            password(host: place.host, port: place.port, database: connection.database ?? user, user: user)
        }
        return passwords.contains(nil) ? nil : passwords.first ?? nil
    }

    /// The one of libpq's own that applies to this process.
    package static var usual: FilePath? {
        if let path = getenv("PGPASSFILE") { return FilePath(platformString: path) }
        return getenv("HOME").map { FilePath(platformString: $0).appending(".pgpass") }
    }

    /// Empty where the file is not there or may not be read.
    package static func read(_ path: FilePath) throws -> Passfile {
        guard access(path.string, R_OK) == 0 else { return Passfile("") }
        return Passfile(try SmallFile.readText(path) ?? "")
    }
}
