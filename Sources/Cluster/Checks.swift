import Postgres
import PostgresModel

/// All checks of a cluster. Pure: whatever they judge was observed before, the time included.
package struct Checks: Sendable {
    let view: ClusterView

    package init(_ view: ClusterView) { self.view = view }

    /// In the order in which a person would look: the servers, how they stand to each other, the repository.
    package func results(of names: Set<CheckName> = Set(CheckName.allCases)) -> [CheckResult] {
        let nodes = view.nodes.flatMap { node -> [CheckResult] in
            switch node.state {
            case .unreachable(let failure): [Self.unreachable(node.node, failure)]
            case .reached(let server):
                ServerChecks(node: node.node, server: server).results
                    + RoleChecks(node: node.node, server: server).results
                    + [slotBudget(node.node, server)]
            }
        }
        let standbys = view.standbys.flatMap { StandbyChecks(view: view, standby: $0).results }
        let all =
            nodes + standbys + ClusterChecks(view: view).results + RepositoryChecks(view: view).results
            + ReceiverChecks(view: view).results + BackupChecks(view: view).results
        return all.filter { names.contains($0.name) }
    }

    private func slotBudget(_ node: String, _ server: ServerObservation) -> CheckResult {
        SlotBudgetCheck(
            node: node, server: server, budget: view.file.replication.slotBudget, ownSlot: "\(view.file.repository.slot)"
        ).result
    }

    private static func unreachable(_ node: String, _ failure: Failure) -> CheckResult {
        .failed(
            .connection, node, failure.message.onOneLine,
            hint: failure.hint ?? "Is the server running? Try: pg_isready -h HOST -p PORT")
    }
}
