import Glibc
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// The lab from an empty directory to a database that came back, each claim checked against the running servers.
///
/// A step does what a person would do and then proves facts; the first fact that is not so ends the tour with what was
/// expected and what was seen. pgark's own commands run as subprocesses of the real program: the tour tests what users
/// type.
package final class Tour {
    package let hosts: LabHosts
    package private(set) var steps: [TourStep] = []
    let tell: Narration.Teller
    private var current = TourStep(number: 0, title: "")

    /// What later steps need of earlier ones.
    var moment: Timestamp?
    var systemIdentifier: String?
    var restoredBackup: String?

    package init(_ hosts: LabHosts, tell: @escaping Narration.Teller) {
        self.hosts = hosts
        self.tell = tell
    }

    private typealias Step = (title: String, body: (Tour) throws -> Void)

    private static var recipe: [Step] {
        [
            ("node1 is a primary", { try $0.primary() }),
            ("node2 is a hot standby on its own slot", { try $0.standby() }),
            ("the repository receives WAL on its own slot", { try $0.receiver() }),
            ("a database made on node1 appears on node2", { try $0.firstDatabase() }),
            ("a second database, with a table and a row", { try $0.secondDatabase() }),
            ("before a backup, check finds what is missing", { try $0.checkBeforeBackup() }),
            ("backups from node1 and from node2, complete at once", { try $0.backups() }),
            ("after a backup, every check is OK", { try $0.checkAfterBackup() }),
            ("both databases are dropped by accident", { try $0.accident() }),
            ("restore of the moment before, into a fresh directory", { try $0.restore() }),
            ("the restored files are those that the server sent", { try $0.compareFiles() }),
            ("the restored server replays and promotes", { try $0.startRestored() }),
            ("both databases and the row are back", { try $0.lookAtRestored() }),
            ("node1 and node2 run on, untouched", { try $0.lookAtOriginals() }),
            ("PostgreSQL's own tools agree", { try $0.runProofs() }),
        ]
    }

    /// Runs every step. On a failure the lab stays as it is, so that one can look.
    package func run() throws -> [TourStep] {
        for (index, step) in Self.recipe.enumerated() {
            current = TourStep(number: index + 1, title: step.title)
            tell(.stepBegin(number: current.number, of: Self.recipe.count, title: step.title))
            let begin = Deadline.now
            do {
                try Interruption.check()
                try step.body(self)
            } catch let failure as Failure {
                throw explained(failure)
            }
            current.ok = true
            current.durationSeconds = Double(Deadline.now - begin) / 1e9
            steps.append(current)
            tell(.stepEnd(current))
        }
        return steps
    }

    private func explained(_ failure: Failure) -> Failure {
        let directory = hosts.home.directory
        let option = hosts.home.option
        return Failure(
            failure.code == .interrupted ? .interrupted : .labFailed,
            "could not finish the tour: step \(current.number), \(current.title): \(failure.message)",
            details: failure.details
                + [
                    failure.hint,
                    "the lab is kept as it is; logs in \(directory): node1/log, node2/log, receiver.log, restored.log",
                ].compactMap { $0 },
            hint: "Look at it: pgark lab status\(option); then: pgark lab down --yes\(option)")
    }

    // MARK: Proving

    func prove(_ name: String, _ seen: String?, is expected: String) throws {
        try prove(name, seen == expected, expected: expected, seen: seen ?? "nothing")
    }

    func prove(_ name: String, _ holds: Bool, expected: String, seen: String) throws {
        guard holds else {
            throw Failure(
                .labFailed, "could not prove \"\(name)\"",
                details: ["expected: \(shown(expected))", "seen: \(shown(seen))"])
        }
        let fact = TourStep.Fact(name: name, value: shown(seen))
        current.facts.append(fact)
        tell(.proved(fact))
    }

    private func shown(_ text: String) -> String { text.isEmpty ? "none" : text }

    /// Looks until `look` returns something; replication and replay take a moment. The last look's own failure counts.
    func eventually<Value>(_ name: String, seconds: Double = 30, expected: String, _ look: () throws -> Value?) throws -> Value {
        let deadline = Deadline(seconds: seconds)
        while true {
            if let value = try look() { return value }
            guard !deadline.isOver else {
                throw Failure(
                    .labFailed, "could not prove \"\(name)\" within \(decimal(seconds, places: 0)) s",
                    details: ["expected: \(expected)", "seen: nothing of it"])
            }
            try Interruption.check()
            usleep(20_000)
        }
    }

    // MARK: Doing

    /// One statement on a server, narrated like a psql session.
    @discardableResult
    func sql(_ server: PostgresInstance, _ statement: String, database: String = "postgres") throws -> Rows {
        tell(.command("\(server.name)/\(database)=# \(statement)"))
        return try ask(server, statement, database: database)
    }

    /// A question whose text is of no interest to the reader.
    func ask(_ server: PostgresInstance, _ statement: String, database: String = "postgres") throws -> Rows {
        try hosts.connect(to: server, database: database).query(statement)
    }

    func value(_ server: PostgresInstance, _ statement: String, database: String = "postgres") throws -> String? {
        try ask(server, statement, database: database).first?[0]
    }
}
