import Postgres
package import PostgresModel
package import Repository
import Storage

/// Asks the primary to finish its current segment and waits until that is stored.
package struct WALSwitch {
    private let connection: String
    private let archive: WALArchive

    package init(connection: String, archive: WALArchive) {
        self.connection = connection
        self.archive = archive
    }

    /// Returns the segment that was finished. Where nothing was written since the last switch, that is the one before.
    package func run(timeoutSeconds: Double) throws -> WALSegment {
        let sql = try Connection(connection, application: "pgark wal switch")
        guard
            let row = try sql.query(
                "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_switch_wal() END"
            ).first,
            let end = row[1].flatMap({ LSN($0) })
        else {
            throw Failure(
                .serverError, "could not switch the WAL segment: the server is a standby", hint: "Name the primary: --node NODE")
        }
        let timeline = try Connection(connection, mode: .replication, application: "pgark wal switch").identifySystem().timeline
        let segment = WALSegment(timeline: timeline, endingAt: end, size: archive.segmentSize)
        let deadline = Deadline(seconds: timeoutSeconds)
        while true {
            if case .archived = try archive.place(of: segment) { return segment }
            try deadline.check(
                "could not see \(segment.name(size: archive.segmentSize)) stored within \(Int(timeoutSeconds)) s: is the receiver running?"
            )
            pause(milliseconds: 20)
        }
    }
}
