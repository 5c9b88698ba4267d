import Glibc
package import Hosts
import Lab
import Postgres
import Storage
package import SystemPackage

/// A program that runs beside the test: a WAL receiver, a load, a backup that is about to be killed.
package final class BackgroundProcess: Sendable {
    package let pid: Int32
    /// What it prints, on both streams.
    package let log: FilePath
    private let command: String
    private let ended = Monitor<Command.Status?>(nil)

    init(pid: Int32, log: FilePath, command: String) {
        self.pid = pid
        self.log = log
        self.command = command
    }

    package var output: String { (try? SmallFile.readText(log)) ?? "" }

    /// How it ended; nil while it runs.
    package var status: Command.Status? {
        ended.change { status in
            if status == nil { status = Self.collect(pid) }
            return status
        }
    }

    private static func collect(_ pid: Int32) -> Command.Status? {
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
        return status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .killed(signal: status & 0x7F)
    }

    package func send(_ signal: Int32) {
        // Until its status is collected the number is its own, so this never meets a stranger.
        ended.read { if $0 == nil { _ = Glibc.kill(pid, signal) } }
    }

    @discardableResult
    package func wait(seconds: Double = 30) throws -> Command.Status {
        do { return try eventually("\(command) ends", seconds: seconds) { status } } catch {
            throw TestFailure("\(error)\n\(output)")
        }
    }

    /// Asks it to end and waits until it has.
    @discardableResult
    package func stop(seconds: Double = 30) throws -> Command.Status {
        send(SIGTERM)
        return try wait(seconds: seconds)
    }

    package func kill() {
        send(SIGKILL)
        _ = try? wait()
    }

    /// Kills it after so many seconds; false where it had ended by itself before, which must have been a success.
    package func kill(after seconds: Double) throws -> Bool {
        pause(seconds)
        kill()
        let status = status
        if status == .killed(signal: SIGKILL) { return true }
        guard status == .exited(0) else {
            throw TestFailure("\(command): \(status.map(String.init(describing:)) ?? "it lives")\n\(output)")
        }
        return false
    }

    /// Waits until it has printed `text`, and fails when it ends before.
    package func waitUntil(prints text: String, seconds: Double = 30) throws {
        do {
            try eventually("it prints \"\(text)\"", seconds: seconds) {
                if output.contains(text) { return true }
                if let status { throw TestFailure("ended before it printed \"\(text)\": \(status)") }
                return false
            }
        } catch { throw TestFailure("\(command): \(error)\n\(output)") }
    }
}
