import Postgres

/// The roles of the lab's cluster, each with no more than it needs.
struct LabRoles {
    let passwords: LabPasswords

    /// All of it in one transaction: where the roles are there, so is everything else, and nothing is done.
    func apply(to admin: Connection) throws {
        guard try admin.query("SELECT FROM pg_roles WHERE rolname = 'pgark'").isEmpty else { return }
        try admin.query("BEGIN")
        for role in ["replicator", "pgark"] {
            // The server sees only the SCRAM verifier, never the password.
            let verifier = try PasswordVerifier.scram(passwords[role])
            try admin.query("CREATE ROLE \(role) LOGIN REPLICATION PASSWORD '\(verifier)'")
        }
        try grant(admin)
        try admin.query("COMMIT")
    }

    private func grant(_ admin: Connection) throws {
        // pg_monitor shows the statistics and all settings; pg_read_server_files opens the paths of the configuration
        // files, and the functions below read them (PostgreSQL documentation: 21.5, 9.28.9).
        try admin.query("GRANT pg_monitor, pg_read_server_files TO pgark")
        for view in ["pg_file_settings", "pg_hba_file_rules", "pg_ident_file_mappings"] {
            try admin.query("GRANT SELECT ON pg_catalog.\(view) TO pgark")
        }
        for signature in try signatures(admin) { try admin.query("GRANT EXECUTE ON FUNCTION \(signature) TO pgark") }
    }

    /// All variants of the functions, whose arguments differ between versions. pg_switch_wal is for `pgark wal switch`.
    private func signatures(_ admin: Connection) throws -> [String] {
        try admin.query(
            """
            SELECT oid::regprocedure::text FROM pg_proc
            WHERE pronamespace = 'pg_catalog'::regnamespace
              AND proname IN ('pg_read_file', 'pg_read_binary_file', 'pg_stat_file', 'pg_ls_dir', 'pg_show_all_file_settings',
                              'pg_hba_file_rules', 'pg_ident_file_mappings', 'pg_switch_wal')
            """
        ).compactMap { $0[0] }
    }
}
