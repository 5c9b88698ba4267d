package import ArgumentParser
import Cluster
import Glibc
package import PostgresModel
import SystemPackage

/// The program: parses the command line, runs one command, turns its outcome into output and an exit status.
package struct PgarkCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "pgark",
        abstract: "PostgreSQL hot standbys, WAL streaming, backups and restores, from one program.",
        version: "pgark 0.1.0",
        subcommands: [
            BackupCommand.self, ListCommand.self, ShowCommand.self, VerifyCommand.self, KeepCommand.self, DeleteCommand.self,
            MaintainCommand.self, UpgradeCommand.self,
            InitCommand.self, PlanCommand.self, ApplyCommand.self, RejoinCommand.self, StandbyCommand.self, OnHostCommand.self,
            RestoreCommand.self, ExportCommand.self, WALCommand.self, SlotsCommand.self, HistoryCommand.self, StatusCommand.self,
            CheckCommand.self,
            LabCommand.self,
        ])

    package init() {}

    /// Runs the program and ends the process.
    package static func main() -> Never {
        Interruption.install()
        let arguments = GlobalOptions.moved(behindCommandOf: Array(CommandLine.arguments.dropFirst()))
        let output = Output(json: arguments.contains("--json"), noColor: arguments.contains("--no-color"))
        do {
            var command = try parseAsRoot(arguments)
            try command.run()
            end(EXIT_SUCCESS)
        } catch let failure as Failure {
            output.failure(failure)
            end(exitStatus(of: failure.code, arguments))
        } catch let status as ExitCode {
            end(status.rawValue)
        } catch {
            if exitCode(for: error).isSuccess {  // --help and --version end as errors too
                print(fullMessage(for: error))
                end(EXIT_SUCCESS)
            }
            let failure = usage(message(for: error), arguments)
            output.failure(failure)
            end(exitStatus(of: failure.code, arguments))
        }
    }

    /// Without what libraries do at an ordinary end: threads may still be within them, or just leaving (libcrypto's end does not
    /// wait for a thread that ends meanwhile).
    private static func end(_ status: Int32) -> Never {
        fflush(nil)
        _exit(status)
    }

    private static func usage(_ message: String, _ arguments: [String]) -> Failure {
        let lines = message.split(whereSeparator: \.isNewline).map(String.init)
        let command = (["pgark"] + arguments.prefix { !$0.hasPrefix("-") }.prefix(2)).joined(separator: " ")
        let reason = lines.first ?? "unknown reason"
        return Failure(
            .usage, "could not read the command line: \(reason.prefix(1).lowercased() + reason.dropFirst())",
            details: Array(lines.dropFirst()), hint: "Try: \(command) --help")
    }

    /// PostgreSQL takes an exit status of 1 to 125 from restore_command as "there is no such file" and ends recovery.
    /// So every failure of `wal get` leaves by a higher one, whatever its code; proved absence is no failure.
    package static func exitStatus(of code: Failure.Code, _ arguments: [String]) -> Int32 {
        // Whatever stands between the two words, and whatever was wrong with it.
        let isWALGet = arguments.firstIndex(of: "wal").map { arguments[$0...].contains("get") } ?? false
        return isWALGet ? WALGetStatus.failed : code.exitStatus
    }
}

/// What `wal get` tells PostgreSQL (src/backend/access/transam/xlogarchive.c, RestoreArchivedFile).
enum WALGetStatus {
    static let absent: Int32 = 1
    static let failed: Int32 = 254
}

/// Options that every command has.
package struct GlobalOptions: ParsableArguments {
    package init() {}

    @Option(help: "The cluster file (default: $PGARK_CONFIG, ./pgark.yaml, /etc/pgark/*.yaml).")
    var config: String?

    @Option(help: "The cluster to work on, where several files are found.")
    var cluster: String?

    @Flag(help: "Print one JSON document on stdout.")
    var json = false

    @Flag(help: "Print no colours (also: the variable NO_COLOR).")
    var noColor = false

    var output: Output { Output(json: json, noColor: noColor) }

    /// `pgark --config FILE wal get …` means `pgark wal get --config FILE …`: every command has these options itself.
    package static func moved(behindCommandOf arguments: [String]) -> [String] {
        var leading: [String] = []
        var rest = arguments[...]
        while let option = rest.first, option.hasPrefix("--") {
            switch option {
            case "--json", "--no-color": leading.append(rest.removeFirst())
            case "--config", "--cluster":
                leading += rest.prefix(2)
                rest = rest.dropFirst(2)
            default:
                guard option.hasPrefix("--config=") || option.hasPrefix("--cluster=") else { return arguments }
                leading.append(rest.removeFirst())
            }
        }
        var command: [String] = []
        var subcommands = PgarkCommand.configuration.subcommands
        while let word = rest.first, let found = subcommands.first(where: { $0._commandName == word }) {
            command.append(rest.removeFirst())
            subcommands = found.configuration.subcommands
        }
        return command + leading + rest
    }

    /// The cluster file that applies, read and checked.
    func clusterFile() throws -> ClusterFile {
        try ClusterFile.find(config: config.map { FilePath($0) }, cluster: cluster)
    }

    /// The same for a command that works in the repository: where that is another host's, the command goes on there, and this
    /// does not return. Root works as the repository's owner where it writes, or nobody else could go on with what it wrote.
    /// `redraws`: it needs a terminal there too, where there is one here.
    func repositoryFile(writes: Bool = false, redraws: Bool = false) throws -> ClusterFile {
        let file = try clusterFile()
        if file.repositoryIsElsewhere { try RemoteRepository(file).goOn(redraws: redraws) }
        guard writes else { return file }
        try RemoteRepository.becomeOwner(of: file.repository.path)
        // Who we are now may be allowed to read another passfile than before.
        return try file.withPassfile()
    }

    /// The same for a command that also works with this machine's files, and so cannot go on elsewhere.
    func localFile(to verb: String) throws -> ClusterFile {
        let file = try clusterFile()
        guard file.repositoryIsElsewhere, let ssh = file.repository.ssh else { return file }
        throw Failure(
            .repositoryUnreachable, "could not \(verb): the repository of \"\(file.name)\" is on another host",
            details: ["repository: { host: \(file.repository.host ?? "") } in \(file.path)"], hint: "Run it there: ssh \(ssh)")
    }
}
