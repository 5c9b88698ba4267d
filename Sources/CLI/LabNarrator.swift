import Glibc
import Hosts
import Lab
import SystemPackage

/// Shows what the lab does, line by line, on stderr: narration is progress, the summary is the data.
struct LabNarrator: Sendable {
    private let output: Output
    private let isPainted: Bool

    init(_ output: Output) {
        self.output = output
        isPainted = output.color && isatty(STDERR_FILENO) == 1
    }

    func opening(_ hosts: LabHosts) {
        output.note("PostgreSQL \(hosts.programs.version) from \(hosts.programs.directory), the lab is \(hosts.home.directory)")
    }

    func tell(_ event: Narration) {
        switch event {
        case .stepBegin(let number, let total, let title): output.note(paint("\n[\(number)/\(total)] \(title)", .strong))
        case .remark(let text): output.note(paint("  \(text)", .faint))
        case .command(let text): output.note("  " + paint(text, .warning))
        case .output(let text):
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)" }
            output.note(lines.joined(separator: "\n").trimmingSuffix(while: \.isWhitespace))
        case .proved(let fact): output.note("  \(paint("✓", .good)) \(fact.name): \(fact.value)")
        case .stepEnd: break
        }
    }

    private func paint(_ text: String, _ style: Output.Style) -> String { isPainted ? output.paint(text, style) : text }
}

extension StringProtocol {
    fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> String {
        var end = endIndex
        while end > startIndex, predicate(self[index(before: end)]) { end = index(before: end) }
        return String(self[..<end])
    }
}
