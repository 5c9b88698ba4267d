import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import TestSupport
import Testing

/// A short life of one server, with the position of everything that happened in it: what the restores of one major share.
///
/// A backup of an empty table; six rows, one in each transaction; then server and receiver stop.
struct History: Sendable {
    let site: TestSite
    let pgark: Pgark
    let backup: String

    /// The number of the transaction that added row 2.
    private(set) var secondRow = ""
    /// Where the commit record of row 4 begins.
    private(set) var fourthCommit = LSN.zero
    /// When row 5 was committed, to the microsecond.
    private(set) var fifthCommit = ""
    /// Up to where and up to when the repository has everything.
    let lastPosition: String
    let lastMoment: String
    static let restorePoint = "after five"
    static let rows = 6

    init(_ major: Int) throws {
        site = try TestSite(major)
        let node = try site.primary(settings: ["track_commit_timestamp": "on"])
        pgark = try site.pgark(node)
        let receiver = try pgark.receive()
        try node.sql("CREATE TABLE public.marker (n int)")
        backup = try pgark("backup").id.string ?? ""
        let session = try node.connect()
        for row in 1...Self.rows {
            try session.query("BEGIN")
            try session.query("INSERT INTO marker VALUES (\(row))")
            let xid = try session.query("SELECT pg_current_xact_id()")[0][0] ?? ""
            if row == 2 { secondRow = xid }
            // The commit is the next record after this position.
            if row == 4 { fourthCommit = LSN(try session.query("SELECT pg_current_wal_insert_lsn()")[0][0] ?? "") ?? .zero }
            try session.query("COMMIT")
            if row == 3 { try pgark("wal", "switch") }
            if row == 5 {
                fifthCommit =
                    try session.query(
                        """
                        SELECT to_char(pg_xact_commit_timestamp('\(xid)'::xid) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'
                        """)[0][0] ?? ""
                try session.query("SELECT pg_create_restore_point('\(Self.restorePoint)')")
            }
        }
        // The last row is in a segment that is never finished.
        try node.stop()
        try receiver.stop()
        let status = try pgark("wal", "status")
        lastPosition = try #require(status.durable_lsn.string)
        lastMoment = try #require(status.durable_time.string)
    }
}

/// The histories of a suite: each major's made when it is first asked for, all gone when the suite ends.
struct Histories: SuiteTrait, TestScoping {
    @TaskLocal private static var current: Monitor<[Int: Swift.Result<History, any Error>]>?

    static func of(_ major: Int) throws -> History {
        let current = try #require(Self.current)
        return try current.change { histories in
            let history = histories[major] ?? Swift.Result { try History(major) }
            histories[major] = history
            return try history.get()
        }
    }

    @concurrent
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        let histories = Monitor<[Int: Swift.Result<History, any Error>]>([:])
        defer {
            histories.read { histories in histories.values.forEach { try? $0.get().site.close() } }
        }
        try await Self.$current.withValue(histories) { try await function() }
    }
}

extension SuiteTrait where Self == Histories {
    static var histories: Histories { Histories() }
}
