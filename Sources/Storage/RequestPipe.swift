import Glibc
import PostgresModel
package import SystemPackage

/// A named pipe by which processes send lines to one that serves them: whoever sends learns whether anybody listens.
package final class RequestPipe {
    private let path: FilePath
    private let descriptor: Int32
    private var pending: [UInt8] = []

    /// Listens at `path`, where nothing may be yet.
    package init(listeningAt path: FilePath) throws {
        guard path.withPlatformString({ mkfifo($0, 0o600) }) == 0 else { throw Failure.system("create the pipe", path) }
        // Also open for writing, so that it never ends when a sender closes it.
        let opened = path.withPlatformString { open($0, O_RDWR | O_NONBLOCK | O_CLOEXEC) }
        guard opened >= 0 else { throw Failure.system("open", path) }
        self.path = path
        descriptor = opened
    }

    deinit { close(descriptor) }

    /// The lines that came, after waiting for the first one so long at most; none after that time or at an interrupt.
    package func lines(within milliseconds: Int32) throws -> [String] {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&request, 1, milliseconds) > 0 else { return [] }
        try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            guard count >= 0 || errno == EAGAIN || errno == EINTR else { throw Failure.system("read", path) }
            pending += buffer.prefix(max(0, count))
        }
        guard let end = pending.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        defer { pending.removeSubrange(...end) }
        return pending[..<end].split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
    }

    /// False where nobody listens at `path`, or where so much waits there that nobody can be listening.
    package static func send(_ line: String, to path: FilePath) -> Bool {
        let descriptor = path.withPlatformString { open($0, O_WRONLY | O_NONBLOCK | O_CLOEXEC) }
        guard descriptor >= 0 else { return false }  // ENXIO: a pipe without a listener
        defer { close(descriptor) }
        let bytes = Array("\(line)\n".utf8)
        return bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } == bytes.count
    }
}
