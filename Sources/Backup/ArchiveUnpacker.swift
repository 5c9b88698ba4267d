import PostgresModel
import Repository
import Storage

/// Unpacks one tar archive of a base backup into the writer.
///
/// An incremental backup's archive has two kinds of files that are not what the data directory has: INCREMENTAL.<name>, the
/// changed blocks of <name>, and a backup_label that says so. Both are stored as what they stand for, so that what is stored
/// is a full backup.
struct ArchiveUnpacker {
    private let writer: BackupWriter
    private let received: ReceivedFiles
    private let hasIncrements: Bool
    /// "" for the data directory, "pg_tblspc/<oid>/" for a tablespace.
    private let prefix: String
    private var tar = TarReader()
    private var file = Current.none

    private enum Current {
        case none
        case whole(TarReader.Entry)
        /// Until its head is complete.
        case incrementHead(TarReader.Entry, FileChangeReader)
        case increment(TarReader.Entry, head: [UInt8])
        case label(TarReader.Entry, [UInt8])
    }

    /// `hasIncrements` where changes were asked for; else a file of such a name is what it is.
    init(archive name: String, hasIncrements: Bool, writer: BackupWriter, received: ReceivedFiles) throws {
        self.hasIncrements = hasIncrements
        self.writer = writer
        self.received = received
        if name == "base.tar" {
            prefix = ""
        } else {
            let oid = name.prefix { $0.isNumber }
            guard !oid.isEmpty, name == "\(oid).tar" else {
                throw Failure(.protocolViolation, "could not take the base backup: unexpected archive \"\(name)\"")
            }
            prefix = "pg_tblspc/\(oid)/"
        }
    }

    mutating func take(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes[...]
        while true {
            let before = rest
            switch try tar.next(&rest) {
            case .needsInput: return
            case .begin(let entry): try begin(entry)
            case .content(let count): try content(before.prefix(count))
            case .end: try endFile()
            }
        }
    }

    private mutating func begin(_ entry: TarReader.Entry) throws {
        var entry = entry
        entry.path = prefix + entry.path
        switch entry.kind {
        case .file:
            if hasIncrements, RelationFile.isIncrement(ofPath: entry.path) {
                file = .incrementHead(entry, FileChangeReader(size: entry.size))
            } else if entry.path == BackupLabel.name {
                file = .label(entry, [])
            } else {
                file = .whole(entry)
                try writer.beginFile(path: entry.path, mode: entry.mode, modified: entry.modified, size: entry.size)
            }
        case .directory:
            guard entry.path != prefix, entry.path != prefix + "." else { return }
            try writer.add(MapEntry(path: entry.path, mode: entry.mode, modified: entry.modified, kind: .directory))
        case .symbolicLink(let target):
            try writer.add(MapEntry(path: entry.path, mode: entry.mode, modified: entry.modified, kind: .link(target: target)))
        }
    }

    private mutating func content(_ bytes: UnsafeRawBufferPointer.SubSequence) throws {
        switch file {
        case .whole, .increment: try writer.content(UnsafeRawBufferPointer(rebasing: bytes))
        case .label(let entry, let text): file = .label(entry, text + bytes)
        case .incrementHead(let entry, var reader):
            var rest = bytes
            guard let change = try reader.take(&rest) else {
                file = .incrementHead(entry, reader)
                return
            }
            try writer.beginIncrement(
                path: RelationFile.path(ofIncrement: entry.path), mode: entry.mode, modified: entry.modified, change: change)
            file = .increment(entry, head: reader.head)
            try writer.content(UnsafeRawBufferPointer(rebasing: rest))
        case .none: throw Failure(.protocolViolation, "could not take the base backup: content without a file")
        }
    }

    private mutating func endFile() throws {
        defer { file = .none }
        switch file {
        case .whole(let entry):
            try received.add(.init(path: entry.path, size: entry.size, checksum: try writer.endFile()))
        case .increment(let entry, let head):
            let checksum = CRC32C.joined(CRC32C(head).value, try writer.endFile(), count: entry.size - head.count)
            try received.add(.init(path: entry.path, size: entry.size, checksum: checksum))
        case .label(let entry, let text):
            let label = BackupLabel.withoutIncrement(text)
            try writer.beginFile(path: entry.path, mode: entry.mode, modified: entry.modified, size: label.count)
            try label.withUnsafeBytes { try writer.content($0) }
            _ = try writer.endFile()
            try received.add(.init(path: entry.path, size: entry.size, checksum: CRC32C(text).value))
        case .incrementHead(let entry, _):
            throw Failure(.protocolViolation, "could not take the base backup: \(entry.path) ends within its head")
        case .none: throw Failure(.protocolViolation, "could not take the base backup: the end of no file")
        }
    }

    func end() throws {
        guard tar.isAtBoundary else {
            throw Failure(.protocolViolation, "could not take the base backup: an archive ends within a file")
        }
    }
}
