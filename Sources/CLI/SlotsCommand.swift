import ArgumentParser
import Cluster
import PostgresModel

struct SlotsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "slots", abstract: "Each replication slot: its owner, what it holds back, its budget, the time to its end.",
        discussion: """
            active: its owner streams through it. waiting: it holds WAL back for an owner who is away. spare: it holds nothing \
            until its owner comes, which is when this node is the primary. lost: the server took its WAL away.
            """)

    @OptionGroup var global: GlobalOptions

    func run() throws {
        let output = global.output
        let view = try ClusterView.observe(global.repositoryFile())
        let silent = view.nodes.filter { $0.server == nil }
        for node in silent { output.note("\(node.node) does not answer: \(node.failure?.message ?? "")") }
        if silent.count == view.nodes.count, let failure = silent.first?.failure { throw failure }
        let document = Document(slots: view.slotStatuses, unreachable: silent.map(\.node))
        try output.data(document) { document.text(output) }
    }

    private struct Document: Encodable {
        let slots: [SlotStatus]
        let unreachable: [String]

        func text(_ output: Output) -> String {
            guard !slots.isEmpty else { return "no slots" }
            return Output.table(
                ["node", "slot", "owner", "state", "retained", "budget", "rate", "budget ends in"],
                slots.map { slot in
                    [
                        slot.node, slot.slot, owner(slot), state(slot, output), size(slot.retainedBytes),
                        slot.budgetBytes == nil ? output.paint("none", .warning) : size(slot.budgetBytes),
                        slot.rateBytesPerSecond.map { "\(ByteCount(Int($0)))/s" } ?? "-",
                        slot.secondsToBudget.map { Output.duration($0) } ?? "-",
                    ]
                })
        }

        private func owner(_ slot: SlotStatus) -> String {
            slot.managed ? slot.owner ?? "-" : "not pgark's" + (slot.owner.map { ": \($0)" } ?? "")
        }

        private func state(_ slot: SlotStatus, _ output: Output) -> String {
            if slot.state == .active, slot.walStatus == "unreserved" { return output.paint("losing WAL", .bad) }
            let style: Output.Style =
                switch slot.state {
                case .active: .good
                case .waiting, .lost: .bad
                case .spare: .faint
                }
            return output.paint(slot.state.rawValue, style)
        }

        private func size(_ bytes: Int?) -> String { bytes.map { "\(ByteCount($0))" } ?? "-" }
    }
}
