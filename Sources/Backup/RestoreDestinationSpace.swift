import PostgresModel
import Repository
import Storage
import SystemPackage

extension RestoreDestination {
    /// Refuses what is certain not to fit on the file system of each place. What is removed or written over makes room.
    func checkSpace(_ reader: BackupReader) throws {
        for places in try Dictionary(grouping: places, by: { try Directory.space(at: nearest($0)).volume }).values {
            let existing = try nearest(places[0])
            let free = try Directory.space(at: existing).free
            // Nearly always there is room for everything, and the map need not be asked what goes where.
            if free.rawValue >= reader.record.dataBytes { continue }
            let outline = try MapOutline(reader, self)
            let needed = try places.reduce(0) { try $0 + outline.bytes[$1, default: 0] - replacedBytes(in: $1, outline) }
            guard free.rawValue < needed else { continue }
            throw Failure(
                .noSpace, "could not restore to \(places[0]): \(ByteCount(needed)) are needed, \(free) are free",
                hint: "Free some space there, or choose another directory: df -h \(existing)")
        }
    }

    /// The nearest directory that exists says which file system it will be.
    private func nearest(_ place: FilePath) throws -> FilePath {
        var existing = place
        while try !Directory.exists(existing), !existing.removingLastComponent().isEmpty {
            existing = existing.removingLastComponent()
        }
        return existing
    }

    private func replacedBytes(in place: FilePath, _ outline: MapOutline) throws -> Int {
        if place == directory { return try Self.bytes(below: place) }
        let names = outline.versionDirectories.filter { tablespace(of: $0)?.place == place }
        return try names.reduce(0) { try $0 + Self.bytes(below: path(of: $1)) }
    }

    /// Bytes of the files that go when they are removed: another name would keep them.
    private static func bytes(below path: FilePath) throws -> Int {
        guard let status = try Directory.status(path) else { return 0 }
        switch status.kind {
        case .file: return status.links == 1 ? status.size : 0
        case .directory: return try (Directory.names(in: path) ?? []).reduce(0) { try $0 + bytes(below: path.appending($1)) }
        case .symbolicLink, .other: return 0
        }
    }
}
