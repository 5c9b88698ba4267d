/// The roles that pgark's own connections use, each with no more than it needs.
enum ClusterRoles {
    /// Of standbys, and of pg_rewind (PostgreSQL documentation: pg_rewind, Notes).
    static let standby = "pgark_standby"
    /// Of the repository: WAL, backups, checks.
    static let repository = "pgark"

    static let all = [repository, standby]

    /// As `ServerQueries` names them.
    static func grants(_ role: String) -> [String] {
        switch role {
        case repository:
            [
                "pg_monitor", "pg_read_server_files", "table pg_file_settings", "function pg_read_file(text)",
                "function pg_show_all_file_settings()", "function pg_read_binary_file(text,bigint,bigint,boolean)",
                "function pg_switch_wal()",
            ]
        default:
            [
                "function pg_ls_dir(text,boolean,boolean)", "function pg_stat_file(text,boolean)",
                "function pg_read_binary_file(text)", "function pg_read_binary_file(text,bigint,bigint,boolean)",
            ]
        }
    }

    /// What makes a role that is not there, with this instead of its password.
    static func creation(of role: String, verifier: String) -> [String] {
        ["CREATE ROLE \(role) LOGIN REPLICATION PASSWORD '\(verifier)'"] + grants(role).map { statement(granting: $0, to: role) }
    }

    static func statement(granting grant: String, to role: String) -> String {
        let words = grant.split(separator: " ", maxSplits: 1).map(String.init)
        return switch words[0] {
        case "function": "GRANT EXECUTE ON FUNCTION pg_catalog.\(words[1]) TO \(role)"
        case "table": "GRANT SELECT ON pg_catalog.\(words[1]) TO \(role)"
        default: "GRANT \(grant) TO \(role)"
        }
    }
}
