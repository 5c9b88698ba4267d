import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport

/// A WAL about which nobody asks.
struct NoWAL: WALLandmarks {
    func search(_ query: LandmarkQuery, in stretch: WALStretch) -> LandmarkSearch { LandmarkSearch() }
    func ending(after time: Timestamp, orAt: Bool, in stretch: WALStretch) -> EndingSearch { .none(lastRecord: nil) }
    func lastRecord(in stretch: WALStretch) -> LSN? { nil }
}

/// Backups of small data directories, and restores of them.
enum RestoreExample {
    typealias Content = RepositoryExample.Content

    static let control = control(of: RepositoryExample.system.systemIdentifier)

    /// The head that says whose it is: identifier, versions of the format and of the catalogue, state.
    static func control(of system: SystemIdentifier) -> Content {
        func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
        let head = bytes(system.rawValue) + bytes(UInt32(1300)) + bytes(UInt32(202_209_061)) + bytes(UInt32(1))
        return Content("global/pg_control", head + [UInt8](repeating: 3, count: 8192 - head.count))
    }

    static func data(_ example: RepositoryExample) -> FilePath { example.directory.appending("data") }

    static func restore(
        _ example: RepositoryExample, _ record: BackupRecord, delta: Bool = false, threads: Int = 2,
        to directory: FilePath? = nil,
        mapping: [(old: String, new: FilePath)] = []
    ) throws -> RestoreJob.Outcome {
        let planner = RestorePlanner(
            records: [record], ranges: [.init(timeline: .first, from: .zero, to: LSN("1/0")!, segments: 1)],
            histories: [.first: TimelineHistory(of: .first)], moments: [:], segmentSize: record.walSegmentSize, landmarks: NoWAL()
        )
        return try RestoreJob(
            catalogue: example.catalogue, plan: try planner.plan(RecoveryTarget(), chosen: nil),
            destination: try RestoreDestination(
                directory: directory ?? data(example), mapping: mapping, record: record, reusesContent: delta),
            settings: .init(restoreCommand: "false", standby: nil, threads: threads), reporter: Reporter(note: { _ in })
        ).run()
    }

    static let directories: [(String, UInt32)] = [("base", 0o700), ("base/5", 0o750), ("global", 0o700)]

    /// A backup of these files below `directories`, of these entries and of these configuration files.
    static func backup(
        _ example: RepositoryExample, _ contents: [Content], id: String = "20261123T000000Z", on reference: BackupRecord? = nil,
        entries: [MapEntry] = [], tablespaces: [BackupRecord.Tablespace] = [],
        configuration: [(BackupRecord.ConfigurationFile.Kind, String, String)] = []
    ) throws -> BackupRecord {
        var record = BackupRecord.example(id: id)
        let writer = try example.writer(record.id, on: reference)
        for (path, mode) in directories {
            try writer.add(MapEntry(path: path, mode: mode, modified: 0, kind: .directory))
        }
        for entry in entries { try writer.add(entry) }
        for content in contents { try example.write(content, to: writer) }
        record.tablespaces = tablespaces
        record = try example.complete(writer, record, on: reference)
        record.configuration = try configuration.enumerated().map { number, file in
            let path = example.catalogue.configurationPath(record.id, "\(number)")
            try SmallFile.write(file.2, to: path)
            return .init(kind: file.0, path: file.1, name: "\(number)", content: try BackupWriter.describe(path))
        }
        try writer.commit(record)
        return record
    }

    // MARK: What is there

    struct Found: Equatable, CustomStringConvertible {
        var kind: Directory.Kind
        var permissions: UInt32
        var content: [UInt8]
        /// Zero where it does not matter.
        var modified: Int64 = 0

        var description: String { "\(kind) \(String(permissions, radix: 8)) \(content.count) bytes" }
    }

    /// Everything below a directory by its path: what it is, its permissions, and a file's content or a link's target. What a
    /// restore writes about itself names its directory, so it is left out.
    static func tree(_ directory: FilePath, _ prefix: String = "", times: Bool = false) throws -> [String: Found] {
        var tree: [String: Found] = [:]
        for name in try Directory.names(in: directory) ?? []
        where times || !["pgark_restore.json", "backup_manifest"].contains(name) {
            let path = directory.appending(name)
            guard let status = try Directory.status(path) else { continue }
            let target = Directory.linkTarget(path).map { Array($0.string.utf8) }
            tree[prefix + name] = Found(
                kind: status.kind, permissions: status.kind == .symbolicLink ? 0 : status.permissions,
                content: status.kind == .file ? try SmallFile.read(path) ?? [] : target ?? [],
                modified: times ? status.modified.microseconds : 0)
            if status.kind == .directory { tree.merge(try self.tree(path, prefix + name + "/", times: times)) { $1 } }
        }
        return tree
    }

    /// The paths at which two trees differ.
    static func differences(_ a: [String: Found], _ b: [String: Found]) -> [String] {
        Set(a.keys).union(b.keys).filter { a[$0] != b[$0] }.sorted().map {
            "\($0): \(a[$0]?.description ?? "nothing"), \(b[$0]?.description ?? "nothing")"
        }
    }
}
