import Glibc
import Hosts
import SystemPackage
import TestSupport

extension TestHosts {
    /// Kills a run of pgark with -9 when it is about to write this line of its journal. True where it ended before.
    func run(_ arguments: String..., killedAtLine line: Int) throws -> Bool {
        let journal = "/var/lib/pgark-apply/lab.journal"
        let strace = [
            "strace", "-qq", "-o", "/dev/null", "-P", journal, "-e", "trace=fdatasync", "-e",
            "inject=fdatasync:signal=KILL:when=\(line)", "env", "PGARK_CONFIG=\(configuration)",
        ]
        let outcome = try control.command(strace + [TestMachine.pgark().string] + arguments).outcome()
        if outcome.status == .exited(0) { return true }
        guard outcome.status == .killed(signal: SIGKILL) || outcome.status == .exited(137) else {
            throw TestFailure(
                "\(arguments.joined(separator: " ")), to be killed at line \(line): \(outcome.status)\n\(outcome.output)\(outcome.errors)"
            )
        }
        return false
    }
}
