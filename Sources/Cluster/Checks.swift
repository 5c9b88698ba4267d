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
            case .unreachable(let failure): [unreachable(node.node, failure)]
            case .refusing(let failure): [Self.refusing(node.node, failure)]
            case .reached(let server):
                ServerChecks(node: node.node, server: server, missingSlots: missingSlots(node.node, server)).results
                    + RoleChecks(node: node.node, server: server).results
                    + [SlotBudgetCheck(view: view, node: node.node, server: server).result]
            }
        }
        let standbys = view.standbys.flatMap { StandbyChecks(view: view, standby: $0).results }
        let all =
            nodes + standbys + ClusterChecks(view: view).results + RepositoryChecks(view: view).results
            + ReceiverChecks(view: view).results + BackupChecks(view: view).results
            + ScheduleChecks(view: view).results
        return all.filter { names.contains($0.name) }
    }

    /// Slots that `apply` makes and that are not there, of which no other check speaks: of those who follow this node, and of the
    /// receiver on the primary, others do.
    private func missingSlots(_ node: String, _ server: ServerObservation) -> [String] {
        let followers = view.standbys.filter { view.declaredUpstream(of: $0)?.name == node }.compactMap {
            view.declaredSlot(of: $0.name)
        }
        let spoken = Set(followers + (view.primary?.name == node ? [view.receiverSlotName] : []))
        return view.declaredSlots(on: node).filter { server.slot($0) == nil && !spoken.contains($0) }
    }

    private func unreachable(_ node: String, _ failure: Failure) -> CheckResult {
        let said = failure.message.onOneLine
        guard let placement = view.file.placement(of: node) else {
            return .failed(
                .connection, node, said, hint: failure.hint ?? "Is the server running? Try: pg_isready -h HOST -p PORT")
        }
        // libpq says what the system said; in this program that is always English.
        if said.contains("Connection refused") {
            return .failed(.connection, node, "no server runs there: \(said)", hint: "To start it: pgark apply")
        }
        return .failed(
            .connection, node, "its host does not answer: \(said)",
            hint: "Is it up, and the network between? ping \(placement.host); ssh \(placement.ssh) true")
    }

    private static func refusing(_ node: String, _ failure: Failure) -> CheckResult {
        .failed(
            .connection, node, "a server answers there, but not us: " + failure.message.onOneLine,
            hint: failure.code == .authenticationFailed ? failure.hint ?? "pgark apply" : "Look at its log; it may be starting")
    }
}
