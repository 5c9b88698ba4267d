import ArgumentParser
import Cluster
import PostgresModel

struct SlotsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "slots", abstract: "Each replication slot: its owner, what it holds back, its budget, the time to its end.")

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
                        slot.node, slot.slot, slot.owner ?? "-", state(slot, output), size(slot.retainedBytes),
                        slot.budgetBytes == nil ? output.paint("none", .warning) : size(slot.budgetBytes),
                        slot.rateBytesPerSecond.map { "\(ByteCount(Int($0)))/s" } ?? "-",
                        slot.secondsToBudget.map { Output.duration($0) } ?? "-",
                    ]
                })
        }

        private func state(_ slot: SlotStatus, _ output: Output) -> String {
            if slot.walStatus == "lost" || slot.walStatus == "unreserved" { return output.paint(slot.walStatus!, .bad) }
            return slot.active ? output.paint("active", .good) : output.paint("inactive", .bad)
        }

        private func size(_ bytes: Int?) -> String { bytes.map { "\(ByteCount($0))" } ?? "-" }
    }
}
