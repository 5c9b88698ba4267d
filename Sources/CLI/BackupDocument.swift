import PostgresModel
import Repository

/// A backup as `backup`, `list` and `show` print it.
struct BackupDocument: Encodable {
    let id: String
    let name: String?
    let cluster: String
    let node: String?
    let status: Catalogue.Status
    let method: BackupRecord.Method?
    let reference: String?
    let beginTime: Timestamp?
    let endTime: Timestamp?
    let beginLSN: LSN?
    let endLSN: LSN?
    let timeline: TimelineID?
    let systemIdentifier: SystemIdentifier?
    let serverVersion: String?
    let fromStandby: Bool?
    let dataBytes: Int?
    let readBytes: Int?
    let storedBytes: Int?
    let walBytes: Int?
    let durationSeconds: Double?
    let files: Int?
    let compression: String?
    let tablespaces: [BackupRecord.Tablespace]
    let configuration: [BackupRecord.ConfigurationFile]
    let configurationMissing: [String]
    let kept: Bool
    let obsolete: Bool
    let badPages: [BackupRecord.BadPage]

    init(_ entry: Catalogue.Entry, cluster: String) {
        let record = entry.record
        id = entry.id
        name = record?.name
        self.cluster = cluster
        node = record?.node
        status = entry.status
        method = record?.method
        reference = record?.reference
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
        // Retention does not exist yet, so nothing is obsolete.
        obsolete = false
        badPages = record?.badPages ?? []
    }
}
