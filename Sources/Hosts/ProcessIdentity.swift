import Glibc
import Postgres
package import PostgresModel
import Storage
package import SystemPackage

/// A process that we may end: a number alone may meanwhile belong to somebody else, so the moment of its start (clock
/// ticks since boot, proc(5), field 22 of stat) goes with it.
package struct ProcessIdentity: Codable, Equatable, Sendable {
    package let pid: Int32
    package let startTicks: UInt64

    /// Nil where no process has this number, or only the remains of one that nobody waited for.
    package init?(pid: Int32) {
        guard let ticks = Self.startTicks(of: pid) else { return nil }
        self.pid = pid
        startTicks = ticks
    }

    /// A process of this user that runs exactly this command.
    package static func find(_ command: Command) -> ProcessIdentity? {
        let wanted = ([command.program.string] + command.arguments).map { $0 + "\0" }.joined()
        for pid in ((try? Directory.names(in: "/proc")) ?? []).compactMap({ Int32($0) }) {
            let directory = FilePath("/proc/\(pid)")
            guard (try? Directory.status(directory))??.owner.user == Owner.current.user,
                (try? ProcFile.text(directory.appending("cmdline"))) == wanted
            else { continue }
            return ProcessIdentity(pid: pid)
        }
        return nil
    }

    /// By the clock as it is set now.
    package var startTime: Timestamp {
        var sinceBoot = timespec()
        clock_gettime(CLOCK_BOOTTIME, &sinceBoot)
        let age =
            Double(sinceBoot.tv_sec) + Double(sinceBoot.tv_nsec) / 1e9 - Double(startTicks) / Double(sysconf(Int32(_SC_CLK_TCK)))
        return .now - age
    }

    package var isRunning: Bool {
        var status: Int32 = 0
        waitpid(pid, &status, WNOHANG)  // where it was our child, its remains go now
        return Self.startTicks(of: pid) == startTicks
    }

    /// Asks the process to end, insists with SIGKILL after `patienceSeconds`; done when it is gone.
    package func end(patienceSeconds: Double) throws {
        guard isRunning else { return }
        guard kill(pid, SIGTERM) == 0 || errno == ESRCH else {
            throw Failure(.permissionDenied, "could not end process \(pid): \(String(cString: strerror(errno)))")
        }
        let patience = Deadline(seconds: patienceSeconds)
        while isRunning, !patience.isOver { usleep(10_000) }
        if isRunning { kill(pid, SIGKILL) }
        let last = Deadline(seconds: 10)
        while isRunning {
            if last.isOver { throw Failure(.timedOut, "could not end process \(pid): it survives SIGKILL") }
            usleep(10_000)
        }
    }

    /// The directory that a process works in, nil where we may not know.
    package static func workingDirectory(of pid: Int32) -> FilePath? { Directory.linkTarget(FilePath("/proc/\(pid)/cwd")) }

    /// The processes that work in a directory, as far as we may know.
    package static func working(in directory: FilePath) throws -> [Int32] {
        let place = Directory.resolved(directory)
        return (try Directory.names(in: "/proc") ?? []).compactMap { Int32($0) }.filter { workingDirectory(of: $0) == place }
    }

    private static func startTicks(of pid: Int32) -> UInt64? {
        guard let text = try? ProcFile.text(FilePath("/proc/\(pid)/stat")), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")  // the name before ")" may hold anything
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
        return UInt64(fields[19])
    }
}

/// Files of /proc, whose size is said to be zero.
private enum ProcFile {
    static func text(_ path: FilePath) throws -> String {
        let file = try File(path, .read)
        let bytes = try [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            count = try file.read(at: 0, into: UnsafeMutableRawBufferPointer(buffer))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
