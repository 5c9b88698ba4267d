import Postgres
import Storage
import TestSupport

/// A workload that runs on a thread and a session of its own until it is stopped, as far as it is allowed to go: a quick
/// machine shall not write more than a slow one.
final class Load: Sendable {
    private struct Progress {
        var counts: [Workload.Action: Int] = [:]
        var allowed = 0
        var isStopping = false

        var steps: Int { counts.values.reduce(0, +) }
    }

    private let progress: Monitor<Progress>
    private let thread: WorkerThread<Void>

    /// Between two steps, so that it leaves something of the machine to the others.
    private static let pauseSeconds = 0.003

    init(_ workload: Workload, on server: TestServer) {
        let progress = Monitor(Progress())
        self.progress = progress
        thread = WorkerThread("load") {
            var workload = workload
            let session = try server.connect()
            while progress.wait({ $0.isStopping ? false : $0.steps < $0.allowed ? true : nil }) {
                let step = workload.next()
                try Self.run(step, on: server, session)
                progress.change { $0.counts[step.action, default: 0] += 1 }
                pause(Self.pauseSeconds)
            }
        }
    }

    private static func run(_ step: Workload.Step, on server: TestServer, _ session: Connection) throws {
        // Another database's session goes at once: nobody may be there when it is dropped.
        let session = step.database == "postgres" ? session : try server.connect(database: step.database)
        for statement in step.statements {
            do { try session.query(statement) } catch { throw TestFailure("\(step.action): \(statement)\n\(error)") }
        }
    }

    /// Allows so many steps more from here on, and says how many there were before.
    func allow(_ steps: Int) -> Int {
        progress.change { progress in
            progress.allowed = progress.steps + steps
            return progress.steps
        }
    }

    /// Waits until it has made so many steps in all. Throws where it has failed.
    func wait(for steps: Int) throws {
        try eventually("the load makes its step \(steps)", seconds: 60) {
            if thread.isFinished { try thread.join() }
            return progress.read { $0.steps } >= steps
        }
    }

    /// Tells it to end, for whoever does not want to know how it went.
    func halt() { progress.change { $0.isStopping = true } }

    /// Ends it and returns what it did, how often.
    func stop() throws -> [Workload.Action: Int] {
        halt()
        try thread.join()
        return progress.read { $0.counts }
    }
}
