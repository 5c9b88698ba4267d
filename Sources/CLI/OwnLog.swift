import Glibc
import PostgresModel
import Storage
import SystemPackage

/// A log that the program keeps itself, for where nothing else keeps what it prints: two files, neither much larger than this.
struct OwnLog {
    let path: FilePath

    private static let largest = ByteCount(1 << 20)

    /// From now on what the program prints goes there. Called again before each line, it begins a new file when this one is large.
    func take() throws {
        if let size = try Directory.status(path)?.size, size > Self.largest.rawValue {
            try Directory.rename(path, to: FilePath("\(path).1"))
        }
        let descriptor = path.withPlatformString { open($0, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640) }
        guard descriptor >= 0 else { throw Failure.system("open", path) }
        defer { close(descriptor) }
        for standard in [STDOUT_FILENO, STDERR_FILENO] where dup2(descriptor, standard) < 0 {
            throw Failure.system("write to", path)
        }
    }
}
