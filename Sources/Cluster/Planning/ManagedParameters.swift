/// Settings of a server that the cluster file decides by other keys, and which are therefore refused among `parameters`.
enum ManagedParameters {
    /// Why a name may not be given as a parameter; nil where it may.
    static func refusal(_ name: String) -> String? {
        switch name.lowercased() {
        case "port": "is decided by \"nodes.NODE.port\"; set it there"
        case "data_directory", "config_file", "hba_file", "ident_file": "is decided by where the server is; remove it"
        case "primary_conninfo", "primary_slot_name", "cluster_name": "is decided by the nodes; remove it"
        case "recovery_min_apply_delay": "is decided by \"nodes.NODE.delay\"; set it there"
        case "max_slot_wal_keep_size": "is decided by \"replication.slots.keep\"; set it there"
        case let name where name.hasPrefix("recovery_target"): "is for one recovery; use pgark restore"
        case let name
        where !name.utf8.allSatisfy({ (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F || $0 == 0x2E }):
            "is no name of a setting"
        default: nil
        }
    }

    /// A standby must have at least as much of these as its primary (PostgreSQL documentation: 26.4.3).
    static let matchedByStandbys = [
        "max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction",
    ]
}
