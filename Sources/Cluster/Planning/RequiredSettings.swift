import PostgresModel

/// Settings without which replication does not work, or a standby does not come up. They are written where a server has too little, and
/// stay once they are written; what is enough is left as it is.
struct RequiredSettings {
    /// What the node's server has, and what our file of settings says there.
    let own: InstanceFacts
    let primary: InstanceFacts?
    /// Nodes that pgark sets up.
    let nodes: Int

    /// PostgreSQL's defaults, the same from 15 to 18.
    private static let defaults = [
        "max_connections": 100, "max_worker_processes": 8, "max_wal_senders": 10, "max_prepared_transactions": 0,
        "max_locks_per_transaction": 64, "max_replication_slots": 10,
    ]
    static let names = ["wal_level", "hot_standby", "max_replication_slots"] + ManagedParameters.matchedByStandbys

    var settings: [(name: String, value: String)] {
        let ours = SettingsText.values(own.include ?? "")
        var settings: [(name: String, value: String)] = []
        // A server whose wal_level is logical has enough, too.
        if ours["wal_level"] != nil || value("wal_level", own) == "minimal" { settings.append(("wal_level", "replica")) }
        if ours["hot_standby"] != nil || value("hot_standby", own) == "off" { settings.append(("hot_standby", "on")) }
        for name in ["max_replication_slots"] + ManagedParameters.matchedByStandbys {
            let wanted = wanted(name)
            if let written = ours[name].flatMap({ Int($0) }) {
                settings.append((name, "\(max(written, wanted))"))
            } else if (number(name, own) ?? Self.defaults[name]!) < wanted {
                settings.append((name, "\(wanted)"))
            }
        }
        return settings
    }

    /// A standby takes WAL only of a primary that has no more than itself (PostgreSQL documentation: 26.4.3).
    private func wanted(_ name: String) -> Int {
        let least =
            switch name {
            // Each other node, the receiver, a backup with its WAL, and one to spare.
            case "max_wal_senders": nodes + 3
            case "max_replication_slots": nodes + 1
            default: 0
            }
        guard name != "max_replication_slots", let primary else { return least }
        return max(least, number(name, primary) ?? 0)
    }

    /// Of one that does not run, what its WAL says.
    private func number(_ name: String, _ instance: InstanceFacts) -> Int? {
        if let text = value(name, instance) { return Int(text) }
        if case .present(let control) = instance.data { return control.required[name] }
        return nil
    }

    private func value(_ name: String, _ instance: InstanceFacts) -> String? { instance.server?.settings[name]?.value }
}
