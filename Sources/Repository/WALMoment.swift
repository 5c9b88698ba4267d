package import PostgresModel
import Storage
import SystemPackage

/// Up to which moment everything is here, for each timeline: `incoming/<8 digits>.frontier`, so that one that was left keeps
/// the last moment at which it was complete.
extension WALArchive {
    /// A moment of the server's clock at which all of its WAL was durable here: what a restore to a time may rely on. Without a
    /// time only so much WAL was: nobody who sent it could know what else there was by then.
    package struct Moment: Codable, Sendable, Equatable {
        package var timeline: TimelineID
        package var durableLSN: LSN
        package var time: Timestamp?

        package init(timeline: TimelineID, durableLSN: LSN, time: Timestamp?) {
            self.timeline = timeline
            self.durableLSN = durableLSN
            self.time = time
        }

        private enum CodingKeys: String, CodingKey { case timeline, durableLSN = "durable_lsn", time }
    }

    private static let momentSuffix = ".frontier"

    func momentPath(_ timeline: TimelineID) -> FilePath {
        incoming.appending(hexadecimal(timeline.rawValue) + Self.momentSuffix)
    }

    /// Nil where none was noted on this timeline.
    package func moment(of timeline: TimelineID) throws -> Moment? { try Record.read(momentPath(timeline)) }

    /// The newest timeline's.
    package func moment() throws -> Moment? { try momentTimelines().max().flatMap { try moment(of: $0) } }

    package func moments() throws -> [TimelineID: Moment] {
        try momentTimelines().reduce(into: [:]) { $0[$1] = try moment(of: $1) }
    }

    private func momentTimelines() throws -> [TimelineID] {
        try (Directory.names(in: incoming) ?? []).compactMap { name in
            guard name.hasSuffix(Self.momentSuffix), name.utf8.count == 8 + Self.momentSuffix.utf8.count else { return nil }
            return UInt32(name.prefix(8), radix: 16).map { TimelineID(rawValue: $0) }
        }
    }

    /// Durable when it returns.
    package func note(_ moment: Moment) throws { try Record.write(moment, to: momentPath(moment.timeline)) }
}
