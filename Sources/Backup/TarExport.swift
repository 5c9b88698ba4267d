import PostgresModel
import Repository
import Storage
import SystemPackage

/// Writes a backup as pg_basebackup --format=tar does: base.tar, one archive for each tablespace, pg_wal.tar and the
/// manifest. Configuration files from outside the data directory are put beside them.
struct TarExport {
    /// Files are read front to back, whose blocks lie in the frames of many backups by turns.
    private static let keptFrames = 16

    let reader: BackupReader
    let directory: FilePath
    let wal: ExportedWAL
    let reporter: Reporter

    func run() throws -> ExportJob.Outcome {
        try check()
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

    private func check() throws {
        let isFile = try Directory.status(directory)?.kind == .file
        guard try isFile || !(Directory.names(in: directory) ?? []).isEmpty else { return }
        throw Failure(
            .directoryNotEmpty, "could not export to \(directory): it is not \(isFile ? "a directory" : "empty")",
            hint: "Choose an empty directory. Nothing there was touched.")
    }

    /// A tablespace's entries come before those of the data directory, and together, so one archive is open at a time. The
    /// last thing in the last one is the control file, as the server sends it.
    private func writeArchives(_ outcome: inout ExportJob.Outcome) throws {
        let outside = Set(reader.record.tablespaces.filter { !$0.location.isEmpty }.map(\.oid))
        let frames = try reader.frames(keeping: Self.keptFrames)
        var archives: [String: TarWriter] = [:]
        func archive(_ name: String) throws -> TarWriter {
            if let archive = archives[name] { return archive }
            let archive = try TarWriter(file: directory.appending(name + ".tar"))
            archives[name] = archive
            return archive
        }
        func content(_ extents: [Extent], _ size: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
            var left = size
            for extent in extents {
                let blocks = try frames.blocks(extent)
                try body(UnsafeRawBufferPointer(rebasing: blocks[..<min(left, blocks.count)]))
                left -= min(left, blocks.count)
            }
        }
        let recovers = ExportedRecovery.isNeeded(reader.record)
        var settings = (bytes: [UInt8](), mode: UInt32(0o600))
        var (files, bytes) = (0, 0)
        try reader.entries { entry in
            try Interruption.check()
            let parts = entry.path.split(separator: "/", maxSplits: 2).map(String.init)
            var (name, path) = ("base", entry.path)
            if parts.count == 3, parts[0] == "pg_tblspc", outside.contains(parts[1]) { (name, path) = (parts[1], parts[2]) }
            if ExportedRecovery.leftOut.contains(path) || RestoreDestination.ownNames.contains(path) { return }
            let tar = try archive(name)
            if recovers, path == ControlFile.name { try addRecovery(to: tar, settings.bytes, settings.mode) }
            switch entry.kind {
            case .directory: try tar.begin(entry, path, .directory, 0)
            case .link(let target): try tar.begin(entry, path, .symbolicLink(target: target), 0)
            case .file(let size, _, let extents):
                if recovers, path == ExportedRecovery.settingsName {
                    settings.mode = entry.mode
                    try content(extents, size) { settings.bytes += $0 }
                } else {
                    try tar.begin(entry, path, .file, size)
                    try content(extents, size) { try tar.content($0) }
                    try tar.endFile(size)
                }
                files += 1
                bytes += size
            }
            reporter.progress(bytes, reader.record.dataBytes)
        }
        for tar in archives.values { try tar.end() }
        (outcome.files, outcome.bytes) = (files, bytes)
    }

    /// As a plain export has it, so that what is unpacked starts in the same way.
    private func addRecovery(to tar: TarWriter, _ settings: [UInt8], _ mode: UInt32) throws {
        let text = ExportedRecovery.settings(reader.record, after: String(decoding: settings, as: UTF8.self))
        for (name, mode, content) in [
            (ExportedRecovery.signal, 0o600, []), (ExportedRecovery.settingsName, mode, Array(text.utf8)),
        ] {
            try tar.begin(name, mode: mode, modified: reader.record.endTime, size: content.count)
            try content.withUnsafeBytes { try tar.content($0) }
            try tar.endFile(content.count)
        }
    }

    private func writeWAL() throws {
        let tar = try TarWriter(file: directory.appending("pg_wal.tar"))
        for file in wal.files {
            try tar.begin(file.name, mode: 0o600, modified: reader.record.endTime, size: file.size)
            try file.content { try tar.content($0) }
            try tar.endFile(file.size)
        }
        try tar.end()
    }
}
