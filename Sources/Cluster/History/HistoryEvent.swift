package import PostgresModel

/// Something that happened to a cluster, as `pgark history` tells it.
package struct HistoryEvent: Codable, Sendable, Equatable {
    /// `system`, `timeline` and `gap` are what the repository proves; others are commands, as the journal has them.
    package var kind: String
    /// When it happened, or began; nil where nothing proves it.
    @Nullable package var time: Timestamp?
    @Nullable package var endTime: Timestamp?
    @Nullable package var node: String?
    @Nullable package var timeline: TimelineID?
    @Nullable package var atLSN: LSN?
    /// How long nobody could write.
    @Nullable package var outageSeconds: Double?
    /// `journal`: from when a server was told to stop until one took writes. `wal`: from the last transaction before to the first
    /// moment after, so that the outage was no longer than that.
    @Nullable package var outageFrom: Source?
    /// done, failed or interrupted; nil for what is no command.
    @Nullable package var result: Result?
    package var detail: String

    package enum Source: String, Codable, Sendable { case journal, wal }
    package enum Result: String, Codable, Sendable { case done, failed, interrupted }

    package init(kind: String, time: Timestamp? = nil, detail: String) {
        self.kind = kind
        self.time = time
        self.detail = detail
    }
}

/// What the history of a cluster is made of.
package struct ClusterHistory: Codable, Sendable, Equatable {
    /// Of the repository: in the order of systems and timelines, which is how they happened, whatever clocks said.
    package var stored: [HistoryEvent]
    /// Of the journals: commands.
    package var commands: [HistoryEvent]

    package init(stored: [HistoryEvent] = [], commands: [HistoryEvent] = []) {
        self.stored = stored
        self.commands = commands
    }

    /// All of it, oldest first. What has no time stands where its order among the others puts it.
    package var events: [HistoryEvent] {
        var last = Timestamp(microseconds: 0)
        let stored = stored.map { event in
            last = max(last, event.time ?? last)
            return (order: last, event: explained(event))
        }
        let commands = commands.map { (order: $0.time ?? Timestamp(microseconds: 0), event: explained($0)) }
        return (stored + commands).enumerated().sorted { a, b in
            (a.element.order, a.offset) < (b.element.order, b.offset)
        }.map(\.element.event)
    }

    /// A command and the timeline that it made tell of each other.
    private func explained(_ event: HistoryEvent) -> HistoryEvent {
        var event = event
        if event.kind == Self.timelineKind {
            guard let command = commands.last(where: { Self.made($0, event) }) else { return event }
            event.node = event.node ?? command.node
            event.detail += "; by `pgark \(command.kind)`"
        } else if let made = stored.last(where: { $0.kind == Self.timelineKind && Self.made(event, $0) }) {
            event.timeline = made.timeline
            event.atLSN = made.atLSN
        }
        return event
    }

    static let timelineKind = "timeline"

    /// Clocks of two hosts differ a little, and a checkpoint's time has whole seconds.
    private static let clockSeconds = 2.0

    private static func made(_ command: HistoryEvent, _ timeline: HistoryEvent) -> Bool {
        guard command.outageFrom == .journal, let time = timeline.time, let begin = command.time, let end = command.endTime else {
            return false
        }
        return time - begin > -clockSeconds && end - time > -clockSeconds && makesTimelines.contains(command.kind)
    }

    private static let makesTimelines: Set = ["restore", "switchover", "failover"]
}
