import PostgresModel
import Repository

/// A backup as `backup`, `list` and `show` print it.
struct BackupDocument: Encodable {
    let id: String
    @Nullable var name: String?
    let cluster: String
    @Nullable var node: String?
    let status: Catalogue.Status
    @Nullable var method: BackupRecord.Method?
    @Nullable var reference: String?
    @Nullable var readReason: String?
    @Nullable var beginTime: Timestamp?
    @Nullable var endTime: Timestamp?
    @Nullable var beginLSN: LSN?
    @Nullable var endLSN: LSN?
    @Nullable var timeline: TimelineID?
    @Nullable var systemIdentifier: SystemIdentifier?
    @Nullable var serverVersion: String?
    @Nullable var fromStandby: Bool?
    @Nullable var dataBytes: Int?
    @Nullable var readBytes: Int?
    @Nullable var storedBytes: Int?
    @Nullable var walBytes: Int?
    @Nullable var durationSeconds: Double?
    @Nullable var files: Int?
    @Nullable var compression: String?
    let tablespaces: [BackupRecord.Tablespace]
    let configuration: [BackupRecord.ConfigurationFile]
    let configurationMissing: [String]
    let kept: Bool
    let obsolete: Bool
    let badPages: [BackupRecord.BadPage]
    /// What verifications found; filled in by `show`.
    let problems: [Verification.Problem]
    /// Drills do not exist yet.
    @Nullable var lastDrill: String?

    init(_ entry: Catalogue.Entry, cluster: String, isObsolete: Bool = false, damage: DamageReport? = nil) {
        let record = entry.record
        id = entry.id
        name = record?.name
        self.cluster = cluster
        node = record?.node
        status = entry.status
        method = record?.method
        reference = record?.reference
        readReason = record?.readReason
        beginTime = record?.beginTime
        endTime = record?.endTime
        beginLSN = record?.beginLSN
        endLSN = record?.endLSN
        timeline = record?.timeline
        systemIdentifier = record?.systemIdentifier
        serverVersion = record?.serverVersion
        fromStandby = record?.fromStandby
        dataBytes = record?.dataBytes
        readBytes = record?.readBytes
        storedBytes = record?.storedBytes
        walBytes = record?.walBytes
        durationSeconds = record?.durationSeconds
        files = record?.files
        compression = record?.compression
        tablespaces = record?.tablespaces ?? []
        configuration = record?.configuration ?? []
        configurationMissing = record?.configurationMissing ?? []
        kept = entry.isKept
        obsolete = isObsolete
        badPages = record?.badPages ?? []
        problems = damage?.problems ?? []
        lastDrill = nil
    }
}
