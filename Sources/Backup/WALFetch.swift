package import PostgresModel
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
    /// A recovery that ends here at the latest needs nothing behind it, though the server may ask for it: it reads ahead. It
    /// makes sure by itself that it came to its target (src/backend/access/transam/xlogrecovery.c, PerformWalRecovery).
    private let until: LSN?
    /// The history that the recovery follows. PostgreSQL goes on with an older timeline's segments where the newer has none
    /// (src/backend/access/transam/xlogrecovery.c, XLogFileReadAnyTLI), also behind the point at which that was left: what was
    /// given up there must not come back. Nil where it is not known.
    private let history: TimelineHistory?

    private let threads: Int

    /// `timeline` is the one that the recovery is to end on.
    package init(
        _ archive: WALArchive, until: LSN? = nil, timeline: TimelineID? = nil, threads: Int = standardThreadCount
    ) throws {
        self.archive = archive
        self.until = until
        history = try timeline.flatMap { try archive.history(of: $0) }
        self.threads = threads
    }

    package func run(_ name: String, to path: FilePath) throws -> Outcome {
        if let timeline = historyTimeline(name) { return try fetchHistory(timeline, to: path) }
        guard let segment = WALSegment(name: name, size: archive.segmentSize) else {
            throw Failure(.usage, "could not get \"\(name)\": it is not the name of a WAL segment or a history file")
        }
        let limit = share(of: segment)
        if limit <= 0 { return .absent }
        switch try archive.place(of: segment) {
        case .archived, .complete:
            if limit < archive.segmentSize.bytes, try !hasCopy(segment) {
                return .deliveredPartial(bytes: try deliver(segment, to: path, limit: limit))
            }
            if try !deliverAtOnce(segment, to: path) { try deliver(segment, to: path) }
            return .delivered
        case .partial(let bytes) where bytes < WALPageHeader.size:
            return try absent(segment) ?? run(name, to: path)  // begun, and nothing of it was ever acknowledged
        case .partial:
            try requireLast(segment)
            return .deliveredPartial(bytes: try deliver(segment, to: path, limit: shareOfUnfinished(segment)))
        case nil:
            return try absent(segment) ?? run(name, to: path)
        }
    }

    // MARK: The recovery's own history

    /// True for a segment of which the recovery may have all that is stored.
    package func isWhole(_ segment: WALSegment) -> Bool { share(of: segment) >= archive.segmentSize.bytes }

    /// How many bytes of a segment lie before the point at which the recovery's history leaves its timeline; less than 1 where it lies
    /// behind.
    private func share(of segment: WALSegment) -> Int {
        guard let end = history?.end(of: segment.timeline), let end else { return archive.segmentSize.bytes }
        return min(end - segment.start(size: archive.segmentSize), archive.segmentSize.bytes)
    }

    /// True where the next timeline of the recovery's history has this segment too, which is asked for first and begins with the same
    /// bytes.
    private func hasCopy(_ segment: WALSegment) throws -> Bool {
        guard let next = history?.successor(of: segment.timeline) else { return false }
        return try isDeliverable(
            WALSegment(timeline: next, holding: segment.start(size: archive.segmentSize), size: archive.segmentSize))
    }

    /// An unfinished segment ends a recovery. Where WAL goes on behind it, what lies between is missing: no recovery may end there
    /// unnoticed.
    private func requireLast(_ segment: WALSegment) throws {
        // In this order: a receiver may be adding to it.
        let wal = try StoredWAL(archive)
        guard case .partial(let bytes)? = try archive.place(of: segment) else { return }
        let end = segment.start(size: archive.segmentSize) + bytes
        if let until, until <= end { return }
        if bytes >= share(of: segment) { return }
        guard Self.goesOn(wal, segment.timeline, behind: end) else { return }
        throw Failure(
            .walGap, "could not get \(name(segment)): only \(bytes) bytes of it are stored, and what follows is not",
            details: wal.ranges.map { "timeline \($0.timeline): stored from \($0.from) to \($0.to)" },
            hint: "Restore to a target before the gap, or from a backup taken after it: pgark wal status")
    }

    /// True where WAL behind this position is stored, here or on a timeline that left this one behind it, be it through others of
    /// which nothing is stored; or where a receiver had made it durable.
    private static func goesOn(_ wal: StoredWAL, _ timeline: TimelineID, behind position: LSN) -> Bool {
        if wal.ranges.contains(where: { $0.timeline == timeline && $0.to > position }) { return true }
        if let known = wal.moments[timeline], known.durableLSN > position { return true }
        return wal.histories.values.contains { history in
            guard let end = history.end(of: timeline), let end, end > position else { return false }
            return wal.ranges.contains { $0.timeline > timeline && history.end(of: $0.timeline) != nil }
        }
    }

    // MARK: Absence

    /// A segment between stored ones of its timeline is missing, not absent: recovery must not end there unnoticed. Nil where it has
    /// arrived meanwhile.
    private func absent(_ segment: WALSegment) throws -> Outcome? {
        _ = try Repository.reaching(archive.repository.root) { try archive.repository.requireSystem() }
        let wal = try StoredWAL(archive)
        let start = segment.start(size: archive.segmentSize)
        let begin = wal.histories[segment.timeline]?.begin ?? .zero
        let hasEarlier = wal.ranges.contains { $0.timeline == segment.timeline && $0.from < start }
        // The first bytes of a segment are no WAL yet.
        let hasLater = Self.goesOn(wal, segment.timeline, behind: start + WALPageHeader.size)
        if let until, start >= until { return .absent }
        if let limit = try archive.removedBefore()[segment.timeline], segment.end(size: archive.segmentSize) <= limit {
            throw Failure(
                .walGap, "could not get \(name(segment)): retention has removed it",
                details: ["WAL of timeline \(segment.timeline) was removed up to \(limit), once no backup that stays needed it"],
                hint: "Begin with a backup that is still there: pgark list; then: pgark restore")
        }
        if hasLater, try isDeliverable(segment) { return nil }
        if hasLater, hasEarlier || (segment.timeline > .first && segment.end(size: archive.segmentSize) > begin) {
            throw Failure(
                .walGap, "could not get \(segment.name(size: archive.segmentSize)): it is missing between stored segments",
                details: wal.ranges.map { "timeline \($0.timeline): stored from \($0.from) to \($0.to)" },
                hint: "Restore to a target before the gap, or from a backup taken after it: pgark wal status")
        }
        return .absent
    }

    /// The timelines that left this one, directly, and where.
    private func leavings(of timeline: TimelineID) throws -> [(timeline: TimelineID, end: LSN)] {
        let known = try archive.ranges().map(\.timeline) + archive.timelinesWithHistory()
        return try Set(known).filter { $0 > timeline }.compactMap { other in
            guard let history = try archive.history(of: other), history.successor(of: timeline) == other,
                let end = history.end(of: timeline), let end
            else { return nil }
            return (other, end)
        }
    }

    /// How many bytes of an unfinished segment belong to the recovery that asks for it.
    ///
    /// PostgreSQL asks for a segment on the newest timeline of its target first, and where that has none takes an older one's
    /// (src/backend/access/transam/xlogrecovery.c, XLogFileReadAnyTLI). So where a timeline that left this one within the
    /// segment has its own copy, who asks stays on this one and gets all of it. Where it has none yet, what follows the
    /// point at which it left must not be taken for its WAL.
    private func shareOfUnfinished(_ segment: WALSegment) throws -> Int {
        if history != nil { return try hasCopy(segment) ? archive.segmentSize.bytes : share(of: segment) }
        let start = segment.start(size: archive.segmentSize)
        return try leavings(of: segment.timeline).reduce(archive.segmentSize.bytes) { limit, leaving in
            let copy = WALSegment(timeline: leaving.timeline, holding: leaving.end, size: archive.segmentSize)
            guard copy.number == segment.number, try !isDeliverable(copy) else { return limit }
            return min(limit, leaving.end - start)
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
            // Each timeline's history is stored before its first segment. Without it recovery would end on the one before. The
            // first has none, and PostgreSQL may ask for it all the same.
            guard try timeline == .first || !archive.hasSegments(of: timeline) else {
                throw Failure(
                    .damaged,
                    "could not get \(timeline.historyFileName): it is missing, but segments of timeline \(timeline) are "
                        + "stored",
                    hint: "Copy it from the pg_wal of a server on that timeline: pgark wal put pg_wal/\(timeline.historyFileName)"
                )
            }
            return .absent
        }
        let file = try File(path, .replace)
        try content.withUnsafeBytes { try file.write($0, at: 0) }
        return .delivered
    }

    /// Delivers a segment with several threads, where it is archived in a form that allows it. False where nothing was
    /// delivered: it is then to be streamed, which also says what is wrong with it.
    private func deliverAtOnce(_ segment: WALSegment, to path: FilePath) throws -> Bool {
        guard let archived = try ParallelDecompression(archive, segment), archived.size == archive.segmentSize.bytes else {
            return false
        }
        do {
            try archived.begin { try check($0, segment) }
            let file = try File(path, .update)
            try archived.write(to: file, threads: threads)
            try file.truncate(to: archived.size)
            return true
        } catch let failure as Failure {
            try? Directory.remove(path)  // as below
            guard failure.code == .damaged else { throw failure }
            return false
        }
    }

    /// Copies a segment to `path` and proves that it is the right one: all of it, or with a limit what there is, up to so
    /// many bytes, padded with zeros. On failure nothing is left there.
    @discardableResult
    private func deliver(_ segment: WALSegment, to path: FilePath, limit: Int? = nil) throws -> Int {
        // Not emptied first: on some file systems a file that was is written to disk when it is closed.
        let file = try File(path, .update)
        do {
            let size = archive.segmentSize.bytes
            var offset = 0
            try archive.read(segment) { bytes in
                if offset == 0 { try check(bytes, segment) }
                let piece = UnsafeRawBufferPointer(rebasing: bytes.prefix((limit ?? size) - offset))
                guard limit != nil || piece.count == bytes.count else { throw tooLong(segment) }
                try file.write(piece, at: offset)
                offset += piece.count
            }
            guard offset == size || (limit != nil && offset > 0) else {
                throw Failure(.damaged, "could not get \(name(segment)): it has \(offset) bytes where \(size) are due")
            }
            if offset < size { try file.truncate(to: offset) }  // behind what was there, zeros
            try file.truncate(to: size)
            return offset
        } catch {
            try? Directory.remove(path)  // what is left of it has the wrong size, which PostgreSQL refuses as well
            throw error
        }
    }

    private func tooLong(_ segment: WALSegment) -> Failure {
        Failure(.damaged, "could not get \(name(segment)): it has more than \(archive.segmentSize.bytes) bytes")
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
}
