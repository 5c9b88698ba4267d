import Glibc
package import Hosts
import Lab
import PostgresModel
import Storage
package import SystemPackage

/// What `make test` gives the tests: PostgreSQL of several majors and the program as users run it.
///
/// Nothing is skipped unseen: what is not there fails the test that needs it, and the failure says how to get it. Only
/// who names some versions (`make test PG_VERSIONS=18`) gets the tests of those alone, and never where
/// PGARK_TEST_REQUIRE_ALL is set, as in CI.
package enum TestMachine {
    package static let majors: [Int] = {
        let all = [15, 16, 18]
        let given = all.filter { Environment[variable($0)] != nil }
        return given.isEmpty || Environment["PGARK_TEST_REQUIRE_ALL"] != nil ? all : given
    }()

    /// For what does not depend on the version.
    package static let newest = majors[majors.count - 1]

    package static func postgres(_ major: Int) throws -> PostgresPrograms {
        let programs = try PostgresPrograms.find(major: major, in: FilePath(try required(variable(major))))
        try programs.requireReachable()
        return programs
    }

    /// The release binary, at a place where the account of the servers can run it: their restore_command does.
    package static func pgark() throws -> FilePath { try program.get() }

    /// Set to keep the directories of the tests, for a look at what happened.
    package static var keepsDirectories: Bool { Environment["PGARK_TEST_KEEP"] != nil }

    /// Where tests put their directories: the servers' account must get there.
    package static var temporaryRoot: FilePath { FilePath(Environment["PGARK_TEST_DIR"] ?? "/tmp") }

    private static func variable(_ major: Int) -> String { "PGARK_TEST_PG\(major)_BIN" }

    private static func required(_ variable: String) throws -> String {
        if let value = Environment[variable], !value.isEmpty { return value }
        throw TestFailure("\(variable) is not set: run the tests by `make test`, which finds or fetches what they need")
    }

    private static let program = Swift.Result { () throws -> FilePath in
        let built = FilePath(try required("PGARK_TEST_BINARY"))
        guard let account = try Account.forServers() else { return built }
        let attempt = account.running(Command("/usr/bin/test", ["-x", built.string]))
        return try attempt.outcome().succeeded ? built : copy(built)
    }

    /// A copy that anybody may run, until this process ends.
    private static func copy(_ built: FilePath) throws -> FilePath {
        let directory = temporaryRoot.appending("pgark-test-program-\(getpid())")
        try Directory.create(directory, permissions: 0o755)
        let target = directory.appending("pgark")
        try Command("/usr/bin/install", ["--mode=755", built.string, target.string]).run()
        atexit {
            try? Directory.removeTree(TestMachine.temporaryRoot.appending("pgark-test-program-\(getpid())"))
        }
        return target
    }
}

/// What a test could not do, or saw and did not expect.
package struct TestFailure: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
