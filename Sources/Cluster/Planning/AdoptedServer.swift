import PostgresModel

/// A server that was there before pgark keeps what pgark can do without, so that no restart is needed to have it in a cluster.
/// That it was there before is seen by our own file of settings, which names the cluster where we made the server.
extension Planner {
    func untouched(_ state: NodeState) -> Set<String> {
        let ours = SettingsText.values(state.facts.include ?? "")
        guard state.exists, ours["cluster_name"] == nil else { return [] }
        var names: Set = ["cluster_name", "unix_socket_directories", "wal_log_hints"]
        if ours["listen_addresses"] == nil, listens(state) { names.insert("listen_addresses") }
        return names
    }

    /// Whether others reach it already. Of one that does not run what was decided before still holds.
    private func listens(_ state: NodeState) -> Bool {
        guard let server = state.server else { return state.facts.include != nil }
        return ListenAddresses(server.settings["listen_addresses"]?.value ?? "").include(state.placement.host)
    }
}

/// The setting listen_addresses.
package struct ListenAddresses {
    let list: [String]

    package init(_ text: String) { list = text.split(separator: ",").map(\.trimmed) }

    func include(_ host: String) -> Bool {
        list.contains { $0 == host || $0 == "*" || $0 == (host.contains(":") ? "::" : "0.0.0.0") }
    }

    package var includeLoopback: Bool { list.contains { ["*", "localhost", "127.0.0.1", "0.0.0.0", "::", "::1"].contains($0) } }
}
