import Postgres
import PostgresModel
import Storage

/// The nodes of a cluster, asked again and again, each by a thread of its own. What was heard of each last is at hand at any
/// moment: one that does not answer keeps nothing from the others, and costs a person no waiting.
package final class ClusterWatch: Sendable {
    private struct State {
        var heard: [String: (observation: NodeObservation, at: UInt64)] = [:]
        var isEnding = false
    }

    private let file: ClusterFile
    private let shared = Monitor(State())

    /// A busy server may take a moment; longer than that a person should know.
    private static let patienceSeconds = 6.0

    /// The threads end with `end`, each at the latest when its server has answered or has had its time.
    package init(_ file: ClusterFile, secondsBetween: Double) {
        self.file = file
        for node in file.nodes {
            let shared = shared
            _ = WorkerThread("watch \(node.name)") {
                let observer = NodeObserver(node)
                while !shared.read({ $0.isEnding }) {
                    let observation = observer.observe()
                    shared.change { $0.heard[node.name] = (observation, Deadline.now) }
                    _ = shared.wait(milliseconds: Int(secondsBetween * 1000)) { $0.isEnding ? true : nil }
                }
            }
        }
    }

    package func end() { shared.change { $0.isEnding = true } }

    /// True once something is known of every node.
    package var isComplete: Bool { shared.read { state in file.nodes.allSatisfy { state.heard[$0.name] != nil } } }

    package func view() -> ClusterView {
        let heard = shared.read { $0.heard }
        let facts = RepositoryFacts.read(file.repository, cluster: file.name)
        return ClusterView(
            file: file, nodes: file.nodes.map { Self.observation(of: $0.name, heard[$0.name], now: Deadline.now) },
            repository: facts, time: .now)
    }

    /// What was heard too long ago is no longer so.
    static func observation(of node: String, _ heard: (observation: NodeObservation, at: UInt64)?, now: UInt64) -> NodeObservation
    {
        guard let heard else { return silent(node, "no answer yet") }
        let age = Double(now - min(now, heard.at)) / 1e9
        guard age > patienceSeconds, heard.observation.server != nil else { return heard.observation }
        return silent(node, "no answer for \(decimal(age, places: 0)) s")
    }

    private static func silent(_ node: String, _ reason: String) -> NodeObservation {
        NodeObservation(node: node, state: .unreachable(Failure(.timedOut, "could not ask \(node): \(reason)")))
    }
}
