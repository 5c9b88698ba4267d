import ArgumentParser
import Cluster
import Glibc
import PostgresModel

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Every check: OK, WARNING or FAILED, the fact, the remedy.",
        discussion: """
            Exit status 0: no check failed. 5: one did. Warnings do not change it.
            With --nagios one line, and 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
            Checks: \(CheckName.allCases.map(\.rawValue).joined(separator: ", "))
            """)

    @OptionGroup var global: GlobalOptions

    @Flag(help: "Print one line for Nagios or Icinga, and exit as they expect.")
    var nagios = false

    @Argument(help: "Only these checks (default: all).")
    var names: [String] = []

    func run() throws {
        if nagios { try runForNagios() }
        let output = global.output
        let results = try results()
        let document = Document(checks: results, ok: !results.contains { $0.result == .failed })
        try output.data(document) { document.text(output) }
        if !document.ok { throw ExitCode(Failure.Code.problemFound.exitStatus) }
    }

    private func results() throws -> [CheckResult] {
        let names = try chosenNames()
        return Checks(try ClusterView.observe(global.repositoryFile())).results(of: names)
    }

    private func chosenNames() throws -> Set<CheckName> {
        let known = CheckName.allCases.map(\.rawValue)
        let unknown = names.filter { CheckName(rawValue: $0) == nil }
        guard unknown.isEmpty else {
            let words = unknown.map { "\"\($0)\"\(Suggestion.text(for: $0, among: known))" }
            throw Failure(
                .usage, "could not find the check \(words.joined(separator: ", "))",
                details: ["checks: \(known.joined(separator: ", "))"])
        }
        return Set(names.isEmpty ? CheckName.allCases : names.compactMap { CheckName(rawValue: $0) })
    }

    /// Whatever happens ends in one line and one of Nagios' four codes.
    private func runForNagios() throws -> Never {
        let line: NagiosLine
        do {
            line = NagiosLine(cluster: try global.repositoryFile().name, results: try results())
        } catch let failure as Failure {
            line = NagiosLine(failure)
        }
        FileHandleText.write(line.text + "\n", to: STDOUT_FILENO)
        throw ExitCode(line.status.rawValue)
    }

    private struct Document: Encodable {
        let checks: [CheckResult]
        let ok: Bool

        func text(_ output: Output) -> String {
            let rows = checks.flatMap { check in
                let row = [Self.painted(check.result, output), check.name.rawValue, check.node ?? "-", check.message]
                // The remedy stands below its fact, in the same column.
                return [row] + (check.hint.map { [["", "", "", output.paint("\u{2192} ", .faint) + $0]] } ?? [])
            }
            return Output.table(["result", "check", "node", "fact"], rows) + "\n\n" + summary(output)
        }

        private func summary(_ output: Output) -> String {
            func count(_ outcome: CheckResult.Outcome) -> Int { checks.count { $0.result == outcome } }
            let parts: [(Int, String, Output.Style)] = [
                (count(.ok), "OK", .good), (count(.warning), "WARNING", .warning), (count(.failed), "FAILED", .bad),
            ]
            return parts.filter { $0.0 > 0 }.map { output.paint("\($0.0) \($0.1)", $0.2) }.joined(separator: ", ")
        }

        private static func painted(_ outcome: CheckResult.Outcome, _ output: Output) -> String {
            switch outcome {
            case .ok: output.paint("OK", .good)
            case .warning: output.paint("WARNING", .warning)
            case .failed: output.paint("FAILED", .bad)
            }
        }
    }
}
