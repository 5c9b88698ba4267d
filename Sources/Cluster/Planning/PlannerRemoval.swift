import PostgresModel

/// Nodes that leave the cluster.
extension Planner {
    /// A standby that leaves stops; its directory is kept beside, so that nothing starts it again.
    mutating func stopRemoved(_ primary: NodeState) {
        for name in removed.map(\.name) {
            switch facts.nodes[name] {
            case .unreachable(let failure): block(name, failure)
            case .reached(let host):
                guard let instance = host.instance, let layout = instance.layout, case .present(let control) = instance.data,
                    control.systemIdentifier == primary.system
                else { continue }
                guard instance.server?.isInRecovery ?? instance.hasStandbySignal else {
                    block(name, "it is no standby", hint: "First make another the primary, and this one: pgark rejoin \(name)")
                    continue
                }
                add(
                    name, .setAside(layout),
                    [
                        .init(
                            action: .remove, node: name, object: "server", from: layout.data,
                            to: "stopped, and kept as \(layout.data).before-pgark", effect: .restart)
                    ])
            case nil: continue
            }
        }
    }

    /// What was held back for them goes; also where they could not be reached, or the disk would fill.
    mutating func dropSlotsOfRemoved(_ states: [NodeState]) {
        for slot in removed.map(\.slot) {
            for state in states where state.server?.slots[slot]?.isPhysical == true {
                add(
                    state.name, .sql(state.layout, Self.removal(of: slot)),
                    [.init(action: .remove, node: state.name, object: "slot \(slot)", from: "of a node that leaves")])
            }
        }
    }

    /// Done again, they do nothing.
    static func removal(of slot: String) -> [String] {
        [
            // It waits until the sender has given the slot back.
            """
            SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots
            WHERE slot_name = '\(slot)' AND active_pid IS NOT NULL
            """,
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '\(slot)'",
        ]
    }
}
