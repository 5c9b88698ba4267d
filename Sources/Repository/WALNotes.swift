package import PostgresModel
import Storage
import SystemPackage

/// What is known about a system's WAL beside the segments: gaps that were noticed, and what retention took away.
///
/// Both are small records in `wal/`, written by rename, so that a crash leaves the old one or the new one.
extension WALArchive {
    /// WAL that the server no longer had when the receiver wanted it.
    package struct Gap: Codable, Sendable, Equatable {
        package var timeline: TimelineID
        package var fromLSN: LSN
        package var toLSN: LSN
        /// The last moment up to which everything before the gap is known to be stored.
        package var fromTime: Timestamp?
        /// When it was noticed, by the clock of the receiver's host.
        package var noticedTime: Timestamp
        package var reason: String

        package init(
            timeline: TimelineID, fromLSN: LSN, toLSN: LSN, fromTime: Timestamp?, noticedTime: Timestamp, reason: String
        ) {
            self.timeline = timeline
            self.fromLSN = fromLSN
            self.toLSN = toLSN
            self.fromTime = fromTime
            self.noticedTime = noticedTime
            self.reason = reason
        }

        private enum CodingKeys: String, CodingKey {
            case timeline, reason
            case fromLSN = "from_lsn"
            case toLSN = "to_lsn"
            case fromTime = "from_time"
            case noticedTime = "noticed_time"
        }
    }

    private struct Gaps: Codable { var gaps: [Gap] }

    private var gapsPath: FilePath { wal.appending("gaps.json") }

    /// The gaps that were noticed, oldest first.
    package func notedGaps() throws -> [Gap] {
        let record: Gaps? = try Record.read(gapsPath)
        return record?.gaps ?? []
    }

    /// Remembers a gap; durable when it returns. The caller holds the receive lock.
    package func note(_ gap: Gap) throws {
        var gaps = try notedGaps()
        guard !gaps.contains(where: { ($0.timeline, $0.fromLSN, $0.toLSN) == (gap.timeline, gap.fromLSN, gap.toLSN) }) else {
            return
        }
        gaps.append(gap)
        try Record.write(Gaps(gaps: gaps), to: gapsPath)
    }

    // MARK: What retention took away

    /// Of a timeline, everything before `beforeLSN` may be gone: retention began to remove it.
    private struct Removed: Codable {
        struct Stretch: Codable {
            var timeline: TimelineID
            var beforeLSN: LSN

            private enum CodingKeys: String, CodingKey { case timeline, beforeLSN = "before_lsn" }
        }
        var removed: [Stretch]
    }

    private var removedPath: FilePath { wal.appending("removed.json") }

    /// Up to where retention removed WAL of each timeline: what lies before and is missing was stored once.
    package func removedBefore() throws -> [TimelineID: LSN] {
        let record: Removed? = try Record.read(removedPath)
        return Dictionary((record?.removed ?? []).map { ($0.timeline, $0.beforeLSN) }, uniquingKeysWith: max)
    }

    /// Says beforehand that WAL goes; durable when it returns. What was said earlier stays true. The caller holds the write
    /// lock.
    func note(removedBefore limits: [TimelineID: LSN]) throws {
        let known = try removedBefore()
        let all = known.merging(limits, uniquingKeysWith: max)
        guard all != known else { return }
        let stretches = all.sorted { $0.key < $1.key }.map { Removed.Stretch(timeline: $0.key, beforeLSN: $0.value) }
        try Record.write(Removed(removed: stretches), to: removedPath)
    }
}
