internal import CLinux
import Glibc
package import PostgresModel
package import SystemPackage

/// Directories and names in them. What changes a name is durable after `synchronize` of its directory.
package enum Directory {
    package enum Kind: Sendable { case file, directory, symbolicLink, other }

    package struct Status: Sendable {
        package let kind: Kind
        package let size: Int
        package let owner: Owner
        package let permissions: UInt32
        package let modified: Timestamp
        package let inode: UInt64
        /// How many names it has.
        package let links: Int
    }

    /// Where symbolic links lead in the end; the same path where nothing has it.
    package static func resolved(_ path: FilePath) -> FilePath {
        guard let resolved = path.withPlatformString({ realpath($0, nil) }) else { return path }
        defer { free(resolved) }
        return FilePath(String(cString: resolved))
    }

    /// Nil where nothing has this path. A symbolic link is not followed.
    package static func status(_ path: FilePath) throws -> Status? {
        var status = stat()
        guard path.withPlatformString({ lstat($0, &status) }) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw Failure.system("look at", path)
        }
        let kind: Kind =
            switch status.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .directory
            case S_IFLNK: .symbolicLink
            default: .other
            }
        return Status(
            kind: kind, size: Int(status.st_size), owner: Owner(user: status.st_uid, group: status.st_gid),
            permissions: UInt32(status.st_mode & 0o7777),
            modified: Timestamp(microseconds: Int64(status.st_mtim.tv_sec) * 1_000_000 + Int64(status.st_mtim.tv_nsec) / 1000),
            inode: UInt64(status.st_ino), links: Int(status.st_nlink))
    }

    /// When it came to be, which nobody can set and no copy has; nil where its file system does not say.
    package static func birth(of path: FilePath) -> Timestamp? {
        let microseconds = path.withPlatformString { pgark_birth_time($0) }
        return microseconds < 0 ? nil : Timestamp(microseconds: microseconds)
    }

    package static func exists(_ path: FilePath) throws -> Bool { try status(path) != nil }

    /// The names in a directory, sorted; nil where there is no such directory.
    package static func names(in path: FilePath) throws -> [String]? {
        guard let stream = path.withPlatformString({ opendir($0) }) else {
            if errno == ENOENT { return nil }
            throw Failure.system("list", path)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw Failure.system("list", path) }
                break
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Creates the directory and its missing parents, each durable in its parent. Existing ones are left as they are.
    package static func create(_ path: FilePath, permissions: UInt32 = 0o700, owner: Owner? = nil) throws {
        if path.isEmpty || path.withPlatformString({ access($0, F_OK) }) == 0 { return }
        let parent = path.removingLastComponent()
        try create(parent, permissions: permissions, owner: owner)
        guard path.withPlatformString({ mkdir($0, mode_t(permissions)) }) == 0 || errno == EEXIST else {
            throw Failure.system("create directory", path)
        }
        if let owner { try setOwner(of: path, owner) }
        try synchronize(parent)
    }

    package static func setOwner(of path: FilePath, _ owner: Owner) throws {
        guard path.withPlatformString({ lchown($0, owner.user, owner.group) }) == 0 else {
            throw Failure.system("set the owner of", path)
        }
    }

    package static func setPermissions(of path: FilePath, _ permissions: UInt32) throws {
        guard path.withPlatformString({ chmod($0, mode_t(permissions)) }) == 0 else {
            throw Failure.system("set the permissions of", path)
        }
    }

    /// Makes the names in a directory durable.
    package static func synchronize(_ path: FilePath) throws {
        let path = path.isEmpty ? "." : path  // the parent of a bare name
        let descriptor = path.withPlatformString { open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw Failure.system("open directory", path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Failure.system("make durable directory", path) }
    }

    /// Makes a directory that need not outlive the machine's next start; fine where it is there already.
    package static func make(_ path: FilePath, permissions: UInt32 = 0o700) throws {
        guard path.withPlatformString({ mkdir($0, mode_t(permissions)) }) == 0 || errno == EEXIST else {
            throw Failure.system("create directory", path)
        }
    }

    /// Renames within one file system what need not be durable; false where that could not be done.
    package static func move(_ old: FilePath, to new: FilePath) -> Bool {
        old.withPlatformString { old in new.withPlatformString { Glibc.rename(old, $0) } } == 0
    }

    /// Renames within one file system, replacing what has the new name; durable when it returns.
    package static func rename(_ old: FilePath, to new: FilePath) throws {
        let status = old.withPlatformString { old in new.withPlatformString { Glibc.rename(old, $0) } }
        guard status == 0 else { throw Failure.system("rename \(old) to", new) }
        try synchronize(new.removingLastComponent())
    }

    /// Gives a file its name for good, but takes it from nobody: false where something has it, and then nothing is changed.
    /// Durable when it returns true. Of several who try at once exactly one succeeds, on every file system with hard links.
    package static func adopt(_ temporary: FilePath, as path: FilePath) throws -> Bool {
        let status = temporary.withPlatformString { old in path.withPlatformString { Glibc.link(old, $0) } }
        if status != 0, errno == EEXIST { return false }
        guard status == 0 else { throw Failure.system("rename \(temporary) to", path) }
        try remove(temporary)
        try synchronize(path.removingLastComponent())
        return true
    }

    package static func link(_ target: String, at path: FilePath, owner: Owner? = nil) throws {
        guard path.withPlatformString({ symlink(target, $0) }) == 0 else { throw Failure.system("create the link", path) }
        if let owner { try setOwner(of: path, owner) }
    }

    /// The target of a symbolic link, nil where the path is not one.
    package static func linkTarget(_ path: FilePath) -> FilePath? {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = buffer.withUnsafeMutableBytes { bytes in
            path.withPlatformString { readlink($0, bytes.baseAddress!.assumingMemoryBound(to: CChar.self), bytes.count) }
        }
        return count < 0 ? nil : FilePath(String(decoding: buffer[..<count], as: UTF8.self))
    }

    /// Removes a file; fine where it is gone already.
    package static func remove(_ path: FilePath) throws {
        guard path.withPlatformString({ unlink($0) }) == 0 || errno == ENOENT else { throw Failure.system("remove", path) }
    }

    /// Removes a directory with all it holds; links are removed, not followed.
    package static func removeTree(_ path: FilePath) throws {
        guard try status(path)?.kind == .directory else { return try remove(path) }
        try removeContents(path)
        guard path.withPlatformString({ rmdir($0) }) == 0 || errno == ENOENT else { throw Failure.system("remove", path) }
    }

    /// Removes a directory that is empty; one that is not, or that is gone, stays as it is.
    package static func removeIfEmpty(_ path: FilePath) throws {
        let isDone = path.withPlatformString { rmdir($0) } == 0 || [ENOTEMPTY, EEXIST, ENOENT].contains(errno)
        guard isDone else { throw Failure.system("remove", path) }
    }

    package static func removeContents(_ path: FilePath) throws {
        for name in try names(in: path) ?? [] { try removeTree(path.appending(name)) }
    }

    /// How much the files in a directory have; 0 where there is none. What goes meanwhile is not counted.
    package static func treeSize(_ path: FilePath) throws -> Int {
        guard let status = try status(path) else { return 0 }
        if status.kind != .directory { return status.size }
        return try (names(in: path) ?? []).reduce(0) { try $0 + treeSize(path.appending($1)) }
    }

    /// Bytes that may still be written to the file system of `path` by an ordinary user, its whole size, and its number.
    package static func space(at path: FilePath) throws -> (free: ByteCount, total: ByteCount, volume: UInt64) {
        var (space, status) = (statvfs(), stat())
        guard path.withPlatformString({ statvfs($0, &space) == 0 && stat($0, &status) == 0 }) else {
            throw Failure.system("look at the file system of", path)
        }
        let block = Int(space.f_frsize)
        return (ByteCount(Int(space.f_bavail) * block), ByteCount(Int(space.f_blocks) * block), UInt64(status.st_dev))
    }

    /// The path made absolute, without touching links.
    package static func absolute(_ path: FilePath) -> FilePath {
        guard path.isRelative, let current = getcwd(nil, 0) else { return path.lexicallyNormalized() }
        defer { free(current) }
        return FilePath(String(cString: current)).pushing(path).lexicallyNormalized()
    }
}
