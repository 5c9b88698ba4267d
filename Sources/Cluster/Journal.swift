import FoundationEssentials
import Glibc
import PostgresModel
import Storage
package import SystemPackage

/// What `apply` did, a line of JSON each: written and durable before a step begins and after it ended. It is for people and for
/// `pgark history`; an interrupted run needs nothing of it, since the next one looks at the hosts themselves.
package final class Journal {
    private let file: File
    private var size: Int
    private let lock: LockFile

    private struct Line: Encodable {
        let time: String
        let event: String
        var step: Int?
        var of: Int?
        var host: String?
        var changes: [Plan.Change]?
        var remark: String?
        var error: String?
    }

    /// Throws `locked` where another `apply` of this cluster runs on this machine.
    package init(cluster: String) throws {
        let directory = Self.directory
        try Directory.create(directory)
        lock = try LockFile.require(
            directory.appending("\(cluster).lock"), purpose: "pgark apply of \(cluster)",
            to: "apply the cluster file of \(cluster)")
        file = try File(directory.appending("\(cluster).journal"), .update, permissions: 0o600)
        size = try file.size
    }

    package static var directory: FilePath {
        if let state = getenv("XDG_STATE_HOME").map({ String(cString: $0) }), state.hasPrefix("/") {
            return FilePath(state + "/pgark")
        }
        if geteuid() == 0 { return "/var/lib/pgark-apply" }
        return FilePath((getenv("HOME").map { String(cString: $0) } ?? "/tmp") + "/.local/state/pgark")
    }

    func begin(_ number: Int, of count: Int, _ step: Plan.Step) throws {
        try write(
            Line(time: "\(Timestamp.now)", event: "begin", step: number + 1, of: count, host: step.host, changes: step.changes))
    }

    func end(_ number: Int, _ step: Plan.Step, remark: String? = nil, failure: Failure? = nil) throws {
        try write(
            Line(
                time: "\(Timestamp.now)", event: failure == nil ? "done" : "failed", step: number + 1, host: step.host,
                remark: remark,
                error: failure?.message))
    }

    private func write(_ line: Line) throws {
        let bytes = Array(try JSONEncoder().encode(line)) + [UInt8(ascii: "\n")]
        try bytes.withUnsafeBytes { try file.write($0, at: size) }
        try file.synchronize()
        size += bytes.count
    }
}
