import Cluster
import PostgresModel

/// A cluster at a glance, as `status` prints it.
struct StatusDocument: Encodable {
    let cluster: String
    @Nullable var timeline: TimelineID?
    let nodes: [NodeStatus]
    let slots: [SlotStatus]
    let repository: RepositoryStatus
    let warnings: [String]

    struct RepositoryStatus: Encodable {
        let path: String
        let receiving: Bool
        /// The node that its WAL comes from.
        @Nullable var upstream: String?
        let slot: String
        @Nullable var receivedLSN: LSN?
        @Nullable var durableLSN: LSN?
        @Nullable var lagBytes: Int?
        @Nullable var recoveryWindow: RecoveryWindowDocument?
        @Nullable var lastBackup: LastBackup?
    }

    struct LastBackup: Encodable {
        let id: String
        let endTime: Timestamp
        let ageSeconds: Double
    }

    init(_ view: ClusterView, window: RecoveryWindowDocument?) {
        cluster = view.file.name
        timeline = view.timeline
        nodes = view.nodeStatuses
        slots = view.slotStatuses
        repository = RepositoryStatus(
            path: "\(view.repository.path)", receiving: view.repository.receiver.isRunning, upstream: view.receiverNode,
            slot: "\(view.file.repository.slot)", receivedLSN: view.repository.receiver.receivedLSN,
            durableLSN: view.repositoryDurableLSN, lagBytes: view.repositoryLagBytes, recoveryWindow: window,
            lastBackup: view.repository.completeBackups.first.map {
                LastBackup(id: $0.id, endTime: $0.content.endTime, ageSeconds: max(0, view.time - $0.content.endTime))
            })
        warnings = view.warnings
    }

    // MARK: For a person

    func text(_ output: Output) -> String {
        let title = output.paint(cluster, .strong) + (timeline.map { ", timeline \($0)" } ?? "")
        let table = Output.table(
            ["node", "role", "state", "timeline", "received", "replayed", "lag", "upstream", "slot", "sync"],
            nodes.map { row($0, output) } + [repositoryRow(output)])
        let remarks = nodes.filter(\.isSilent).map { "\($0.name): \($0.state)" } + slotLines + backupLines
        let warnings = warnings.map { output.paint("warning", .warning) + "  " + $0 }
        return ([title, "", table, ""] + remarks + (warnings.isEmpty ? [] : [""] + warnings)).joined(separator: "\n")
    }

    private func row(_ node: NodeStatus, _ output: Output) -> [String] {
        let isWell = node.role == .primary || node.state == "streaming"
        let state = node.isSilent ? "-" : output.paint(node.state, isWell ? .good : .bad)
        let role = node.isSilent ? output.paint(node.role.rawValue, .bad) : node.role.rawValue
        let delay = node.delaySeconds.map { " (delayed \(Output.duration($0)))" } ?? ""
        return [
            node.name, role, state, node.timeline.map { "\($0)" } ?? "-", node.receivedLSN.map { "\($0)" } ?? "-",
            node.replayedLSN.map { "\($0)" } ?? "-", Self.lag(node.lagBytes, node.lagSeconds) + delay, node.upstream ?? "-",
            node.slot ?? "-", node.sync ?? "-",
        ]
    }

    private func repositoryRow(_ output: Output) -> [String] {
        let state = repository.receiving ? output.paint("receiving", .good) : output.paint("not receiving", .bad)
        return [
            "repository", "receiver", state, "-", repository.receivedLSN.map { "\($0)" } ?? "-",
            repository.durableLSN.map { "\($0)" } ?? "-", Self.lag(repository.lagBytes, nil), repository.upstream ?? "-",
            repository.slot, "-",
        ]
    }

    private static func lag(_ bytes: Int?, _ seconds: Double?) -> String {
        let parts = [bytes.map { "\(ByteCount($0))" }, seconds.map { Output.duration($0) }].compactMap { $0 }
        return parts.isEmpty ? "-" : parts.joined(separator: ", ")
    }

    private var backupLines: [String] {
        guard let last = repository.lastBackup else { return ["no backup yet"] }
        let window = repository.recoveryWindow?.lines ?? []
        return ["last backup \(last.id), \(Output.duration(last.ageSeconds)) ago"] + window
    }

    /// Of slots that hold something back for nobody who takes it now.
    private var slotLines: [String] {
        slots.filter { $0.state == .waiting || $0.state == .lost }.map { slot in
            if slot.state == .lost { return "slot \(slot.slot) of \(slot.node) is lost" }
            let budget = slot.budgetBytes.map { " of \(ByteCount($0))" } ?? ", without a limit"
            let end = slot.secondsToBudget.map { ", which at the present rate ends in \(Output.duration($0))" } ?? ""
            return "slot \(slot.slot) of \(slot.node) holds back \(ByteCount(slot.retainedBytes ?? 0))\(budget)\(end)"
        }
    }
}

extension NodeStatus {
    /// Nothing is known of it but why.
    fileprivate var isSilent: Bool { role == .unreachable || role == .unknown }
}
