import Glibc
import PostgresModel
package import SystemPackage

/// A lock between processes: flock(2) on a file that also says who holds it. It ends with the process, however that
/// ends, so a lock is never left behind.
package final class LockFile {
    private let file: File

    private init(_ file: File) { self.file = file }

    /// Nil where another process holds the lock.
    package static func take(_ path: FilePath, exclusive: Bool = true, purpose: String) throws -> LockFile? {
        try take(path, exclusive: exclusive, content: "\(purpose), process \(getpid())\n")
    }

    /// As above; an exclusive lock leaves `content` in the file.
    package static func take(_ path: FilePath, exclusive: Bool, content: String) throws -> LockFile? {
        // A shared lock needs no permission to write, so whoever may read a repository may restore from it.
        let file = try File(path, exclusive || !Directory.exists(path) ? .update : .read, permissions: 0o644)
        // Somebody who only looks whether it is held (`isHeld`) holds it for an instant: one refusal proves nothing.
        var attempts = 3
        while try !file.tryLock(exclusive: exclusive) {
            attempts -= 1
            guard attempts > 0 else { return nil }
            usleep(20_000)
        }
        if exclusive {
            // Written before it is cut to length: a file that has this content already has it at every moment.
            let bytes = Array(content.utf8)
            try bytes.withUnsafeBytes { try file.write($0, at: 0) }
            try file.truncate(to: bytes.count)
        }
        return LockFile(file)
    }

    /// Takes the lock or throws `locked`, which names the holder.
    package static func require(_ path: FilePath, exclusive: Bool = true, purpose: String, to verb: String) throws -> LockFile {
        if let lock = try take(path, exclusive: exclusive, purpose: purpose) { return lock }
        let holder = try holder(path)
        throw Failure(
            .locked, "could not \(verb): \(holder ?? "another process") holds the lock",
            details: ["lock file \(path)"], hint: "Wait for it to end, or end it, then run the command again.")
    }

    /// Who holds or held the lock, as it described itself.
    package static func holder(_ path: FilePath) throws -> String? {
        let text = try SmallFile.readText(path)?.split(whereSeparator: \.isNewline).first.map(String.init)
        return text?.isEmpty == true ? nil : text
    }

    /// True while some process holds the lock exclusively.
    package static func isHeld(_ path: FilePath) throws -> Bool {
        guard try Directory.exists(path) else { return false }
        return try !File(path, .read).tryLock(exclusive: false)
    }
}
