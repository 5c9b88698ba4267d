import PostgresModel

/// From where on a measured value is worth a word. Each is a judgement; none is a setting until somebody needs it to be.
enum CheckLimits {
    /// A restore to a time goes by the server's clock; beyond this a person who reads another clock is misled.
    static let clockSeconds = 2.0
    /// A standby that is busy or far away may lag for a moment; readers notice a minute.
    static let lagWarningSeconds = 60.0
    static let lagFailedSeconds = 600.0
    /// Four segments of the usual size: more than a receiver at work is ever behind for long.
    static let repositoryLag = ByteCount(64 << 20)
    /// Shares of the repository's file system that should be free.
    static let freeWarningShare = 0.10
    static let freeFailedShare = 0.02
    /// The share of a slot's budget from which on somebody should look.
    static let budgetShare = 0.8
    /// Of a slot that nobody reads: so long before its budget ends somebody should know.
    static let budgetSeconds = 3600.0
    /// A backup takes its time, and may wait for another one's end before.
    static let scheduleMargin = 3600.0
    /// Housekeeping is hourly; what keeps it away may take a working day.
    static let maintenanceSeconds = 24.0 * 3600
    /// One for the base backup, one for the WAL that goes with it.
    static let sparesForBackup = 2
}
