import Backup
import Glibc
import Postgres
import PostgresModel
import Storage

/// Shows how far a job is: on a terminal one line that redraws, elsewhere a plain line every ten seconds.
final class ProgressLine: Sendable {
    private struct State {
        var begin = Deadline.now
        var last: UInt64 = 0
        var isShown = false
    }

    private let verb: String
    private let isTerminal: Bool
    private let isSilent: Bool
    private let state = Monitor(State())
    private static let redrawInterval: UInt64 = 100_000_000
    private static let plainInterval: UInt64 = 10_000_000_000

    /// A silent one shows nothing: for logs that somebody keeps.
    init(_ verb: String, isSilent: Bool = false) {
        self.verb = verb
        self.isSilent = isSilent
        isTerminal = isatty(STDERR_FILENO) == 1
        state.change { $0.last = Deadline.now }
    }

    /// Notes and progress go to stderr.
    func reporter(_ output: Output) -> Reporter {
        Reporter(
            note: { [self] text in
                clear()
                output.note(text)
            },
            progress: { [self] done, total in show(done, total, output) })
    }

    private func show(_ done: Int, _ total: Int?, _ output: Output) {
        let now = Deadline.now
        let isDue = state.change { state in
            guard !isSilent, now - state.last >= (isTerminal ? Self.redrawInterval : Self.plainInterval) else { return false }
            state.last = now
            state.isShown = true
            return true
        }
        guard isDue else { return }
        let seconds = max(0.001, Double(now - state.read { $0.begin }) / 1e9)
        let rate = Double(done) / seconds
        var text = "\(verb) \(ByteCount(done)), \(ByteCount(Int(rate)))/s"
        if let total, total > 0 {
            // The server's estimate may be a little short of what it sends.
            let share = min(1, Double(done) / Double(total))
            let left = max(0, Double(total - done)) / max(1, rate)
            text += ", \(Int(share * 100)) % of \(ByteCount(total)), \(Output.duration(left)) left"
        }
        if isTerminal {
            FileHandleText.write("\r\u{1B}[K" + text, to: STDERR_FILENO)
        } else {
            output.note(text)
        }
    }

    /// Removes the line, before something else is printed.
    func clear() {
        let wasShown = state.change { state in
            defer { state.isShown = false }
            return state.isShown
        }
        if wasShown, isTerminal { FileHandleText.write("\r\u{1B}[K", to: STDERR_FILENO) }
    }
}
