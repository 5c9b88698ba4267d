import Glibc
import PostgresModel
package import Repository
import Storage
import SystemPackage

/// A backup and all WAL that leads from it to a target, as one tar archive of a data directory: what a server on another host
/// begins with. Nothing there has to reach the repository afterwards.
package struct SeedStream {
    /// Files are read front to back, whose blocks lie in the frames of many backups by turns.
    private static let keptFrames = 16

    private let reader: BackupReader
    private let wal: ExportedWAL

    /// `plan` is of a restore: its backup, its timeline and how far the WAL goes. A server that `promotes` begins a timeline there.
    package init(_ catalogue: Catalogue, _ plan: RestorePlan, promotes: Bool) throws {
        reader = BackupReader(catalogue: catalogue, record: plan.record)
        try Self.check(plan.record)
        guard let history = try reader.walArchive().history(of: plan.timeline) else {
            throw Failure(
                .targetUnreachable,
                "could not send backup \(plan.record.id): the history of timeline \(plan.timeline) is not stored")
        }
        wal = try ExportedWAL(reader, to: plan.walTo, along: history, promotes: promotes)
    }

    /// Throws where a backup cannot be sent as one archive.
    package static func check(_ record: BackupRecord) throws {
        let places = record.tablespaces.map(\.location).filter { !$0.isEmpty }
        guard !places.isEmpty else { return }
        throw Failure(
            .unsupported, "could not send backup \(record.id) to another host: it has tablespaces in places of their own",
            details: places,
            hint:
                "Restore it on the repository's host, and copy it: pgark restore \(record.id) --to DIRECTORY --tablespace OLD=NEW"
        )
    }

    /// What is in the archive, without WAL.
    package var dataBytes: Int { reader.record.dataBytes }

    /// The control file comes last: a directory that lacks it is not whole.
    package func write(to descriptor: Int32) throws {
        let tar = TarWriter(write: { bytes in
            var rest = bytes
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw Failure.system("write to", "standard output") }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        })
        let frames = try reader.frames(keeping: Self.keptFrames)
        try reader.entries { entry in
            try Interruption.check()
            if ExportedRecovery.leftOut.contains(entry.path) || RestoreDestination.ownNames.contains(entry.path) { return }
            if entry.path == ControlFile.name { try writeWAL(to: tar) }
            switch entry.kind {
            case .directory: try tar.begin(entry, entry.path, .directory, 0)
            case .link(let target): try tar.begin(entry, entry.path, .symbolicLink(target: target), 0)
            case .file(let size, _, let extents):
                try tar.begin(entry, entry.path, .file, size)
                var left = size
                for extent in extents {
                    let blocks = try frames.blocks(extent)
                    try tar.content(UnsafeRawBufferPointer(rebasing: blocks[..<min(left, blocks.count)]))
                    left -= min(left, blocks.count)
                }
                try tar.endFile(size)
            }
        }
        try tar.end()
    }

    private func writeWAL(to tar: TarWriter) throws {
        for file in wal.files {
            try tar.begin("pg_wal/" + file.name, mode: 0o600, modified: reader.record.endTime, size: file.size)
            try file.content { try tar.content($0) }
            try tar.endFile(file.size)
        }
    }
}
