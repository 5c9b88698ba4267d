import Glibc
package import PostgresModel
package import Repository
import Storage
package import SystemPackage

/// A repository in a scratch directory, with a system of small WAL segments, and what a test puts into it.
package struct RepositoryExample: Sendable {
    package static let system = Repository.System(
        systemIdentifier: SystemIdentifier(rawValue: 7_711_037_898_349_850_975), serverMajor: 15,
        walSegmentSize: WALSegmentSize(bytes: 1 << 20)!)

    package let directory: FilePath
    package let repository: Repository
    package var catalogue: Catalogue { Catalogue(repository) }
    package var archive: WALArchive { WALArchive(repository, system: Self.system) }

    package static func with<Value>(_ body: (RepositoryExample) throws -> Value) throws -> Value {
        try withScratchDirectory { directory in
            let repository = Repository(root: directory.appending("repository"), cluster: "main")
            try repository.prepare(for: system)
            return try body(RepositoryExample(directory: directory, repository: repository))
        }
    }

    // MARK: Backups

    package struct Content: Sendable {
        package var path: String
        package var bytes: [UInt8]

        package init(_ path: String, _ bytes: [UInt8]) {
            self.path = path
            self.bytes = bytes
        }
    }

    package func writer(
        _ id: String, checksPages: Bool = false, backupBegin: LSN = .zero, threads: Int = 2, on reference: BackupRecord? = nil
    ) throws -> BackupWriter {
        try BackupWriter(
            catalogue: catalogue, id: id,
            settings: .init(level: .standard, threads: threads, backupBegin: backupBegin, checksPages: checksPages),
            reference: try reference.map {
                try BackupReference(catalogue, $0, scratch: directory.appending("reference.tmp"))
            })
    }

    /// Writes a file; `pieces` gives the length of the next piece in which its bytes come.
    package func write(_ content: Content, to writer: BackupWriter, pieces: () -> Int = { 1 << 16 }) throws {
        try writer.beginFile(path: content.path, mode: 0o600, modified: 1_795_359_845, size: content.bytes.count)
        try content.bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = rest.prefix(pieces())
                try writer.content(UnsafeRawBufferPointer(rebasing: piece))
                rest = rest.dropFirst(piece.count)
            }
        }
        try writer.endFile()
    }

    /// A complete backup of these files, with a manifest and one configuration file.
    @discardableResult
    package func backup(
        _ contents: [Content] = [], _ record: BackupRecord = .example(), on reference: BackupRecord? = nil
    ) throws -> BackupRecord {
        let writer = try writer(record.id, on: reference)
        for content in contents { try write(content, to: writer) }
        return try complete(writer, record, on: reference)
    }

    /// Makes what was written a backup, with a manifest and one configuration file.
    @discardableResult
    package func complete(_ writer: BackupWriter, _ record: BackupRecord, on reference: BackupRecord? = nil) throws
        -> BackupRecord
    {
        let summary = try writer.finish()
        var record = record
        record.method = reference == nil ? .full : .incremental
        record.reference = reference?.id
        record.packs = summary.packs
        record.map = summary.map
        record.files = summary.files
        record.dataBytes = summary.dataBytes
        record.badPages = summary.badPages + summary.carriedBadPages
        let manifest = catalogue.manifestPath(record.id)
        try SmallFile.write("{ \"PostgreSQL-Backup-Manifest-Version\": 1 }\n", to: manifest)
        record.manifest = try BackupWriter.describe(manifest)
        let configuration = catalogue.configurationPath(record.id, "0-pg_hba.conf")
        try Directory.create(configuration.removingLastComponent())
        try SmallFile.write("local all all trust\n", to: configuration)
        record.configuration = [
            .init(
                kind: .hba, path: "/etc/postgresql/pg_hba.conf", name: "0-pg_hba.conf",
                content: try BackupWriter.describe(configuration))
        ]
        try writer.commit(record)
        return record
    }

    package func reader(_ record: BackupRecord) -> BackupReader { BackupReader(catalogue: catalogue, record: record) }

    package func packPath(_ name: String) -> FilePath { repository.packs.appending(name + ".pack") }

    /// The names of the packs that a backup refers to, as its list has them.
    package func packs(_ record: BackupRecord) throws -> [String] {
        try (SmallFile.readText(reader(record).packListPath) ?? "").split(separator: "\n").map(String.init)
    }

    /// Every file of a backup, read back through its map and its frames, with the checksum that the map has.
    package func contents(_ record: BackupRecord) throws -> [(content: Content, checksum: UInt32)] {
        let reader = reader(record)
        let frames = try reader.frames()
        var contents: [(Content, UInt32)] = []
        try reader.entries { entry in
            guard case .file(let size, let checksum, let extents) = entry.kind else { return }
            var bytes: [UInt8] = []
            for extent in extents { bytes += try frames.blocks(extent) }
            guard bytes[size...].allSatisfy({ $0 == 0 }) else {
                throw TestFailure("the last block of \(entry.path) is not filled up with zeros")
            }
            contents.append((Content(entry.path, Array(bytes[..<size])), checksum))
        }
        return contents
    }

    /// A repository with so many backups, ended one after the other, and segments of their WAL, for who looks at nothing but
    /// records and names: nothing else is there. Returns the backups' identifiers, newest first.
    package static func many(backups: Int, segments: Int, root: FilePath, cluster: String) throws -> [String] {
        let repository = Repository(root: root, cluster: cluster)
        try repository.prepare(for: system)
        let first = Timestamp(seconds: 1_795_359_845)
        let ids = try (0..<backups).map { number in
            let ended = Timestamp(microseconds: first.microseconds + Int64(number) * 3_600_000_000)
            let begin = Self.segment(UInt64(1 + number * segments / backups)).start(size: system.walSegmentSize)
            var record = BackupRecord.example(
                id: ended.compactText, name: number % 7 == 0 ? "weekly" : nil, begin: "\(begin)", end: "\(begin + 256)",
                ended: ended)
            record.configuration = ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"].map {
                .init(kind: .config, path: "/etc/postgresql/15/main/\($0)", name: $0, content: .init(bytes: 0, checksum: 0))
            }
            let directory = Catalogue(repository).directory(of: record.id)
            guard mkdir(directory.string, 0o755) == 0 else { throw Failure.system("create directory", directory) }
            try overwrite(directory.appending("backup.json"), record.bytes())
            return record.id
        }
        let archive = WALArchive(repository, system: system)
        for number in 1...UInt64(segments) {
            let path = archive.archivedPath(segment(number))
            try Directory.create(path.removingLastComponent())
            try overwrite(path, [])
        }
        return ids.reversed()
    }

    // MARK: WAL

    package static func segment(_ number: UInt64, timeline: UInt32 = 1) -> WALSegment {
        WALSegment(timeline: TimelineID(rawValue: timeline), number: number)
    }

    /// A segment whose pages have their addresses, and the first one its whole header.
    package static func wal(_ segment: WALSegment, system: SystemIdentifier = system.systemIdentifier, fill: UInt8 = 7) -> [UInt8]
    {
        let size = Self.system.walSegmentSize
        var bytes: [UInt8] = []
        func add(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
        add(UInt16(0xD110))
        add(UInt16(6))  // XLP_LONG_HEADER and XLP_BKP_REMOVABLE
        add(segment.timeline.rawValue)
        add(segment.start(size: size).rawValue)
        add(UInt64(0))
        add(system.rawValue)
        add(UInt32(size.bytes))
        add(UInt32(8192))
        bytes += [UInt8](repeating: fill, count: size.bytes - bytes.count)
        for page in stride(from: 8192, to: bytes.count, by: 8192) {
            withUnsafeBytes(of: (segment.start(size: size) + page).rawValue.littleEndian) { address in
                for (place, byte) in address.enumerated() { bytes[page + 8 + place] = byte }
            }
        }
        return bytes
    }

    package func putPartial(_ segment: WALSegment, bytes: Int) throws {
        try SmallFile.write(Self.wal(segment).prefix(bytes), to: archive.partialPath(segment))
    }

    package func putComplete(_ segment: WALSegment, _ content: [UInt8]? = nil) throws {
        try SmallFile.write(content ?? Self.wal(segment), to: archive.completePath(segment))
    }

    package func putArchived(_ segments: WALSegment..., content: [UInt8]? = nil) throws {
        for segment in segments {
            try putComplete(segment, content)
            try archive.archive(segment, level: CompressionLevel(1)!)
        }
    }
}

extension BackupRecord {
    /// A plausible record; a test sets what it is about.
    package static func example(
        id: String = "20261122T150405Z", name: String? = nil, begin: String = "0/200000", end: String = "0/200100",
        ended: Timestamp = Timestamp(seconds: 1_795_359_845), timeline: UInt32 = 1
    ) -> BackupRecord {
        BackupRecord(
            id: id, name: name, cluster: "main", node: "node1", method: .full,
            beginTime: Timestamp(microseconds: ended.microseconds - 5_000_000),
            endTime: ended, beginLSN: LSN(begin)!, endLSN: LSN(end)!, timeline: TimelineID(rawValue: timeline),
            systemIdentifier: RepositoryExample.system.systemIdentifier, serverVersion: "15.18", fromStandby: false,
            dataChecksums: true,
            walSegmentSize: RepositoryExample.system.walSegmentSize, dataBytes: 0, readBytes: 0, storedBytes: 0, walBytes: 0,
            durationSeconds: 5, files: 0, compression: "zstd:3", map: .init(bytes: 0, checksum: 0),
            manifest: .init(bytes: 0, checksum: 0),
            packs: .init(bytes: 0, checksum: 0), tablespaces: [], configuration: [], configurationMissing: [], badPages: [])
    }
}
