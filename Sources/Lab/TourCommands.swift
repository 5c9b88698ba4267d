import FoundationEssentials
import Hosts
import PostgresModel
import SystemPackage

/// pgark's own commands as the tour runs them, and what it reads of their JSON (the contract of the command line).
extension Tour {
    /// Runs a command for a person and shows what it printed.
    func show(_ arguments: [String], timeoutSeconds: Double = 120) throws {
        let command = pgark(arguments, timeoutSeconds: timeoutSeconds)
        tell(.command("$ \(command.typed)"))
        tell(.output(try command.run().output))
    }

    /// Runs a command with --json and decodes the one document that it prints.
    func json<Document: Decodable>(
        _ arguments: [String], as type: Document.Type = Document.self, statuses: Set<Int32> = [0], timeoutSeconds: Double = 120,
        isTold: Bool = true
    ) throws -> Document {
        let command = pgark(arguments + ["--json"], timeoutSeconds: timeoutSeconds)
        if isTold { tell(.command("$ \(command.typed)")) }
        let outcome = try command.outcome()
        guard case .exited(let status) = outcome.status, statuses.contains(status) else {
            throw reported(command, outcome)
        }
        do {
            return try JSONDecoder().decode(type, from: Data(outcome.output.utf8))
        } catch {
            throw Failure(
                .labFailed, "could not read the JSON of \(command.typed)",
                details: ["\(error)", "it printed: \(outcome.output.prefix(400))"])
        }
    }

    /// What the command itself says about its failure.
    private func reported(_ command: Command, _ outcome: Command.Outcome) -> Failure {
        guard let document = try? JSONDecoder().decode(ErrorDocument.self, from: Data(outcome.output.utf8)) else {
            return command.failure(outcome)
        }
        return Failure(
            .programFailed, "\(command.typed): \(document.error.message)",
            details: [outcome.status.description, document.error.detail, document.error.hint].compactMap { $0 })
    }

    private func pgark(_ arguments: [String], timeoutSeconds: Double) -> Command {
        var command = Command(hosts.home.program, arguments)
        command.environment["PGARK_CONFIG"] = hosts.home.clusterFile.string
        command.directory = hosts.home.directory
        command.timeoutSeconds = timeoutSeconds
        return command
    }
}

struct ErrorDocument: Decodable {
    struct Content: Decodable { let message: String, detail: String?, hint: String? }
    let error: Content
}

struct BackupDocument: Decodable {
    let id: String, node: String, status: String, method: String
    let beginLSN: LSN?, endLSN: LSN?
    let dataBytes: Int?, storedBytes: Int?
    let badPages: [AnyJSON]?

    private enum CodingKeys: String, CodingKey {
        case id, node, status, method
        case beginLSN = "begin_lsn", endLSN = "end_lsn", dataBytes = "data_bytes", storedBytes = "stored_bytes"
        case badPages = "bad_pages"
    }
}

struct ListDocument: Decodable { let backups: [BackupDocument] }

struct CheckDocument: Decodable {
    struct Check: Decodable { let name: String, node: String?, result: String, message: String? }
    let ok: Bool
    let checks: [Check]
}

struct WALStatusDocument: Decodable {
    let gaps: [AnyJSON]
    let durableLSN: LSN?
    let connected: Bool

    private enum CodingKeys: String, CodingKey { case gaps, durableLSN = "durable_lsn", connected }
}

struct RestoreDocument: Decodable {
    let backup: String?
    let directory: String
    let files: Int, bytes: Int
}

/// A value of which only the presence counts.
struct AnyJSON: Decodable { init(from decoder: any Decoder) {} }
