import ArgumentParser
import Cluster
import PostgresModel

struct HistoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "What happened to the cluster: timelines, restores, other commands, and outages.",
        discussion: """
            From the repository, which proves when and where timelines began, and from the journals of this host and of the \
            repository's: what was done from elsewhere is known there. An outage is measured from when a server was told to \
            stop until one took writes; where only the WAL tells, it was no longer than from the last transaction before \
            to the first moment after (at most).
            """)

    @OptionGroup var global: GlobalOptions

    func run() throws {
        let output = global.output
        let file = try global.clusterFile()
        let (history, failure) = try ClusterHistory.read(file)
        let document = Document(cluster: file.name, events: history.events, missing: failure?.message)
        try output.data(document) { document.text(output) }
        guard let failure else { return }
        if !output.json { output.failure(failure) }
        throw ExitCode(failure.code.exitStatus)
    }

    private struct Document: Encodable {
        let cluster: String
        let events: [HistoryEvent]
        /// Why what the repository knows is not among them.
        @Nullable var missing: String?

        func text(_ output: Output) -> String {
            guard !events.isEmpty else { return "nothing is known yet" }
            return Output.table(
                ["time", "event", "node", "timeline", "at", "outage", ""],
                events.map { event in
                    [
                        event.time?.shortText ?? "-", kind(event, output), event.node ?? "-",
                        event.timeline.map { "\($0)" } ?? "-", event.atLSN.map { "\($0)" } ?? "-", outage(event), event.detail,
                    ]
                })
        }

        private func kind(_ event: HistoryEvent, _ output: Output) -> String {
            switch event.result {
            case nil, .done: event.kind
            case .failed: output.paint("\(event.kind), failed", .bad)
            case .interrupted: output.paint("\(event.kind), cut short", .warning)
            }
        }

        private func outage(_ event: HistoryEvent) -> String {
            guard let seconds = event.outageSeconds else { return "-" }
            return (event.outageFrom == .wal ? "at most " : "") + Output.duration(seconds)
        }
    }
}
