import FoundationEssentials
import PostgresModel

/// What the journal of a control host tells: each run of a command, what it changed, and how long it kept writers waiting.
extension ClusterHistory {
    /// `journal` is its text. A line that a crash cut is left out.
    package static func commands(in journal: String) -> [HistoryEvent] {
        var runs: [[JournalLine]] = []
        for text in journal.split(whereSeparator: \.isNewline) {
            guard let line = try? JSONDecoder().decode(JournalLine.self, from: Data(text.utf8)) else { continue }
            if let last = runs.last?.last, line.belongs(after: last) {
                runs[runs.count - 1].append(line)
            } else {
                runs.append([line])
            }
        }
        return runs.map(event)
    }

    private static func event(_ run: [JournalLine]) -> HistoryEvent {
        var event = HistoryEvent(kind: run[0].command ?? "apply", time: run[0].time, detail: detail(run))
        event.endTime = run[run.count - 1].time
        event.node = run[0].node
        event.result = result(run)
        if let outage = outage(run) {
            event.outageSeconds = outage
            event.outageFrom = .journal
        }
        return event
    }

    /// Lines of before there was an end of a run say by their numbers whether a plan came to its end.
    private static func result(_ run: [JournalLine]) -> HistoryEvent.Result {
        guard run[run.count - 1].event == .end || run.last(where: { $0.event == .begin })?.isLastStep == true else {
            return .interrupted
        }
        let plan = run.dropLast(run[run.count - 1].event == .end ? 1 : 0)
        if plan.last?.event == .begin { return .interrupted }
        // What a first plan could not do, a second one may have done.
        let last = plan.lastIndex { $0.event == .end }.map { plan.suffix(from: $0 + 1) } ?? plan
        return last.contains { $0.event == .failed } ? .failed : .done
    }

    private static func outage(_ run: [JournalLine]) -> Double? {
        var begin: Timestamp?
        var sum: Double?
        for line in run {
            switch (line.outage, line.event) {
            case (.begins, .begin), (.within, .begin): begin = begin ?? line.time
            case (.ends, .done), (.within, .done):
                guard let started = begin else { continue }
                sum = (sum ?? 0) + (line.time - started)
                begin = nil
            default: continue
            }
        }
        return begin == nil ? sum : nil
    }

    private static func detail(_ run: [JournalLine]) -> String {
        let changes = changes(run)
        var parts: [String]
        if let node = run[0].node {
            parts = changes.filter { $0.node == node }.map { [$0.object, $0.to].compactMap(\.self).joined(separator: ": ") }
            if parts.count > mostChanges { parts = Array(parts.prefix(mostChanges)) + ["and \(parts.count - mostChanges) more"] }
        } else {
            let nodes = changes.map(\.node).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
            parts = changes.isEmpty ? [] : ["\(counted(changes.count, "change")) on \(nodes.joined(separator: ", "))"]
        }
        if result(run) == .failed, let failure = run.last(where: { $0.event == .failed }) {
            parts.append("failed: \(failure.error ?? "")")
        }
        return parts.isEmpty ? "nothing was changed" : parts.joined(separator: "; ")
    }

    /// Of the steps that were done.
    private static func changes(_ run: [JournalLine]) -> [Plan.Change] {
        var done: [Plan.Change] = [], begun: [Plan.Change] = []
        for line in run {
            switch line.event {
            case .begin: begun = line.changes ?? []
            case .done: done += begun
            case .failed, .end: begun = []
            }
        }
        return done
    }

    private static let mostChanges = 2
}

extension JournalLine {
    fileprivate var isLastStep: Bool { step != nil && step == of }

    /// Runs say which they are; older lines only number their steps.
    fileprivate func belongs(after last: JournalLine) -> Bool {
        if run != nil || last.run != nil { return run == last.run }
        return event != .begin || step != 1
    }
}
