package import PostgresModel
import Storage
import SystemPackage

/// Takes WAL away that no promise needs.
///
/// First the limits are recorded, so that a recovery that asks for what is gone is told so and not that the archive ends; then
/// files go, the oldest first, so that what is left of a timeline stays in one piece wherever this is cut short.
/// The caller holds the write lock and the lock against readers.
package struct WALRemoval {
    private let archive: WALArchive
    /// By timeline and position.
    package let segments: [WALSegment]

    package struct Result: Sendable, Equatable {
        package var segments = 0
        package var freed = ByteCount(0)

        package init() {}
    }

    /// `candidates` are those that retention calls removable. What still waits in `incoming` to be archived is left to the
    /// receiver, and so is the segment that it may be writing.
    package init(_ part: Inventory.Part, removable candidates: [WALSegment]) {
        archive = part.archive
        let candidates = Set(candidates)
        let newest = part.segments.last?.segment.timeline
        segments = part.segments.filter { found in
            guard candidates.contains(found.segment) else { return false }
            return switch found.place {
            case .archived: true
            case .complete: false
            case .partial: found.segment.timeline != newest
            }
        }.map(\.segment)
    }

    /// What `run` would give back.
    package func estimate() throws -> Result {
        try segments.reduce(into: Result()) { result, segment in
            for path in try files(of: segment) { result.freed = result.freed + (try size(path)) }
            result.segments += 1
        }
    }

    /// `tick` is called between segments; where it throws, what is left is removed another time.
    package func run(tick: () throws -> Void = {}) throws -> Result {
        var result = Result()
        guard !segments.isEmpty else { return result }
        try archive.note(removedBefore: limits)
        for segment in segments {
            try tick()
            for path in try files(of: segment) { try remove(path, &result) }
            result.segments += 1
        }
        try settle(&result)
        return result
    }

    private var limits: [TimelineID: LSN] {
        Dictionary(segments.map { ($0.timeline, $0.end(size: archive.segmentSize)) }, uniquingKeysWith: max)
    }

    /// Its archived form, and what was received of it.
    private func files(of segment: WALSegment) throws -> [FilePath] {
        try [archive.archivedPath(segment), archive.partialPath(segment)].filter { try Directory.exists($0) }
    }

    private func remove(_ path: FilePath, _ result: inout Result) throws {
        result.freed = result.freed + (try size(path))
        try Directory.remove(path)
    }

    private func size(_ path: FilePath) throws -> ByteCount { ByteCount(try Directory.status(path)?.size ?? 0) }

    /// Takes what lies beside the segments under their names, and folders that are empty then; makes it all durable.
    private func settle(_ result: inout Result) throws {
        let names = Set(segments.map { $0.name(size: archive.segmentSize) })
        for folder in Set(segments.map { archive.archivedPath($0).removingLastComponent() }) {
            for file in try Directory.names(in: folder) ?? [] where names.contains(String(file.prefix(24))) {
                try remove(folder.appending(file), &result)
            }
            if try Directory.exists(folder) { try Directory.synchronize(folder) }
            try Directory.removeIfEmpty(folder)
        }
        for timeline in Set(segments.map(\.timeline)) where try !archive.hasSegments(of: timeline) {
            try Directory.remove(archive.momentPath(timeline))
            try Directory.remove(archive.markPath(timeline))
        }
        try Directory.synchronize(archive.wal)
        try Directory.synchronize(archive.incoming)
    }
}
