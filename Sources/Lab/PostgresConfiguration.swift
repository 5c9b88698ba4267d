import Storage
import SystemPackage

/// The text of a server's configuration files.
package struct PostgresConfiguration: Sendable {
    package struct Setting: Sendable {
        package let name: String, value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }

        /// A line of postgresql.conf (PostgreSQL: src/backend/utils/misc/guc-file.l, DeescapeQuotedString).
        var line: String {
            "\(name) = '\(value.map { $0 == "'" ? "''" : $0 == "\\" ? "\\\\" : String($0) }.joined())'"
        }
    }

    package var settings: [Setting]
    /// Lines of pg_hba.conf, first match first.
    package var accessRules: [String]

    package init(settings: [Setting], accessRules: [String]) {
        self.settings = settings
        self.accessRules = accessRules
    }

    func write(to directory: FilePath, for name: String, owner: Owner?) throws {
        let files = [
            ("postgresql.conf", settings.map(\.line)),
            ("pg_hba.conf", ["# TYPE  DATABASE  USER  ADDRESS  METHOD"] + accessRules),
            ("pg_ident.conf", ["# MAPNAME  SYSTEM-USERNAME  DATABASE-USERNAME"]),
        ]
        for (file, lines) in files {
            let text = (["# \(file) of \(name), written by pgark"] + lines).joined(separator: "\n") + "\n"
            try SmallFile.write(text, to: directory.appending(file), permissions: 0o640, owner: owner)
        }
    }

    static let fileNames = ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"]
}
