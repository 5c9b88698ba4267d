import Glibc
import Postgres
package import PostgresModel
import Storage
package import SystemPackage

/// One program to run: to its end with what it printed, or in the background.
///
/// What it prints goes through unlinked files instead of pipes. So no output is too large, nothing can dead-lock, and
/// a grandchild that keeps the descriptors (a server that pg_ctl started) makes nobody wait.
///
/// Arguments are visible to every user of the machine: a secret never is one of them.
package struct Command: Sendable {
    package var program: FilePath
    package var arguments: [String]
    /// Added to this process's environment.
    package var environment: [String: String] = [:]
    /// Where the program works; where we do, unless it is given.
    package var directory: FilePath?
    /// What the program reads from its standard input.
    package var input: [UInt8] = []
    /// The same from a file.
    package var inputFile: FilePath?
    package var timeoutSeconds = 120.0

    package init(_ program: FilePath, _ arguments: [String], environment: [String: String] = [:]) {
        self.program = program
        self.arguments = arguments
        self.environment = environment
    }

    package enum Status: Equatable, Sendable, CustomStringConvertible {
        case exited(Int32)
        case killed(signal: Int32)

        package var description: String {
            switch self {
            case .exited(let code): "exit status \(code)"
            case .killed(let signal): "killed by signal \(signal) (\(String(cString: strsignal(signal))))"
            }
        }
    }

    package struct Outcome: Sendable {
        package let status: Status
        package let output: String
        package let errors: String
        package let seconds: Double

        package var succeeded: Bool { status == .exited(0) }
    }

    /// The program's name and arguments as one would type them.
    package var typed: String {
        ([program.lastComponent?.string ?? program.string] + arguments).map(Shell.quoted).joined(separator: " ")
    }

    /// Runs the program to its end. Throws where it could not be started, took too long, or we were interrupted;
    /// whether it succeeded is the caller's question.
    package func outcome() throws -> Outcome {
        let standardInput = try inputFile.map { try ScratchFile(reading: $0) } ?? ScratchFile(input)
        let output = try ScratchFile()
        let errors = try ScratchFile()
        let begin = Deadline.now
        let child = try spawn(
            input: standardInput.descriptor, output: output.descriptor, errors: errors.descriptor, newSession: false)
        let status = try wait(for: child)
        return Outcome(
            status: status, output: try output.text(), errors: try errors.text(), seconds: Double(Deadline.now - begin) / 1e9)
    }

    /// Runs the program to its end; anything but success is a failure with the last lines that it printed.
    @discardableResult
    package func run() throws -> Outcome {
        let outcome = try outcome()
        guard outcome.succeeded else { throw failure(outcome) }
        return outcome
    }

    package func failure(_ outcome: Outcome) -> Failure {
        let said = outcome.errors.isEmpty ? outcome.output : outcome.errors
        return Failure(
            .programFailed, "could not run \(program.lastComponent?.string ?? program.string): \(outcome.status)",
            details: ["command: \(typed)"] + said.split(whereSeparator: \.isNewline).suffix(8).map(String.init))
    }

    /// Runs this program and another to their ends, with what this one prints as the other's input. Anything but success of both
    /// is a failure of the one that failed first in the order of the words that it says.
    package func run(into other: Command) throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw Failure.system("make a pipe to", other.program) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let nothing = try ScratchFile(), errors = try ScratchFile(), output = try ScratchFile(), otherErrors = try ScratchFile()
        let reader: pid_t, writer: pid_t
        do {
            defer { ends.forEach { close($0) } }
            reader = try other.spawn(
                input: ends[0], output: output.descriptor, errors: otherErrors.descriptor, newSession: false)
            do {
                writer = try spawn(input: nothing.descriptor, output: ends[1], errors: errors.descriptor, newSession: false)
            } catch {
                Self.end(reader)
                throw error
            }
        }
        let begin = Deadline.now
        let wrote = Swift.Result { try wait(for: writer) }, read = Swift.Result { try other.wait(for: reader) }
        let seconds = Double(Deadline.now - begin) / 1e9
        let first = Outcome(status: try wrote.get(), output: "", errors: try errors.text(), seconds: seconds)
        let second = Outcome(status: try read.get(), output: try output.text(), errors: try otherErrors.text(), seconds: seconds)
        // A writer whose reader is gone ends by SIGPIPE or says so; the reader knows better why.
        guard second.succeeded else { throw other.failure(second) }
        guard first.succeeded else { throw failure(first) }
    }

    /// Starts the program in a session of its own, where our terminal's signals do not reach it. What it prints is
    /// added to `log`.
    package func start(log: FilePath) throws -> ProcessIdentity {
        let child = try launch(log: log)
        guard let identity = ProcessIdentity(pid: child) else {
            throw Failure(.programFailed, "could not start \(program): it ended at once", details: ["its log: \(log)"])
        }
        return identity
    }

    /// The same for a program that may end at once: whoever calls this collects it.
    package func launch(log: FilePath) throws -> Int32 {
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        let target = log.withPlatformString { open($0, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600) }
        guard null >= 0, target >= 0 else { throw Failure.system("open", log) }
        defer {
            close(null)
            close(target)
        }
        return try spawn(input: null, output: target, errors: target, newSession: true)
    }
}

extension Command {
    private func spawn(input: Int32, output: Int32, errors: Int32, newSession: Bool) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (descriptor, standard) in [(input, STDIN_FILENO), (output, STDOUT_FILENO), (errors, STDERR_FILENO)] {
            posix_spawn_file_actions_adddup2(&actions, descriptor, standard)
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        try Self.restoreSignals(&attributes, newSession: newSession)

        // glibc hides its way to give a child another directory, so env(1) of coreutils goes there.
        let line = (directory.map { ["/usr/bin/env", "--chdir=\($0)"] } ?? []) + [program.string] + arguments
        let words = line.map { strdup($0) } + [nil]
        let variables = mergedEnvironment().map { strdup($0) } + [nil]
        defer { (words + variables).forEach { free($0) } }
        var child = pid_t()
        let status = posix_spawn(&child, line[0], &actions, &attributes, words, variables)
        guard status == 0 else { throw Failure.system("run", program, error: status) }
        return child
    }

    /// We ignore SIGPIPE and our threads block some signals; a child begins with the system's defaults.
    private static func restoreSignals(_ attributes: inout posix_spawnattr_t, newSession: Bool) throws {
        let setSession: Int32 = 0x80  // POSIX_SPAWN_SETSID, which glibc shows only to _GNU_SOURCE
        var none = sigset_t()
        sigemptyset(&none)
        var ignored = sigset_t()
        sigemptyset(&ignored)
        sigaddset(&ignored, SIGPIPE)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &ignored)
        let flags = Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF) | (newSession ? setSession : 0)
        posix_spawnattr_setflags(&attributes, Int16(flags))
    }

    private func mergedEnvironment() -> [String] {
        var merged = Environment.all
        merged.merge(environment) { _, added in added }
        return merged.map { "\($0.key)=\($0.value)" }
    }

    private func wait(for child: pid_t) throws -> Status {
        let deadline = Deadline(seconds: timeoutSeconds)
        var pauseMicroseconds: UInt32 = 500
        while true {
            if let status = Self.ended(child) { return status }
            do {
                try deadline.check("could not wait for \(typed): it still runs after \(timeoutSeconds) s")
            } catch {
                Self.end(child)
                throw error
            }
            usleep(pauseMicroseconds)
            pauseMicroseconds = min(pauseMicroseconds * 2, 20_000)
        }
    }

    private static func ended(_ child: pid_t) -> Status? {
        var status: Int32 = 0
        guard waitpid(child, &status, WNOHANG) == child else { return nil }
        let signal = status & 0x7F
        return signal == 0 ? .exited((status >> 8) & 0xFF) : .killed(signal: signal)
    }

    /// Asks the child to end, and after ten seconds insists.
    private static func end(_ child: pid_t) {
        kill(child, SIGTERM)
        let patience = Deadline(seconds: 10)
        while ended(child) == nil {
            if patience.isOver { kill(child, SIGKILL) }
            usleep(10_000)
        }
    }
}
