package import Hosts
import Lab
package import PostgresModel
package import SystemPackage

/// The program under test with one cluster file, run as a user runs it.
package struct Pgark: Sendable {
    package let site: TestSite
    package let configuration: FilePath
    /// The cluster's part of the repository.
    package let repository: FilePath
    /// For the program alone.
    package var environment: [String: String] = [:]

    package struct Outcome: Sendable {
        package let status: Command.Status
        package let output: String
        package let errors: String
        package let seconds: Double

        /// What was printed on stdout, which must be exactly one document.
        package var json: JSON { get throws { try JSON(parsing: output) } }
        /// All that a person or a script saw.
        package var text: String { output + errors }
    }

    /// `pgark ARGUMENTS` with this cluster file, run below `wrapper` (strace, say) where that is given.
    package func command(_ arguments: [String], under wrapper: [String] = []) throws -> Command {
        let words = wrapper + [try TestMachine.pgark().string] + arguments
        var command = site.command(FilePath(words[0]), Array(words.dropFirst()))
        command.environment["PGARK_CONFIG"] = configuration.string
        command.environment["PGARK_PG_BIN"] = site.programs.directory.string
        command.environment.merge(environment) { $1 }
        return command
    }

    /// Runs it to its end, whatever that is.
    package func run(_ arguments: String...) throws -> Outcome { try run(arguments) }

    package func run(_ arguments: [String]) throws -> Outcome {
        let outcome = try command(arguments).outcome()
        return Outcome(status: outcome.status, output: outcome.output, errors: outcome.errors, seconds: outcome.seconds)
    }

    /// Runs it with --json; it must succeed.
    @discardableResult
    package func callAsFunction(_ arguments: String...) throws -> JSON { try succeed(arguments) }

    @discardableResult
    package func succeed(_ arguments: [String]) throws -> JSON {
        let outcome = try run(arguments + ["--json"])
        guard outcome.status == .exited(0) else {
            throw TestFailure("pgark \(arguments.joined(separator: " ")): \(outcome.status)\n\(outcome.text)")
        }
        return try outcome.json
    }

    /// Runs it with --json; it must fail with this exit status and code, in the form that every error has.
    @discardableResult
    package func fails(_ code: Failure.Code, _ status: Int32? = nil, _ arguments: String...) throws -> JSON {
        try fails(code, status, arguments)
    }

    @discardableResult
    package func fails(_ code: Failure.Code, _ status: Int32?, _ arguments: [String]) throws -> JSON {
        let outcome = try run(arguments + ["--json"])
        let error = try outcome.json.error
        let expected = status ?? code.exitStatus
        guard outcome.status == .exited(expected), error.code.string == code.rawValue,
            error.message.string?.isEmpty == false
        else {
            throw TestFailure(
                "pgark \(arguments.joined(separator: " ")): expected \(code.rawValue) and exit status \(expected)\n"
                    + "\(outcome.status)\n\(outcome.text)")
        }
        return error
    }

    /// Restores into a new directory of the site. The server there is not started yet.
    package func restore(to name: String = "restored", _ arguments: [String] = []) throws -> TestServer {
        let directory = site.directory.appending(name)
        try succeed(["restore", "--to", directory.string, "--yes"] + arguments)
        return try site.restored(in: directory)
    }

    // MARK: In the background

    package func start(_ arguments: String..., log: String = "pgark.log") throws -> BackgroundProcess {
        try site.start(command(arguments), log: log)
    }

    /// A WAL receiver that streams.
    @discardableResult
    package func receive(node: String? = nil, log: String = "receiver.log") throws -> BackgroundProcess {
        let process = try site.start(command(["wal", "receive"] + (node.map { ["--node", $0] } ?? [])), log: log)
        try process.waitUntil(prints: "WAL stream: from")
        return process
    }

    /// Waits until everything up to `lsn` is durable in the repository.
    package func waitUntilStored(_ lsn: LSN) throws {
        try eventually("WAL up to \(lsn) is stored") {
            let durable = try self("wal", "status").durable_lsn.string.flatMap { LSN($0) }
            return durable.map { $0 >= lsn } ?? false
        }
    }
}
