import Glibc
package import PostgresModel
package import SystemPackage

/// Files that are read and written whole: records, labels, settings.
package enum SmallFile {
    /// No such file is larger; a larger one is not what it claims to be.
    package static let largest = ByteCount(64 << 20)

    /// Nil where the file does not exist.
    package static func read(_ path: FilePath) throws -> [UInt8]? {
        let file: File
        do { file = try File(path, .read) } catch {
            guard try Directory.exists(path) else { return nil }
            // It may have come to be in between; a link that leads nowhere exists, and is an error.
            file = try File(path, .read)
        }
        let size = try file.size
        guard size <= largest.rawValue else {
            throw Failure(.damaged, "could not read \(path): it has \(ByteCount(size)), the limit is \(largest)")
        }
        var bytes = [UInt8](repeating: 0, count: size)
        let count = try bytes.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }
        return count == size ? bytes : Array(bytes[..<count])
    }

    package static func readText(_ path: FilePath) throws -> String? {
        try read(path).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Replaces the file: after a crash at any moment there is the old content or the new one, never between.
    /// Durable when it returns.
    package static func write(
        _ bytes: some Collection<UInt8>, to path: FilePath, permissions: UInt32 = 0o600, owner: Owner? = nil
    ) throws {
        let temporary = FilePath("\(path).\(getpid()).tmp")
        do {
            let file = try File(temporary, .replace, permissions: permissions)
            try Array(bytes).withUnsafeBytes { try file.write($0, at: 0) }
            if let owner { try file.setOwner(owner) }
            try file.synchronize()
            try Directory.rename(temporary, to: path)
        } catch {
            try? Directory.remove(temporary)  // the error that brought us here says more than this one could
            throw error
        }
    }

    /// Makes a file of that name, durable when it returns; false, and nothing changed, where there is one already.
    package static func create(_ bytes: some Collection<UInt8>, at path: FilePath, permissions: UInt32 = 0o600) throws -> Bool {
        let temporary = temporaryPath(for: path)
        defer { try? Directory.remove(temporary) }  // it is gone where all went well; else the error says more
        let file = try File(temporary, .create, permissions: permissions)
        try Array(bytes).withUnsafeBytes { try file.write($0, at: 0) }
        try file.synchronize()
        return try Directory.adopt(temporary, as: path)
    }

    /// A name beside `path` that no other thread or process takes, and that `isAbandoned` knows.
    package static func temporaryPath(for path: FilePath) -> FilePath {
        var generator = SystemRandomNumberGenerator()
        return FilePath("\(path).\(String(generator.next() as UInt64, radix: 36)).\(getpid()).tmp")
    }

    /// True for the name of a temporary file of `write` whose process has ended without it.
    package static func isAbandoned(_ name: String) -> Bool {
        let parts = name.split(separator: ".")
        guard parts.count > 2, parts.last == "tmp", let pid = Int32(parts[parts.count - 2]), pid > 0 else { return false }
        return kill(pid, 0) != 0 && errno == ESRCH
    }

    package static func write(_ text: String, to path: FilePath, permissions: UInt32 = 0o600, owner: Owner? = nil) throws {
        try write(text.utf8, to: path, permissions: permissions, owner: owner)
    }
}
