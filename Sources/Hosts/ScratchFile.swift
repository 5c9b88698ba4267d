import Glibc
import PostgresModel
import Storage
import SystemPackage

/// A file without a name, for what a program reads or prints.
struct ScratchFile: ~Copyable {
    let descriptor: Int32
    /// More than any program here prints; the rest is left out.
    private static let largest = 64 << 20

    init(_ content: [UInt8] = []) throws {
        var name = Array("/tmp/pgark-XXXXXX".utf8CString)
        descriptor = mkstemp(&name)
        guard descriptor >= 0 else { throw Failure.system("create a scratch file in", "/tmp") }
        unlink(name)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        guard content.isEmpty || write(descriptor, content, content.count) == content.count else {
            throw Failure.system("write a scratch file in", "/tmp")
        }
        lseek(descriptor, 0, SEEK_SET)
    }

    /// One that is there already, to be read from its begin.
    init(reading path: FilePath) throws {
        descriptor = path.withPlatformString { open($0, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw Failure.system("open", path) }
    }

    deinit { close(descriptor) }

    borrowing func text() throws -> String {
        let size = min(Int(lseek(descriptor, 0, SEEK_END)), Self.largest)
        let bytes = [UInt8](unsafeUninitializedCapacity: max(size, 0)) { buffer, count in
            count = max(0, pread(descriptor, buffer.baseAddress, buffer.count, 0))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
