import Glibc
import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// A small file system in memory, mounted in a test's directory.
struct Tmpfs {
    let path: FilePath

    /// Mounting needs root. Where the tests must not skip anything they fail without it.
    static var isPossible: Bool { Owner.current.isRoot || Environment["PGARK_TEST_REQUIRE_ALL"] != nil }
    static let condition: Comment = "mounting a small file system needs root: run the tests as root"

    static func with<Value>(_ site: TestSite, megabytes: Int, files: Int? = nil, _ body: (Tmpfs) throws -> Value) throws -> Value
    {
        guard Owner.current.isRoot else { throw TestFailure("\(condition)") }
        let path = site.directory.appending("small")
        try Directory.create(path, owner: site.owner)
        let limit = files.map { ",nr_inodes=\($0)" } ?? ""
        let options = "size=\(megabytes)m,mode=0750,uid=\(site.owner.user),gid=\(site.owner.group)\(limit)"
        try Command("/usr/bin/mount", ["-t", "tmpfs", "-o", options, "tmpfs", path.string]).run()
        // Lazily: a process that the test failed to end must not keep the mount in the way of the others.
        defer { _ = try? Command("/usr/bin/umount", ["--lazy", path.string]).run() }
        return try body(Tmpfs(path: path))
    }

    private var ballast: FilePath { path.appending("ballast") }

    /// Leaves this much space.
    func fill(leaving megabytes: Int) throws {
        let free = try Directory.space(at: path).free.rawValue
        try Command("/usr/bin/fallocate", ["--length", "\(free - (megabytes << 20))", ballast.string]).run()
    }

    func makeSpace() throws { try Directory.remove(ballast) }

    func remount(_ option: String) throws { try Command("/usr/bin/mount", ["-o", "remount,\(option)", path.string]).run() }
}
