package import PostgresModel

/// The commit record of a backup: `backup.json`. Where it exists the backup is complete; nothing else says so.
package struct BackupRecord: Encodable, Sendable {
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
    /// Pages that were read while the server wrote them, and were good when they were read again: recovery writes them anew.
    package var tornPages: [BadPage]

    package enum Method: String, Encodable, Sendable { case full, incremental }

    package struct StoredFile: Encodable, Sendable, Equatable {
        package var bytes: Int
        package var crc32c: String

        package init(bytes: Int, checksum: UInt32) {
            self.bytes = bytes
            crc32c = hexadecimal(checksum).lowercased()
        }
    }

    package struct Tablespace: Encodable, Sendable, Equatable {
        package var oid: String
        package var location: String

        package init(oid: String, location: String) {
            self.oid = oid
            self.location = location
        }
    }

    package struct ConfigurationFile: Encodable, Sendable, Equatable {
        package enum Kind: String, Encodable, Sendable { case config, hba, ident, included }
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
    package struct BadPage: Encodable, Sendable, Equatable, Hashable {
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
        tablespaces: [Tablespace], configuration: [ConfigurationFile], configurationMissing: [String], badPages: [BadPage],
        tornPages: [BadPage] = []
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
        self.tornPages = tornPages
    }

    enum CodingKeys: String, CodingKey {
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
        case tornPages = "torn_pages"
    }
}

// MARK: As JSON

extension BackupRecord {
    /// The content of `backup.json`.
    package func bytes() throws -> [UInt8] { try Record.sealedBytes(self) }
}

extension BackupRecord: JSONReadable {
    init(_ json: JSONValue) throws {
        let fields = try json.fields(CodingKeys.self)
        try self.init(
            id: fields[.id], name: fields[ifAny: .name], cluster: fields[.cluster], node: fields[.node],
            method: fields[.method], reference: fields[ifAny: .reference], readReason: fields[ifAny: .readReason],
            beginTime: fields[.beginTime], endTime: fields[.endTime], beginLSN: fields[.beginLSN], endLSN: fields[.endLSN],
            timeline: fields[.timeline], systemIdentifier: fields[.systemIdentifier], serverVersion: fields[.serverVersion],
            fromStandby: fields[.fromStandby], dataChecksums: fields[.dataChecksums], walSegmentSize: fields[.walSegmentSize],
            dataBytes: fields[.dataBytes], readBytes: fields[.readBytes], storedBytes: fields[.storedBytes],
            walBytes: fields[.walBytes], durationSeconds: fields[.durationSeconds], files: fields[.files],
            compression: fields[.compression], map: fields[.map], manifest: fields[.manifest], packs: fields[.packs],
            tablespaces: fields[.tablespaces], configuration: fields[.configuration],
            configurationMissing: fields[.configurationMissing], badPages: fields[.badPages], tornPages: fields[.tornPages])
        format = try fields[.format]
    }
}

extension BackupRecord.Method: JSONReadable {}
extension BackupRecord.ConfigurationFile.Kind: JSONReadable {}

extension BackupRecord.StoredFile: JSONReadable {
    private enum CodingKeys: String, CodingKey { case bytes, crc32c }

    init(_ json: JSONValue) throws {
        let fields = try json.fields(CodingKeys.self)
        (bytes, crc32c) = try (fields[.bytes], fields[.crc32c])
    }
}

extension BackupRecord.Tablespace: JSONReadable {
    private enum CodingKeys: String, CodingKey { case oid, location }

    init(_ json: JSONValue) throws {
        let fields = try json.fields(CodingKeys.self)
        try self.init(oid: fields[.oid], location: fields[.location])
    }
}

extension BackupRecord.ConfigurationFile: JSONReadable {
    private enum CodingKeys: String, CodingKey { case kind, path, name, content }

    init(_ json: JSONValue) throws {
        let fields = try json.fields(CodingKeys.self)
        try self.init(kind: fields[.kind], path: fields[.path], name: fields[.name], content: fields[.content])
    }
}

extension BackupRecord.BadPage: JSONReadable {
    private enum CodingKeys: String, CodingKey { case path, block }

    init(_ json: JSONValue) throws {
        let fields = try json.fields(CodingKeys.self)
        try self.init(path: fields[.path], block: fields[.block])
    }
}
