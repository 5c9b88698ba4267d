import Postgres

extension Connection {
    /// Runs statements as a superuser, in one transaction. Nothing of it is logged: what a server keeps instead of a password may
    /// stand in it.
    func runUnlogged(_ statements: [String]) throws {
        for setting in ["log_statement = 'none'", "log_min_duration_statement = -1", "log_min_error_statement = 'panic'"] {
            try query("SET \(setting)")
        }
        // Where pg_stat_statements is not loaded this sets a name of nobody's, which is allowed.
        try query("SET pg_stat_statements.track_utility = off")
        try query("BEGIN")
        for statement in statements { try query(statement, timeoutSeconds: 3600) }  // a checkpoint may take that
        try query("COMMIT")
    }
}
