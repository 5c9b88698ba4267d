internal import CLinux
import Glibc
package import PostgresModel
package import SystemPackage

/// One open file; closed once, when the last reference goes.
///
/// Nothing here is durable until `synchronize` returned. A failed `synchronize` is final: the kernel may have dropped
/// the pages it could not write, so the same file is never asked again (it has to be written anew).
package final class File: Sendable {
    package let path: FilePath
    fileprivate let descriptor: Int32

    package enum Mode: Sendable {
        case read
        /// Must not exist yet.
        case create
        /// Created where it is missing; its content is kept.
        case update
        /// Created where it is missing, emptied where it is not.
        case replace
    }

    package init(_ path: FilePath, _ mode: Mode, permissions: UInt32 = 0o600) throws {
        let flags: Int32 =
            switch mode {
            case .read: O_RDONLY
            case .create: O_RDWR | O_CREAT | O_EXCL
            case .update: O_RDWR | O_CREAT
            case .replace: O_RDWR | O_CREAT | O_TRUNC
            }
        let opened = path.withPlatformString { open($0, flags | O_CLOEXEC, mode_t(permissions)) }
        guard opened >= 0 else { throw Failure.system("open", path) }
        self.path = path
        descriptor = opened
    }

    deinit { close(descriptor) }

    package var size: Int {
        get throws {
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw Failure.system("read the size of", path) }
            return Int(status.st_size)
        }
    }

    /// Reads up to the buffer's length from `offset`; fewer bytes only at the end of the file.
    package func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        var done = 0
        while done < buffer.count {
            let count = pread(descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Failure.system("read", path) }
            if count == 0 { break }
            done += count
        }
        return done
    }

    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < bytes.count {
            let count = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Failure.system("write", path) }
            done += count
        }
    }

    package func writeZeros(from offset: Int, count: Int) throws {
        try Self.zeros.withUnsafeBytes { zeros in
            var done = 0
            while done < count {
                let pieces = (0..<min(16, (count - done + zeros.count - 1) / zeros.count)).map { n in
                    iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: zeros.baseAddress!),
                        iov_len: min(zeros.count, count - done - n * zeros.count))
                }
                let written = pwritev(descriptor, pieces, Int32(pieces.count), off_t(offset + done))
                if written < 0, errno == EINTR { continue }
                guard written >= 0 else { throw Failure.system("write", path) }
                done += written
            }
        }
    }

    private static let zeros = [UInt8](repeating: 0, count: 64 << 10)

    package func truncate(to size: Int) throws {
        guard ftruncate(descriptor, off_t(size)) == 0 else { throw Failure.system("truncate", path) }
    }

    /// Makes the content durable: fdatasync(2), which includes the size.
    package func synchronize() throws {
        guard fdatasync(descriptor) == 0 else { throw Failure.system("make durable", path) }
    }

    package func setOwner(_ owner: Owner) throws {
        guard fchown(descriptor, owner.user, owner.group) == 0 else { throw Failure.system("set the owner of", path) }
    }

    /// Takes an exclusive or shared lock on the open file; false where another process holds one against it.
    package func tryLock(exclusive: Bool) throws -> Bool {
        while flock(descriptor, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0 {
            if errno == EINTR { continue }
            guard errno == EWOULDBLOCK else { throw Failure.system("lock", path) }
            return false
        }
        return true
    }

    /// Makes everything written to the file system that holds `path` durable: syncfs(2), which since Linux 5.8 also
    /// reports what could not be written.
    /// Programs that this process runs have it open too.
    package func keepForPrograms() { _ = fcntl(descriptor, F_SETFD, 0) }

    package static func synchronizeFileSystem(of path: FilePath) throws {
        let file = try File(path, .read)
        guard pgark_syncfs(file.descriptor) == 0 else { throw Failure.system("make durable the file system of", path) }
    }
}

package struct Owner: Sendable, Equatable {
    package let user: UInt32
    package let group: UInt32

    package init(user: UInt32, group: UInt32) {
        self.user = user
        self.group = group
    }

    /// The account of that name, nil where there is none.
    package init?(account: String) {
        guard let entry = getpwnam(account) else { return nil }
        self.init(user: entry.pointee.pw_uid, group: entry.pointee.pw_gid)
    }

    package static var current: Owner { Owner(user: geteuid(), group: getegid()) }
    package var isRoot: Bool { user == 0 }
}

extension Failure {
    /// The failure of a system call, from errno: "could not open /a/b: Permission denied".
    package static func system(_ verb: String, _ path: FilePath, error: Int32 = errno) -> Failure {
        let (code, hint): (Code, String?) =
            switch error {
            case ENOSPC, EDQUOT: (.diskFull, "Free some space there, then run the command again: df -h \(path)")
            case EACCES, EPERM: (.permissionDenied, "Run as the user that owns it, or change its permissions: ls -ld \(path)")
            case EROFS: (.permissionDenied, "The file system is mounted read-only: findmnt -T \(path)")
            default: (.inputOutput, nil)
            }
        return Failure(
            code, "could not \(verb) \(path): \(String(cString: strerror(error)))",
            details: ["errno \(error)"], hint: hint)
    }
}

extension File {
    /// Asks the kernel to begin writing these bytes to disk, without waiting: not a promise of durability.
    package func startWriteback(from offset: Int, count: Int) { pgark_start_writeback(descriptor, Int64(offset), Int64(count)) }

    /// Up to `count` bytes from `offset`; fewer only at the end of the file.
    package func bytes(at offset: Int, count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let done = try bytes.withUnsafeMutableBytes { try read(at: offset, into: $0) }
        return Array(bytes[..<done])
    }
}
