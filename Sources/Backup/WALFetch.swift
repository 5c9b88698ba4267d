import PostgresModel
package import Repository
import Storage
package import SystemPackage

/// Serves one file to a server in recovery: its restore_command.
///
/// `absent` is said only where absence is proved (promise P6): the repository was read, and neither the file is there
/// nor anything that shows that it should be. PostgreSQL takes it as the end of the archive and ends recovery.
package struct WALFetch {
    package enum Outcome: Sendable, Equatable {
        case delivered
        /// Delivered from an unfinished segment, padded with zeros: so many bytes are WAL.
        case deliveredPartial(bytes: Int)
        case absent
    }

    private let archive: WALArchive

    package init(_ archive: WALArchive) { self.archive = archive }

    package func run(_ name: String, to path: FilePath) throws -> Outcome {
        if let timeline = historyTimeline(name) { return try fetchHistory(timeline, to: path) }
        guard let segment = WALSegment(name: name, size: archive.segmentSize) else {
            throw Failure(.usage, "could not get \"\(name)\": it is not the name of a WAL segment or a history file")
        }
        switch try archive.place(of: segment) {
        case .archived:
            try deliver(segment, to: path) { body in try CompressedFile.read(archive.archivedPath(segment), body) }
            return .delivered
        case .complete:
            try deliver(segment, to: path) { try raw(archive.completePath(segment), $0) }
            return .delivered
        case .partial(let bytes) where bytes < WALPageHeader.size:
            return try absent(segment)  // begun, and nothing of it was ever acknowledged
        case .partial:
            guard try isUnmistakable(segment) else { return try absent(segment) }
            let count = try deliver(segment, to: path, padded: true) { try raw(archive.partialPath(segment), $0) }
            return .deliveredPartial(bytes: count)
        case nil:
            return try absent(segment)
        }
    }

    // MARK: Absence

    /// A segment between stored ones of its timeline is missing, not absent: recovery must not end there unnoticed.
    private func absent(_ segment: WALSegment) throws -> Outcome {
        _ = try Repository.reaching(archive.repository.root) { try archive.repository.requireSystem() }
        let ranges = try archive.ranges().filter { $0.timeline == segment.timeline }
        let start = segment.start(size: archive.segmentSize)
        let begin = try archive.history(of: segment.timeline)?.begin ?? .zero
        let hasEarlier = ranges.contains { $0.from < start }
        let hasLater = ranges.contains { $0.from > start }
        if hasLater, hasEarlier || (segment.timeline > .first && segment.end(size: archive.segmentSize) > begin) {
            throw Failure(
                .walGap, "could not get \(segment.name(size: archive.segmentSize)): it is missing between stored segments",
                details: ranges.map { "timeline \($0.timeline): stored from \($0.from) to \($0.to)" },
                hint: "Restore to a target before the gap, or from a backup taken after it: pgark wal status")
        }
        return .absent
    }

    /// True where nobody takes the unfinished end of this timeline for that of another.
    ///
    /// PostgreSQL asks for a segment on the newest timeline of its target first, and where that has none takes an older
    /// one's, even past the point at which that was left (src/backend/access/transam/xlogrecovery.c, XLogFileReadAnyTLI).
    /// So every timeline that left this one must have its own copy of the segment in which it did.
    private func isUnmistakable(_ segment: WALSegment) throws -> Bool {
        let known = try archive.ranges().map(\.timeline) + archive.timelinesWithHistory()
        return try Set(known).filter { $0 > segment.timeline }.allSatisfy { timeline in
            guard let history = try archive.history(of: timeline) else { return false }
            guard let end = history.end(of: segment.timeline), let end, let next = history.successor(of: segment.timeline)
            else { return true }
            let left = WALSegment(timeline: next, holding: end, size: archive.segmentSize)
            return try left.number <= segment.number && isDeliverable(left)
        }
    }

    private func isDeliverable(_ segment: WALSegment) throws -> Bool {
        switch try archive.place(of: segment) {
        case .archived, .complete: true
        case .partial(let bytes): bytes >= WALPageHeader.size
        case nil: false
        }
    }

    // MARK: Delivery

    private func historyTimeline(_ name: String) -> TimelineID? {
        guard name.hasSuffix(".history"), name.utf8.count == 16, let value = UInt32(name.prefix(8), radix: 16), value > 0 else {
            return nil
        }
        return TimelineID(rawValue: value)
    }

    private func fetchHistory(_ timeline: TimelineID, to path: FilePath) throws -> Outcome {
        guard let content = try SmallFile.read(archive.historyPath(timeline)) else {
            _ = try archive.repository.requireSystem()
            return .absent
        }
        let file = try File(path, .replace)
        try content.withUnsafeBytes { try file.write($0, at: 0) }
        return .delivered
    }

    /// Copies a segment to `path` and proves that it is the right one. On failure nothing is left there.
    @discardableResult
    private func deliver(
        _ segment: WALSegment, to path: FilePath, padded: Bool = false,
        from source: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws -> Int {
        let file = try File(path, .replace)
        do {
            var offset = 0
            try source { bytes in
                if offset == 0 { try check(bytes, segment) }
                try file.write(bytes, at: offset)
                offset += bytes.count
            }
            let size = archive.segmentSize.bytes
            guard offset == size || (padded && offset < size && offset > 0) else {
                throw Failure(.damaged, "could not get \(name(segment)): it has \(offset) bytes where \(size) are due")
            }
            try file.truncate(to: size)
            return offset
        } catch {
            try? Directory.remove(path)  // what is left of it has the wrong size, which PostgreSQL refuses as well
            throw error
        }
    }

    private func check(_ bytes: UnsafeRawBufferPointer, _ segment: WALSegment) throws {
        guard let header = WALPageHeader(bytes) else {
            throw Failure(.damaged, "could not get \(name(segment)): it does not begin with a WAL page")
        }
        if let reason = header.mismatch(
            segment: segment, size: archive.segmentSize, system: archive.system.systemIdentifier)
        {
            throw Failure(.damaged, "could not get \(name(segment)): \(reason)")
        }
    }

    private func name(_ segment: WALSegment) -> String { segment.name(size: archive.segmentSize) }

    private func raw(_ path: FilePath, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let file = try File(path, .read)
        try withUnsafeTemporaryAllocation(byteCount: 256 * 1024, alignment: 16) { buffer in
            var offset = 0
            while true {
                let count = try file.read(at: offset, into: buffer)
                if count == 0 { return }
                try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                offset += count
            }
        }
    }
}
