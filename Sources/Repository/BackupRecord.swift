package import PostgresModel

/// The commit record of a backup: `backup.json`. Where it exists the backup is complete; nothing else says so.
package struct BackupRecord: Codable, Sendable {
    package var format = Repository.formatVersion
    package var id: String
    package var name: String?
    package var cluster: String
    package var node: String
    package var method: Method
    /// The backup whose content this one refers to, where it is incremental.
    package var reference: String?
    /// Why an incremental backup had to read everything, or why a backup is not incremental.
    package var readReason: String?
    package var beginTime: Timestamp
    package var endTime: Timestamp
    package var beginLSN: LSN
    /// Recovery is consistent from here on; the WAL before it is in the repository.
    package var endLSN: LSN
    package var timeline: TimelineID
    package var systemIdentifier: SystemIdentifier
    package var serverVersion: String
    package var fromStandby: Bool
    package var dataChecksums: Bool
    package var walSegmentSize: WALSegmentSize
    /// The size of the files in the data directory and its tablespaces.
    package var dataBytes: Int
    /// What the server sent.
    package var readBytes: Int
    /// What was added to the repository, WAL not counted.
    package var storedBytes: Int
    /// From begin to end, before compression.
    package var walBytes: Int
    package var durationSeconds: Double
    package var files: Int
    package var compression: String
    package var map: StoredFile
    package var manifest: StoredFile
    /// The list of the packs that the map refers to, in the order of its numbers.
    package var packs: StoredFile
    package var tablespaces: [Tablespace]
    package var configuration: [ConfigurationFile]
    /// Configuration files that the role was not allowed to read, with the reason.
    package var configurationMissing: [String]
    package var badPages: [BadPage]

    package enum Method: String, Codable, Sendable { case full, incremental }

    package struct StoredFile: Codable, Sendable, Equatable {
        package var bytes: Int
        package var crc32c: String

        package init(bytes: Int, checksum: UInt32) {
            self.bytes = bytes
            crc32c = hexadecimal(checksum).lowercased()
        }
    }

    package struct Tablespace: Codable, Sendable, Equatable {
        package var oid: String
        package var location: String

        package init(oid: String, location: String) {
            self.oid = oid
            self.location = location
        }
    }

    package struct ConfigurationFile: Codable, Sendable, Equatable {
        package enum Kind: String, Codable, Sendable { case config, hba, ident, included }
        package var kind: Kind
        /// Where it was on the server.
        package var path: String
        /// Its name below `config/` in the backup.
        package var name: String
        package var content: StoredFile

        package init(kind: Kind, path: String, name: String, content: StoredFile) {
            self.kind = kind
            self.path = path
            self.name = name
            self.content = content
        }
    }

    /// A page whose checksum did not match its content when the server sent it.
    package struct BadPage: Codable, Sendable, Equatable, Hashable {
        package var path: String
        package var block: Int

        package init(path: String, block: Int) {
            self.path = path
            self.block = block
        }
    }

    package init(
        id: String, name: String?, cluster: String, node: String, method: Method, reference: String? = nil,
        readReason: String? = nil,
        beginTime: Timestamp, endTime: Timestamp, beginLSN: LSN, endLSN: LSN, timeline: TimelineID,
        systemIdentifier: SystemIdentifier, serverVersion: String, fromStandby: Bool, dataChecksums: Bool,
        walSegmentSize: WALSegmentSize, dataBytes: Int, readBytes: Int, storedBytes: Int, walBytes: Int,
        durationSeconds: Double, files: Int, compression: String, map: StoredFile, manifest: StoredFile, packs: StoredFile,
        tablespaces: [Tablespace], configuration: [ConfigurationFile], configurationMissing: [String], badPages: [BadPage]
    ) {
        self.id = id
        self.name = name
        self.cluster = cluster
        self.node = node
        self.method = method
        self.reference = reference
        self.readReason = readReason
        self.beginTime = beginTime
        self.endTime = endTime
        self.beginLSN = beginLSN
        self.endLSN = endLSN
        self.timeline = timeline
        self.systemIdentifier = systemIdentifier
        self.serverVersion = serverVersion
        self.fromStandby = fromStandby
        self.dataChecksums = dataChecksums
        self.walSegmentSize = walSegmentSize
        self.dataBytes = dataBytes
        self.readBytes = readBytes
        self.storedBytes = storedBytes
        self.walBytes = walBytes
        self.durationSeconds = durationSeconds
        self.files = files
        self.compression = compression
        self.map = map
        self.manifest = manifest
        self.packs = packs
        self.tablespaces = tablespaces
        self.configuration = configuration
        self.configurationMissing = configurationMissing
        self.badPages = badPages
    }

    private enum CodingKeys: String, CodingKey {
        case format, id, name, cluster, node, method, reference, timeline, files, compression, map, manifest, packs
        case tablespaces, configuration
        case beginTime = "begin_time"
        case endTime = "end_time"
        case beginLSN = "begin_lsn"
        case endLSN = "end_lsn"
        case systemIdentifier = "system_identifier"
        case readReason = "read_reason"
        case serverVersion = "server_version"
        case fromStandby = "from_standby"
        case dataChecksums = "data_checksums"
        case walSegmentSize = "wal_segment_bytes"
        case dataBytes = "data_bytes"
        case readBytes = "read_bytes"
        case storedBytes = "stored_bytes"
        case walBytes = "wal_bytes"
        case durationSeconds = "duration_seconds"
        case configurationMissing = "configuration_missing"
        case badPages = "bad_pages"
    }
}
