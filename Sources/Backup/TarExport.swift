import PostgresModel
import Repository
import Storage
import SystemPackage

/// Writes a backup as pg_basebackup --format=tar does: base.tar, one archive for each tablespace, pg_wal.tar and the
/// manifest. Configuration files from outside the data directory are put beside them.
struct TarExport {
    /// Files are read front to back, whose blocks lie in the frames of many backups by turns.
    private static let keptFrames = 16

    typealias Content = (name: String, content: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void)

    let reader: BackupReader
    let directory: FilePath
    let segments: [Content]
    let reporter: Reporter

    func run() throws -> ExportJob.Outcome {
        guard try (Directory.names(in: directory) ?? []).isEmpty else {
            throw Failure(
                .directoryNotEmpty, "could not export to \(directory): it is not empty",
                hint: "Choose an empty directory. Nothing there was touched.")
        }
        try Directory.create(directory)
        var outcome = ExportJob.Outcome()
        try writeArchives(&outcome)
        try writeWAL()
        for file in reader.record.configuration {
            try reader.requireUndamaged(reader.configurationPath(file), file.content)
            let content = try SmallFile.read(reader.configurationPath(file)) ?? []
            try Directory.create(directory.appending("config"))
            try SmallFile.write(content, to: directory.appending("config").appending(file.name))
            outcome.notes.append("\(file.path) is config/\(file.name)")
        }
        try RestoredManifest(reader: reader, own: [:]).write(in: directory, owner: .current)
        try File.synchronizeFileSystem(of: directory)
        return outcome
    }

    /// A tablespace's entries come before those of the data directory, and together, so one archive is open at a time. The
    /// last thing in the last one is the control file, as the server sends it.
    private func writeArchives(_ outcome: inout ExportJob.Outcome) throws {
        let outside = Set(reader.record.tablespaces.filter { !$0.location.isEmpty }.map(\.oid))
        let frames = try reader.frames(keeping: Self.keptFrames)
        var archives: [String: TarWriter] = [:]
        func archive(_ name: String) throws -> TarWriter {
            if let archive = archives[name] { return archive }
            let archive = try TarWriter(directory.appending(name + ".tar"))
            archives[name] = archive
            return archive
        }
        var (files, bytes) = (0, 0)
        try reader.entries { entry in
            try Interruption.check()
            let parts = entry.path.split(separator: "/", maxSplits: 2).map(String.init)
            var (name, path) = ("base", entry.path)
            if parts.count == 3, parts[0] == "pg_tblspc", outside.contains(parts[1]) { (name, path) = (parts[1], parts[2]) }
            if ["standby.signal", "recovery.signal"].contains(path) || RestoreDestination.ownNames.contains(path) { return }
            let tar = try archive(name)
            switch entry.kind {
            case .directory: try tar.begin(entry, path, .directory, 0)
            case .link(let target): try tar.begin(entry, path, .symbolicLink(target: target), 0)
            case .file(let size, _, let extents):
                try tar.begin(entry, path, .file, size)
                var left = size
                for extent in extents {
                    let content = try frames.blocks(extent)
                    try tar.content(UnsafeRawBufferPointer(rebasing: content[..<min(left, content.count)]))
                    left -= min(left, content.count)
                }
                try tar.endFile(size)
                files += 1
                bytes += size
            }
            reporter.progress(bytes, reader.record.dataBytes)
        }
        for tar in archives.values { try tar.end() }
        (outcome.files, outcome.bytes) = (files, bytes)
    }

    private func writeWAL() throws {
        let tar = try TarWriter(directory.appending("pg_wal.tar"))
        for (name, content) in segments {
            let size = name.hasSuffix(".history") ? nil : reader.record.walSegmentSize.bytes
            var bytes: [UInt8] = []
            if size == nil { try content { bytes += $0 } }
            let entry = MapEntry(
                path: name, mode: 0o600, modified: reader.record.endTime.microseconds / 1_000_000, kind: .directory)
            try tar.begin(entry, name, .file, size ?? bytes.count)
            if size == nil { try bytes.withUnsafeBytes { try tar.content($0) } } else { try content { try tar.content($0) } }
            try tar.endFile(size ?? bytes.count)
        }
        try tar.end()
    }
}

/// Writes one tar archive front to back.
private final class TarWriter {
    private let file: File
    private var position = 0
    private var buffer: [UInt8] = []
    private static let step = 1 << 20

    init(_ path: FilePath) throws { file = try File(path, .create) }

    func begin(_ entry: MapEntry, _ path: String, _ kind: TarReader.Entry.Kind, _ size: Int) throws {
        buffer += try TarHeader.bytes(.init(path: path, kind: kind, size: size, mode: entry.mode, modified: entry.modified))
    }

    func content(_ bytes: UnsafeRawBufferPointer) throws {
        buffer.append(contentsOf: bytes)
        if buffer.count >= Self.step { try flush() }
    }

    func endFile(_ size: Int) throws { buffer += [UInt8](repeating: 0, count: TarHeader.padding(ofSize: size)) }

    func end() throws {
        buffer += TarHeader.end
        try flush()
        try file.synchronize()
    }

    private func flush() throws {
        try buffer.withUnsafeBytes { try file.write($0, at: position) }
        position += buffer.count
        buffer.removeAll(keepingCapacity: true)
    }
}
