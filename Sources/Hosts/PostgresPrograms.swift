import Glibc
package import PostgresModel
import Storage
package import SystemPackage

/// The programs of one PostgreSQL installation.
package struct PostgresPrograms: Sendable {
    package let directory: FilePath
    package let version: ServerVersion

    /// What a lab cannot do without; PostgreSQL's client packages bring only some of them.
    private static let needed = ["postgres", "initdb", "pg_ctl", "pg_basebackup"]

    /// Looks at one directory of programs; nil where it is not that of a PostgreSQL server.
    package init?(in directory: FilePath) throws {
        let isComplete = Self.needed.allSatisfy { program in
            directory.appending(program).withPlatformString { access($0, X_OK) } == 0
        }
        guard isComplete else { return nil }
        let server = directory.appending("postgres")
        let said = try Command(server, ["--version"]).run().output
        guard let version = Self.version(said) else {
            throw Failure(.unsupported, "could not read the version of \(server)", details: ["it says: \(said)"])
        }
        self.directory = directory
        self.version = version
    }

    /// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "postgres (PostgreSQL) 19beta1".
    static func version(_ text: String) -> ServerVersion? {
        guard let word = text.split(separator: ")", maxSplits: 1).dropFirst().first?.split(whereSeparator: \.isWhitespace).first
        else { return nil }
        let numbers = word.split(separator: ".").map { $0.prefix { $0.isASCII && $0.isNumber } }
        guard let major = numbers.first.flatMap({ Int($0) }) else { return nil }
        return ServerVersion(number: major * 10000 + (numbers.dropFirst().first.flatMap { Int($0) } ?? 0))
    }

    /// The given directory, else $PGARK_PG_BIN, else the first on PATH, else the newest installed by a package; of the
    /// wanted major version, where one is wanted.
    package static func find(major: Int? = nil, in directory: FilePath? = nil) throws -> PostgresPrograms {
        if let directory {
            guard let found = try PostgresPrograms(in: Directory.absolute(directory)) else {
                throw Failure(
                    .configuration, "could not find PostgreSQL in \(directory): it must hold \(needed.joined(separator: ", "))",
                    hint: "Name the directory of the server's programs, such as /usr/lib/postgresql/18/bin.")
            }
            return try found.checked(major)
        }
        for candidate in candidates() {
            if let found = try? PostgresPrograms(in: candidate), major == nil || found.version.major == major {
                return try found.checked(major)
            }
        }
        throw Failure(
            .unsupported, "could not find PostgreSQL\(major.map { " \($0)" } ?? "") on this machine",
            details: ["searched: $PGARK_PG_BIN, PATH, /usr/lib/postgresql/*/bin"],
            hint: "Install it (apt install postgresql-\(major ?? 18)), or name its programs: --postgres-bin DIR")
    }

    private func checked(_ major: Int?) throws -> PostgresPrograms {
        guard major == nil || version.major == major else {
            throw Failure(.configuration, "could not use \(directory): it holds PostgreSQL \(version), not \(major!)")
        }
        guard ServerVersion.supportedMajors.contains(version.major) else {
            throw Failure(
                .unsupported, "could not use PostgreSQL \(version) in \(directory): pgark knows 15 to 18",
                hint: "Name another version: --postgres 18")
        }
        return self
    }

    private static func candidates() -> [FilePath] {
        let named = Environment["PGARK_PG_BIN"].map { [FilePath($0)] } ?? []
        let onPath = (Environment["PATH"] ?? "").split(separator: ":").map { FilePath(String($0)) }
        let packages: FilePath = "/usr/lib/postgresql"
        let installed = ((try? Directory.names(in: packages)) ?? []).compactMap { Int($0) }.sorted(by: >)
        return named + onPath + installed.map { packages.appending(String($0)).appending("bin") }
    }

    package func path(of program: String) -> FilePath { directory.appending(program) }

    package func has(_ program: String) -> Bool { path(of: program).withPlatformString { access($0, X_OK) } == 0 }

    /// True where the program is there and starts: the pg_verifybackup of one PyPI wheel crashes before its first line.
    package func works(_ program: String) -> Bool {
        has(program) && (try? Command(path(of: program), ["--version"]).outcome().succeeded) == true
    }

    /// Throws where this process's user cannot run the programs, as with a directory under /root.
    package func requireReachable() throws {
        for program in Self.needed where !has(program) {
            let user = getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? "user \(geteuid())"
            throw Failure(
                .permissionDenied, "could not use \(path(of: program)): \"\(user)\" cannot run it",
                hint: "Every directory above it must be open to that user (chmod o+x), or name another one: --postgres-bin DIR")
        }
    }
}
