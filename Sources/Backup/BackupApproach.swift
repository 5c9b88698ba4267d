import Postgres
import PostgresModel
import Repository
import Storage
import SystemPackage

/// How a backup is taken: on which earlier one it builds, and whether the server is asked for changes only.
///
/// Every backup is complete in itself whatever is chosen here. What differs is what is read and what is stored.
struct BackupApproach {
    /// Nil: everything is read and stored.
    let reference: BackupRecord?
    /// Else everything is read, and what equals the reference's is not stored again.
    let asksForChanges: Bool
    /// Why not everything that could be saved is.
    let reason: String?

    private static func full(_ reason: String) -> BackupApproach {
        BackupApproach(reference: nil, asksForChanges: false, reason: reason)
    }

    func readingEverything(_ reason: String) -> BackupApproach {
        BackupApproach(reference: reference, asksForChanges: false, reason: reason)
    }

    /// Changes are asked for since the newest backup through whose end the server's history passes. A server takes any backup
    /// of a timeline that its history has, also one that went on where the history left that timeline
    /// (src/backend/backup/basebackup_incremental.c, PrepareForIncrementalBackup), and would not send what differs from there.
    static func choose(
        full isFull: Bool, _ catalogue: Catalogue, _ connection: Connection, _ identity: Connection.SystemIdentity
    ) throws -> BackupApproach {
        if isFull { return full("it was asked for") }
        let records = try catalogue.entries().compactMap(\.record).filter { $0.systemIdentifier == identity.systemIdentifier }
        guard let newest = records.first else { return full("there is no earlier backup") }
        let history =
            try identity.timeline == .first
            ? TimelineHistory(of: .first)
            : TimelineHistory(parsing: connection.timelineHistory(identity.timeline).content, of: identity.timeline)
        let version = connection.serverVersion
        guard let common = records.first(where: { history.contains($0.endLSN, on: $0.timeline) }) else {
            // What is compared may be of any history.
            return BackupApproach(
                reference: newest, asksForChanges: false, reason: "no earlier backup is of the server's history")
        }
        let approach = BackupApproach(reference: common, asksForChanges: true, reason: nil)
        guard version.major >= 17 else {
            return approach.readingEverything("PostgreSQL \(version.major) cannot tell what changed")
        }
        guard try connection.show("summarize_wal") == "on" else {
            return approach.readingEverything("summarize_wal is off on the server")
        }
        return approach
    }
}
