import PostgresModel
import Repository

/// How a server starts from an export.
///
/// A primary's backup is started as it is. A standby's has the standby's signal file, and without archive recovery a server
/// would not know where it is consistent (src/backend/access/transam/xlogrecovery.c, InitWalRecovery). So it is told to
/// recover from the WAL that it brings along, up to there.
enum ExportedRecovery {
    static let signal = "recovery.signal"
    static let settingsName = "postgresql.auto.conf"

    /// What an export leaves out of a backup.
    static let leftOut = ["standby.signal", signal]

    static func isNeeded(_ record: BackupRecord) -> Bool { record.fromStandby }

    /// The settings that were there, and ours.
    static func settings(_ record: BackupRecord, after old: String) -> String {
        RecoverySettings.withoutDecided(old) + """
            # written by pgark export of backup \(record.id): all WAL that is needed is in pg_wal
            restore_command = 'false'
            recovery_target = 'immediate'
            recovery_target_action = 'promote'

            """
    }
}
