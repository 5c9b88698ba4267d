import Postgres
import PostgresModel

/// Relations that were cut shorter since an earlier backup, by the server's WAL summaries.
///
/// Of these a server may leave changed blocks out. It merges its summaries in whatever order the directory gives them, and one
/// that says "cut to n blocks" discards what others said of blocks from n on; so where a later one, in which the relation grew
/// again, was read before, what was written to the new blocks is lost, from pg_basebackup's increments as well
/// (src/backend/backup/basebackup_incremental.c, PrepareForIncrementalBackup; src/common/blkreftable.c,
/// BlockRefTableEntrySetLimitBlock; seen with 18.4). Files that the uploaded manifest does not list are sent whole.
struct TruncatedRelations {
    private(set) var relations: Set<RelationLocator> = []
    /// Where the last summary that was looked at ends.
    private(set) var end: LSN

    /// `begin` is where the earlier backup begins. One summary file is made for each checkpoint.
    init(_ connection: Connection, since begin: LSN) throws {
        end = begin
        let rows = try connection.query(
            """
            SELECT s.end_lsn, c.reltablespace, c.reldatabase, c.relfilenode
            FROM pg_available_wal_summaries() s
            LEFT JOIN LATERAL (
                SELECT DISTINCT reltablespace, reldatabase, relfilenode
                FROM pg_wal_summary_contents(s.tli, s.start_lsn, s.end_lsn)
                WHERE is_limit_block AND relblocknumber > 0) c ON true
            WHERE s.end_lsn > $1::pg_lsn
            """, [begin.description], timeoutSeconds: 3600)
        for row in rows {
            guard let text = row[0], let summaryEnd = LSN(text) else {
                throw Failure(.protocolViolation, "could not read the server's WAL summaries: unexpected answer")
            }
            end = max(end, summaryEnd)
            guard let tablespace = row[1].flatMap({ UInt32($0) }), let database = row[2].flatMap({ UInt32($0) }),
                let relation = row[3].flatMap({ UInt32($0) })
            else { continue }  // a summary without any
            relations.insert(RelationLocator(tablespace: tablespace, database: database, relation: relation))
        }
    }

    /// Throws where a relation was cut shorter while the backup began, in a summary that is not the last one: what is in the
    /// last one cannot discard anything that came later.
    func requireComplete(_ connection: Connection) throws {
        let rows = try connection.query(
            """
            SELECT DISTINCT c.reltablespace, c.reldatabase, c.relfilenode
            FROM (SELECT *, row_number() OVER (ORDER BY end_lsn DESC, start_lsn DESC) AS number
                  FROM pg_available_wal_summaries()) s,
                 LATERAL pg_wal_summary_contents(s.tli, s.start_lsn, s.end_lsn) c
            WHERE s.end_lsn > $1::pg_lsn AND s.number > 1 AND c.is_limit_block AND c.relblocknumber > 0
            """, [end.description], timeoutSeconds: 3600)
        guard rows.isEmpty else { throw RelationsTruncatedMeanwhile() }
    }
}

/// The changes that the server would send cannot be relied on; reading everything does without them.
struct RelationsTruncatedMeanwhile: Error {}
