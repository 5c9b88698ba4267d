import Glibc
import PostgresModel
package import SystemPackage

/// A lock between processes: flock(2) on a file that also says who holds it, or on a directory. It ends with the process, however that
/// ends, so a lock is never left behind.
package final class LockFile {
    private let file: File

    private init(_ file: File) { self.file = file }

    /// Nil where another process holds the lock.
    package static func take(_ path: FilePath, exclusive: Bool = true, purpose: String) throws -> LockFile? {
        // A shared lock needs no permission to write, so whoever may read a repository may restore from it.
        let file = try File(path, exclusive || !Directory.exists(path) ? .update : .read, permissions: 0o644)
        guard try lock(file, exclusive: exclusive) else { return nil }
        if exclusive {
            let bytes = Array("\(purpose), process \(getpid())\n".utf8)
            try bytes.withUnsafeBytes { try file.write($0, at: 0) }
            try file.truncate(to: bytes.count)
        }
        return LockFile(file)
    }

    /// Locks a directory itself. Nothing in it says so, and nothing that is removed from it takes the lock away.
    package static func take(directory: FilePath) throws -> LockFile? {
        let file = try File(directory, .read)
        return try lock(file, exclusive: true) ? LockFile(file) : nil
    }

    private static func lock(_ file: File, exclusive: Bool) throws -> Bool {
        // Somebody who only looks whether it is held (`isHeld`) holds it for an instant: one refusal proves nothing.
        var attempts = 3
        while try !file.tryLock(exclusive: exclusive) {
            attempts -= 1
            guard attempts > 0 else { return false }
            usleep(20_000)
        }
        return true
    }

    /// Takes the lock or throws `locked`, which names the holder.
    package static func require(_ path: FilePath, exclusive: Bool = true, purpose: String, to verb: String) throws -> LockFile {
        if let lock = try take(path, exclusive: exclusive, purpose: purpose) { return lock }
        let holder = try holder(path)
        throw Failure(
            .locked, "could not \(verb): \(holder ?? "another process") holds the lock",
            details: ["lock file \(path)"], hint: "Wait for it to end, or end it, then run the command again.")
    }

    /// Programs that this process runs hold it too, as long as they live.
    package func share() { file.keepForPrograms() }

    /// Who holds or held the lock, as it described itself.
    package static func holder(_ path: FilePath) throws -> String? {
        let text = try SmallFile.readText(path)?.split(whereSeparator: \.isNewline).first.map(String.init)
        return text?.isEmpty == true ? nil : text
    }

    /// The process that holds the lock exclusively, nil where none does.
    package static func holdingProcess(_ path: FilePath) throws -> Int32? {
        guard try isHeld(path), let words = try holder(path)?.split(separator: " ") else { return nil }
        return words.last.flatMap { Int32($0) }
    }

    /// True while some process holds the lock exclusively.
    package static func isHeld(_ path: FilePath) throws -> Bool {
        guard try Directory.exists(path) else { return false }
        return try !File(path, .read).tryLock(exclusive: false)
    }
}
