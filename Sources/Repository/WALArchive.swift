package import PostgresModel
package import Storage
package import SystemPackage

/// The WAL of a cluster: finished segments compressed in `wal/`, those on their way raw in `incoming/`.
///
/// A segment is, in this order, `incoming/NAME.partial` while it is received, `incoming/NAME` when it is complete and
/// durable, `wal/<16 digits>/NAME.zst` when it is archived. The raw file goes only after its archived form is durable,
/// name included, so that what was once acknowledged is always in one of the three places.
package struct WALArchive: Sendable {
    package let repository: Repository
    package let system: Repository.System
    package var segmentSize: WALSegmentSize { system.walSegmentSize }
    package var wal: FilePath { repository.wal(of: system) }
    package var incoming: FilePath { repository.incoming(of: system) }

    /// `system` as the repository knows it: `Repository.system`, or what `prepare` returned.
    package init(_ repository: Repository, system: Repository.System) {
        self.repository = repository
        self.system = system
    }

    private static let compressedSuffix = ".zst"
    private static let partialSuffix = ".partial"

    package func archivedPath(_ segment: WALSegment) -> FilePath {
        let name = segment.name(size: segmentSize)
        return wal.appending(String(name.prefix(16))).appending(name + Self.compressedSuffix)
    }
    package func completePath(_ segment: WALSegment) -> FilePath {
        incoming.appending(segment.name(size: segmentSize))
    }
    package func partialPath(_ segment: WALSegment) -> FilePath {
        incoming.appending(segment.name(size: segmentSize) + Self.partialSuffix)
    }

    // MARK: Histories

    package func historyPath(_ timeline: TimelineID) -> FilePath { wal.appending(timeline.historyFileName) }

    /// Nil where the history of this timeline is not stored. Timeline 1 has none and needs none.
    package func history(of timeline: TimelineID) throws -> TimelineHistory? {
        if timeline == .first { return TimelineHistory(of: timeline) }
        guard let text = try SmallFile.readText(historyPath(timeline)) else { return nil }
        return try TimelineHistory(parsing: text, of: timeline)
    }

    package func timelinesWithHistory() throws -> [TimelineID] {
        try (Directory.names(in: wal) ?? []).compactMap { name in
            guard name.hasSuffix(".history"), name.utf8.count == 16 else { return nil }
            return UInt32(name.prefix(8), radix: 16).map { TimelineID(rawValue: $0) }
        }.sorted()
    }

    // MARK: What is there

    package enum Place: Sendable, Equatable {
        case archived
        case complete
        /// So many bytes from the segment's start.
        case partial(bytes: Int)
    }

    /// Where a segment is, in its most complete form; nil where it is nowhere.
    package func place(of segment: WALSegment) throws -> Place? {
        if try Directory.exists(archivedPath(segment)) { return .archived }
        if try Directory.exists(completePath(segment)) { return .complete }
        // It may have been finished between the looks; then it is in a place looked at already.
        if let bytes = try receivedBytes(of: segment) { return .partial(bytes: bytes) }
        if try Directory.exists(archivedPath(segment)) { return .archived }
        return try Directory.exists(completePath(segment)) ? .complete : nil
    }

    /// All segments, by timeline and position. An archived one is believed by its name, which it gets when it is whole:
    /// there may be very many, and each look at one is a system call.
    package func segments() throws -> [(segment: WALSegment, place: Place)] {
        var found: [WALSegment: Place] = [:]
        // First where a segment comes from: one that moves on meanwhile is then found where it went.
        for name in try Directory.names(in: incoming) ?? [] {
            guard let segment = WALSegment(name: Self.trimmed(name, Self.partialSuffix) ?? name[...], size: segmentSize) else {
                continue
            }
            found[segment] = try place(of: segment)
        }
        for folder in try Directory.names(in: wal) ?? [] where folder.utf8.count == 16 && !folder.contains(".") {
            for name in try Directory.names(in: wal.appending(folder)) ?? [] {
                guard let name = Self.trimmed(name, Self.compressedSuffix),
                    let segment = WALSegment(name: name, size: segmentSize)
                else { continue }
                found[segment] = .archived
            }
        }
        return found.map { ($0.key, $0.value) }.sorted { a, b in
            (a.0.timeline, a.0.number) < (b.0.timeline, b.0.number)
        }.map { (segment: $0.0, place: $0.1) }
    }

    /// True where segments of this timeline are stored, whichever.
    package func hasSegments(of timeline: TimelineID) throws -> Bool {
        let prefix = hexadecimal(timeline.rawValue)
        return try (Directory.names(in: wal) ?? []).contains { $0.utf8.count == 16 && $0.hasPrefix(prefix) && !$0.contains(".") }
            || (Directory.names(in: incoming) ?? []).contains { $0.utf8.count >= 24 && $0.hasPrefix(prefix) }
    }

    /// The name without its suffix; nil where it has another.
    private static func trimmed(_ name: String, _ suffix: String) -> Substring? {
        name.utf8.count >= suffix.utf8.count && name.utf8.suffix(suffix.utf8.count).elementsEqual(suffix.utf8)
            ? Substring(name.utf8.dropLast(suffix.utf8.count)) : nil
    }

    /// What these segments take, by timeline. Each is looked at.
    package func storedBytes(of segments: [(segment: WALSegment, place: Place)]) throws -> [TimelineID: Int] {
        try segments.reduce(into: [:]) { bytes, found in
            let size =
                switch found.place {
                case .archived: try Directory.status(archivedPath(found.segment))?.size ?? 0
                case .complete: segmentSize.bytes
                case .partial(let received): received
                }
            bytes[found.segment.timeline, default: 0] += size
        }
    }

    /// A contiguous stretch of WAL of one timeline.
    package struct Range: Sendable, Equatable {
        package let timeline: TimelineID
        package let from: LSN
        package internal(set) var to: LSN
        package internal(set) var segments: Int

        package init(timeline: TimelineID, from: LSN, to: LSN, segments: Int) {
            self.timeline = timeline
            self.from = from
            self.to = to
            self.segments = segments
        }
    }

    /// What is stored, in contiguous ranges, by timeline and position. Between two of one timeline is a gap.
    package func ranges() throws -> [Range] { ranges(of: try segments()) }

    package func ranges(of segments: [(segment: WALSegment, place: Place)]) -> [Range] {
        var ranges: [Range] = []
        for (segment, place) in segments {
            let start = segment.start(size: segmentSize)
            let end =
                switch place {
                case .archived, .complete: segment.end(size: segmentSize)
                case .partial(let received): start + received
                }
            if let last = ranges.last, last.timeline == segment.timeline, last.to == start {
                ranges[ranges.count - 1].to = end
                ranges[ranges.count - 1].segments += 1
            } else {
                ranges.append(Range(timeline: segment.timeline, from: start, to: end, segments: 1))
            }
        }
        return ranges
    }

    /// How far WAL reaches without a gap, beginning with the byte at `start` of `timeline`; nil where not even that is
    /// there.
    package func reach(from start: LSN, on timeline: TimelineID) throws -> LSN? {
        try ranges().last { $0.timeline == timeline && $0.from <= start && start <= $0.to }?.to
    }

    // MARK: From incoming to the archive

    /// Complete segments that still wait in `incoming`.
    package func waiting() throws -> [WALSegment] {
        try (Directory.names(in: incoming) ?? []).compactMap { WALSegment(name: $0, size: segmentSize) }
    }

    /// The received file becomes a complete segment. It is durable already; the new name is when this returns. Of one that is
    /// there already, received earlier, the content must be equal; it is replaced, for its last sync may have failed.
    package func complete(_ segment: WALSegment) throws {
        let partial = partialPath(segment)
        try requireBegins(File(partial, .read), with: completePath(segment), bytes: segmentSize.bytes)
        try Directory.rename(partial, to: completePath(segment))
    }

    /// Compresses a complete segment into the archive and then removes its raw form. Where the archive has it already,
    /// the contents must be equal.
    package func archive(_ segment: WALSegment, level: CompressionLevel) throws {
        let source = completePath(segment)
        // What was received twice may have been archived once already.
        if try !Directory.exists(source), try Directory.exists(archivedPath(segment)) { return }
        _ = try keep(File(source, .read), at: archivedPath(segment), level: level)
        try Directory.remove(source)
    }

    /// True while some process streams WAL into this repository.
    package func isReceiving() throws -> Bool { try LockFile.isHeld(repository.receiveLock) }
}
