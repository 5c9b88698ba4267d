import Glibc
import PostgresModel
import Storage
package import SystemPackage

/// Runs `body` with an empty directory that goes with it.
package func withScratchDirectory<Value>(_ body: (FilePath) throws -> Value) throws -> Value {
    var name = Array(TestMachine.temporaryRoot.appending("pgark-unit-XXXXXX").string.utf8CString)
    guard mkdtemp(&name) != nil else { throw Failure.system("create a directory in", TestMachine.temporaryRoot) }
    let path = FilePath(platformString: name)
    defer { try? Directory.removeTree(path) }
    return try body(path)
}

/// Writes a file as a test wants it, replacing what is there. Not durable, and so quick enough for a loop.
package func overwrite(_ path: FilePath, _ bytes: some Collection<UInt8>) throws {
    let file = try File(path, .replace)
    try Array(bytes).withUnsafeBytes { try file.write($0, at: 0) }
}
