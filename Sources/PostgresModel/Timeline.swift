/// One history of the WAL. A promotion or a point-in-time recovery begins a new one (PostgreSQL documentation: 25.3.6).
package struct TimelineID: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package init?(_ text: String) {
        guard let value = UInt32(text), value > 0 else { return nil }
        rawValue = value
    }

    package static let first = TimelineID(rawValue: 1)
    package static func < (a: TimelineID, b: TimelineID) -> Bool { a.rawValue < b.rawValue }
    package var description: String { String(rawValue) }
    package var historyFileName: String { hexadecimal(rawValue) + ".history" }
}

/// How a timeline came to be: the timelines before it, oldest first, each with the position at which it was left.
///
/// Parsed from a history file (PostgreSQL: src/backend/access/transam/timeline.c, readTimeLineHistory): one line per
/// parent, "tli <tab> switchpoint <tab> reason"; empty lines and lines that begin with # carry nothing.
package struct TimelineHistory: Sendable, Equatable {
    package struct Ancestor: Sendable, Equatable {
        package let timeline: TimelineID
        /// The first position that is not part of `timeline`'s share of this history.
        package let end: LSN

        package init(timeline: TimelineID, end: LSN) {
            self.timeline = timeline
            self.end = end
        }
    }

    package let timeline: TimelineID
    package let ancestors: [Ancestor]

    package init(of timeline: TimelineID, ancestors: [Ancestor] = []) {
        self.timeline = timeline
        self.ancestors = ancestors
    }

    package init(parsing text: String, of timeline: TimelineID) throws {
        var ancestors: [Ancestor] = []
        for line in text.split(whereSeparator: \.isNewline) {
            let fields = line.split(whereSeparator: \.isWhitespace)
            if fields.isEmpty || fields[0].hasPrefix("#") { continue }
            guard fields.count >= 2, let parent = TimelineID(String(fields[0])), let end = LSN(fields[1]),
                parent > (ancestors.last?.timeline ?? TimelineID(rawValue: 0)), parent < timeline,
                end >= (ancestors.last?.end ?? .zero)
            else {
                throw Failure(.damaged, "could not read \(timeline.historyFileName): unexpected line \"\(line)\"")
            }
            ancestors.append(Ancestor(timeline: parent, end: end))
        }
        self.init(of: timeline, ancestors: ancestors)
    }

    /// What the server wrote down of why it left the parent, such as "no recovery target specified" for a promotion, or where a
    /// recovery stopped; nil where the text does not say.
    package static func reason(in text: String) -> String? {
        let lines = text.split(whereSeparator: \.isNewline).filter { !$0.hasPrefix("#") }
        return lines.last?.split(separator: "\t", maxSplits: 2).dropFirst(2).first.map(String.init)
    }

    /// Where `timeline` begins: the end of its parent, zero for a timeline without one.
    package var begin: LSN { ancestors.last?.end ?? .zero }

    /// The position at which `other` ends within this history; nil where it is still open (`other == timeline`).
    /// The outer nil says that `other` is no part of this history.
    package func end(of other: TimelineID) -> LSN?? {
        if other == timeline { return .some(nil) }
        return ancestors.first { $0.timeline == other }.map { .some($0.end) }
    }

    /// The timeline that follows `other` on the way to this one.
    package func successor(of other: TimelineID) -> TimelineID? {
        guard let index = ancestors.firstIndex(where: { $0.timeline == other }) else { return nil }
        return index + 1 < ancestors.count ? ancestors[index + 1].timeline : timeline
    }

    /// True where a server on this history passed through `position` while on timeline `other`.
    package func contains(_ position: LSN, on other: TimelineID) -> Bool {
        switch end(of: other) {
        case .none: false
        case .some(.none): true
        case .some(.some(let end)): position <= end
        }
    }

    /// The timeline whose file holds the byte at `position` (PostgreSQL: tliOfPointInHistory).
    package func timeline(at position: LSN) -> TimelineID {
        ancestors.first { position < $0.end }?.timeline ?? timeline
    }
}

/// Eight upper-case hexadecimal digits, as in the names of WAL files.
package func hexadecimal(_ value: UInt32) -> String {
    let digits = String(value, radix: 16, uppercase: true)
    return String(repeating: "0", count: 8 - digits.count) + digits
}
