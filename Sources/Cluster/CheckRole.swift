import PostgresModel

/// Whether our role may do what it must, and no more than that.
struct RoleChecks {
    let node: String
    let server: ServerObservation

    private var role: ServerObservation.Role { server.role }
    private var name: String { identifier(role.name) }

    var results: [CheckResult] { [privilege, monitoring, configurationFiles] }

    private var privilege: CheckResult {
        if role.isSuperuser {
            return .warning(
                .role, node, "\(role.name) is a superuser: whoever reads its password owns the server",
                hint: "CREATE ROLE pgark LOGIN REPLICATION; GRANT pg_monitor TO pgark; and connect as pgark")
        }
        if role.mayReplicate { return .ok(.role, node, "\(role.name) has REPLICATION and is no superuser") }
        return .failed(
            .role, node, "\(role.name) lacks REPLICATION: it can neither stream WAL nor take a backup",
            hint: "ALTER ROLE \(name) REPLICATION;")
    }

    private var monitoring: CheckResult {
        if role.isMonitor { return .ok(.monitoring, node, "\(role.name) may read statistics and settings") }
        return .warning(
            .monitoring, node, "\(role.name) is no member of pg_monitor: standbys and settings are seen in part only",
            hint: "GRANT pg_monitor TO \(name);")
    }

    /// What lies in the data directory is part of every base backup; what lies elsewhere must be read through SQL.
    private var configurationFiles: CheckResult {
        guard let outside = server.configurationOutside else {
            return .warning(
                .configurationFiles, node, "\(role.name) may not see where the configuration files are: a backup may lack them",
                hint: "GRANT pg_read_all_settings TO \(name);")
        }
        let grants = (outside.isEmpty ? [] : readingGrants) + listingGrants
        let fact = outside.isEmpty ? "in the data directory, part of every backup" : "\(outside.count) outside the data directory"
        if grants.isEmpty { return .ok(.configurationFiles, node, outside.isEmpty ? fact : "\(fact), all readable") }
        let problem =
            outside.isEmpty || readingGrants.isEmpty
            ? "\(role.name) may not list included files: a backup may lack them"
            : "outside the data directory and not readable, so that backups lack them: \(outside.joined(separator: ", "))"
        return .warning(
            .configurationFiles, node, problem, hint: "In the database that pgark connects to: " + grants.joined(separator: " "))
    }

    private var readingGrants: [String] {
        [
            role.readsServerFiles ? nil : "GRANT pg_read_server_files TO \(name);",
            role.executesReadFile ? nil : "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO \(name);",
        ].compactMap { $0 }
    }

    private var listingGrants: [String] {
        if role.listsFileSettings { return [] }
        return [
            "GRANT SELECT ON pg_file_settings TO \(name);",
            "GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO \(name);",
        ]
    }
}
