import FoundationEssentials
import Glibc
import PostgresModel
import Storage
package import SystemPackage

/// What `apply` and its like did, a line of JSON each: written and durable before a step begins and after it ended. It is for
/// people and for `pgark history`; an interrupted run needs nothing of it, since the next one looks at the hosts themselves.
package final class Journal {
    private let file: File
    private var size: Int
    private let lock: LockFile
    private let command: String
    private let node: String?
    private let run: Timestamp

    /// `command`: what this run is of, and the node that it was given.
    ///
    /// Throws `locked` where another run of this cluster is going on on this machine.
    package init(cluster: String, command: String = "apply", node: String? = nil) throws {
        let path = Self.path(cluster)
        try Directory.create(path.removingLastComponent())
        lock = try LockFile.require(
            Self.directory.appending("\(cluster).lock"), purpose: "pgark apply of \(cluster)",
            to: "apply the cluster file of \(cluster)")
        file = try File(path, .update, permissions: 0o600)
        size = try file.size
        self.command = command
        self.node = node
        run = .now
    }

    package static var directory: FilePath {
        if let state = getenv("XDG_STATE_HOME").map({ String(cString: $0) }), state.hasPrefix("/") {
            return FilePath(state + "/pgark")
        }
        if geteuid() == 0 { return "/var/lib/pgark-apply" }
        return FilePath((getenv("HOME").map { String(cString: $0) } ?? "/tmp") + "/.local/state/pgark")
    }

    private static func path(_ cluster: String) -> FilePath { directory.appending("\(cluster).journal") }

    /// Empty where nothing was ever done from here.
    package static func text(cluster: String) throws -> String { try SmallFile.readText(path(cluster)) ?? "" }

    func begin(_ number: Int, of count: Int, _ step: Plan.Step) throws {
        var line = line(.begin, number, step)
        line.of = count
        line.changes = step.changes
        try write(line)
    }

    func end(_ number: Int, _ step: Plan.Step, remark: String? = nil, failure: Failure? = nil) throws {
        var line = line(failure == nil ? .done : .failed, number, step)
        line.remark = remark
        line.error = failure?.message
        try write(line)
    }

    /// Of one plan; a run may have several.
    func end(of plan: Plan) throws {
        var line = JournalLine(time: .now, event: .end, command: command, node: node, run: run)
        line.of = plan.steps.count
        try write(line)
    }

    private func line(_ event: JournalLine.Event, _ number: Int, _ step: Plan.Step) -> JournalLine {
        var line = JournalLine(time: .now, event: event, command: command, node: node, run: run)
        line.step = number + 1
        line.host = step.host
        line.outage = step.outage
        return line
    }

    private func write(_ line: JournalLine) throws {
        var bytes = Array(try JSONEncoder().encode(line)) + [UInt8(ascii: "\n")]
        // Behind a line that a crash cut.
        if size > 0, try file.bytes(at: size - 1, count: 1) != [UInt8(ascii: "\n")] { bytes.insert(UInt8(ascii: "\n"), at: 0) }
        try bytes.withUnsafeBytes { try file.write($0, at: size) }
        try file.synchronize()
        size += bytes.count
    }
}

/// One line of a journal. Those of earlier versions lack what is optional here.
struct JournalLine: Codable {
    var time: Timestamp
    var event: Event
    var command: String?
    /// What the command was given.
    var node: String?
    /// When the run began, which no other run did.
    var run: Timestamp?
    var step: Int?
    var of: Int?
    var host: String?
    var changes: [Plan.Change]?
    /// What the step means for writers.
    var outage: Plan.Step.Outage?
    var remark: String?
    var error: String?

    enum Event: String, Codable {
        case begin, done, failed
        /// Of a plan.
        case end
    }
}
