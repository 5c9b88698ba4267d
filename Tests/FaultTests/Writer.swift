import Glibc
import Postgres
import Storage
import TestSupport

/// A client that commits rows with the numbers 1, 2, 3, …, one at a time, and remembers which of them were acknowledged.
///
/// When its server goes away it connects again, sees what is there and goes on after that.
final class Writer: Sendable {
    private struct Progress {
        var acknowledged = 0
        var attempted = 0
        var isStopping = false
    }

    private let progress: Monitor<Progress>
    private let thread: WorkerThread<Void>

    /// A row is this long in the WAL, roughly.
    private static let padding = 400
    /// Between two commits, so that the client leaves something of the machine to the others.
    private static let pauseMicroseconds: UInt32 = 1_000

    init(_ server: TestServer) {
        let progress = Monitor(Progress())
        self.progress = progress
        thread = WorkerThread("writer") {
            while !progress.read({ $0.isStopping }) {
                do { try Self.commitRows(server, progress) } catch { usleep(20_000) }  // its server is away: it tries again
            }
        }
    }

    static func prepare(_ server: TestServer) throws {
        try server.sql("CREATE TABLE public.numbered (n bigint PRIMARY KEY, filler text NOT NULL)")
    }

    private static func commitRows(_ server: TestServer, _ progress: Monitor<Progress>) throws {
        let connection = try server.connect()
        var next = (Int(try connection.query("SELECT coalesce(max(n), 0) FROM numbered").first?[0] ?? "") ?? 0) + 1
        while !progress.read({ $0.isStopping }) {
            let attempt = next
            progress.change { $0.attempted = max($0.attempted, attempt) }
            try connection.query("INSERT INTO numbered SELECT \(next), repeat(md5('\(next)'), \(padding / 32))")
            progress.change { $0.acknowledged = attempt }
            next += 1
            usleep(pauseMicroseconds)
        }
    }

    /// The last row whose commit the server confirmed. All before it were confirmed too, or seen to be there.
    var acknowledged: Int { progress.read { $0.acknowledged } }

    /// The last row that was sent, whether or not the server said anything about it.
    var attempted: Int { progress.read { $0.attempted } }

    func waitUntilAcknowledged(_ count: Int, seconds: Double = 30) throws {
        try eventually("\(count) rows are committed", seconds: seconds) { acknowledged >= count }
    }

    /// Ends the client and returns the last row that was acknowledged.
    @discardableResult
    func stop() throws -> Int {
        progress.change { $0.isStopping = true }
        try thread.join()
        return acknowledged
    }
}

/// The rows that are there: `1 … last` without a hole, or not.
struct NumberedRows: Equatable, CustomStringConvertible {
    let count: Int
    let first: Int
    let last: Int

    init(_ server: TestServer) throws {
        let row = try server.sql("SELECT count(*), coalesce(min(n), 0), coalesce(max(n), 0) FROM public.numbered").first
        guard let count = row?[0].flatMap({ Int($0) }), let first = row?[1].flatMap({ Int($0) }),
            let last = row?[2].flatMap({ Int($0) })
        else { throw TestFailure("the rows cannot be counted") }
        (self.count, self.first, self.last) = (count, first, last)
    }

    var hasNoHole: Bool { count == last && (count == 0 || first == 1) }
    var description: String { "\(count) rows from \(first) to \(last)" }
}
