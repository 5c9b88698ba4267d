import Postgres
import PostgresModel

/// The questions to a server's superuser.
struct ServerQueries {
    let connection: Connection

    func facts(settings: [String]) throws -> ServerFacts {
        let row = try connection.query(
            """
            SELECT pg_is_in_recovery() AS in_recovery, (SELECT system_identifier FROM pg_control_system()) AS system,
                   CASE WHEN pg_is_in_recovery() THEN NULL
                        ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS own_timeline,
                   (SELECT received_tli FROM pg_stat_wal_receiver) AS received_timeline,
                   (SELECT timeline_id FROM pg_control_checkpoint()) AS checkpoint_timeline,
                   extract(epoch FROM pg_conf_load_time()) AS files_read,
                   (SELECT sum(pg_database_size(oid)) FROM pg_database) AS bytes,
                   NOT pg_is_in_recovery()
                   AND NOT EXISTS (SELECT FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1'))
                   AND NOT EXISTS (SELECT FROM pg_class WHERE oid >= 16384)
                   AND NOT EXISTS (SELECT FROM pg_authid WHERE oid >= 16384)
                   AND NOT EXISTS (SELECT FROM pg_replication_slots) AS pristine
            """
        ).first
        guard let row else { throw Failure(.protocolViolation, "could not observe the server: an empty answer") }
        let timeline = [row["own_timeline"], row["received_timeline"], row["checkpoint_timeline"]].compactMap { $0 }.first
        return ServerFacts(
            version: connection.serverVersion.number, isInRecovery: row["in_recovery"] == "t",
            systemIdentifier: row["system"].flatMap { UInt64($0) } ?? 0, timeline: timeline.flatMap { UInt32($0) } ?? 0,
            settings: try self.settings(settings), roles: try roles(), slots: try slots(), senders: try senders(),
            receiver: try receiver(), isPristine: row["pristine"] == "t",
            databaseBytes: row["bytes"].flatMap { Int($0) } ?? 0, filesRead: row["files_read"].flatMap { Double($0) } ?? 0,
            fileErrors: try fileErrors())
    }

    /// What is wrong in the configuration files, with which a server goes on that has read them, and would not start. That a setting
    /// waits for a restart is no error (PostgreSQL documentation: 52.8 pg_file_settings, 52.9 pg_hba_file_rules).
    func fileErrors() throws -> [String] {
        // To read them tells this process what waits for a restart.
        _ = try connection.query("SELECT count(*) FROM pg_file_settings")
        return try connection.query(
            """
            SELECT format('%s, line %s: %s: %s', f.sourcefile, f.sourceline, f.name, f.error) AS error
            FROM pg_file_settings f LEFT JOIN pg_settings s ON s.name = f.name
            WHERE f.error IS NOT NULL AND NOT (f.error = 'setting could not be applied' AND coalesce(s.pending_restart, false))
            UNION ALL
            SELECT format('pg_hba.conf, line %s: %s', line_number, error) FROM pg_hba_file_rules WHERE error IS NOT NULL
            """
        ).compactMap { $0["error"] }
    }

    private func settings(_ names: [String]) throws -> [String: ServerFacts.Setting] {
        let rows = try connection.query(
            """
            SELECT name, setting, current_setting(name) AS text, source, sourcefile, pending_restart, context
            FROM pg_settings WHERE name = ANY ($1)
            """, ["{" + names.map { "\"\($0)\"" }.joined(separator: ",") + "}"])
        return Dictionary(
            rows.map { row in
                (
                    row["name"] ?? "",
                    ServerFacts.Setting(
                        value: row["setting"] ?? "", text: row["text"] ?? "", source: row["source"] ?? "",
                        file: row["sourcefile"],
                        isPending: row["pending_restart"] == "t", context: row["context"] ?? "")
                )
            }, uniquingKeysWith: { a, _ in a })
    }

    /// What each role that may log in and is not the system's own may do beyond: memberships, functions, tables.
    func roles() throws -> [String: ServerFacts.Role] {
        let rows = try connection.query(
            """
            SELECT a.rolname, a.rolcanlogin, a.rolreplication, a.rolsuper, a.rolpassword,
                   ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = a.oid
                         UNION ALL
                         SELECT 'function ' || p.oid::regprocedure::text
                         FROM pg_proc p, aclexplode(p.proacl) x WHERE x.grantee = a.oid AND x.privilege_type = 'EXECUTE'
                         UNION ALL
                         SELECT 'table ' || c.oid::regclass::text
                         FROM pg_class c, aclexplode(c.relacl) x WHERE x.grantee = a.oid AND x.privilege_type = 'SELECT'
                         ORDER BY 1) AS grants
            FROM pg_authid a WHERE a.oid >= 16384 OR a.rolname = 'postgres'
            """)
        var roles: [String: ServerFacts.Role] = [:]
        for row in rows {
            guard let name = row["rolname"] else { continue }
            roles[name] = ServerFacts.Role(
                mayLogIn: row["rolcanlogin"] == "t", mayReplicate: row["rolreplication"] == "t",
                isSuperuser: row["rolsuper"] == "t", verifier: row["rolpassword"],
                grants: ArrayText.elements(row["grants"] ?? "{}"))
        }
        return roles
    }

    private func slots() throws -> [String: ServerFacts.Slot] {
        let rows = try connection.query(
            """
            SELECT slot_name, slot_type, active, restart_lsn IS NOT NULL AS reserved, wal_status
            FROM pg_replication_slots WHERE NOT temporary
            """)
        return Dictionary(
            rows.map { row in
                (
                    row["slot_name"] ?? "",
                    ServerFacts.Slot(
                        isPhysical: row["slot_type"] == "physical", isActive: row["active"] == "t",
                        isReserved: row["reserved"] == "t", walStatus: row["wal_status"])
                )
            }, uniquingKeysWith: { a, _ in a })
    }

    private func senders() throws -> [ServerFacts.Sender] {
        try connection.query(
            """
            SELECT r.application_name, r.state, s.slot_name, t.ssl
            FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
                 LEFT JOIN pg_stat_ssl t ON t.pid = r.pid
            ORDER BY 1
            """
        ).map {
            .init(
                application: $0["application_name"] ?? "", state: $0["state"] ?? "", slot: $0["slot_name"],
                isEncrypted: $0["ssl"] == "t")
        }
    }

    private func receiver() throws -> ServerFacts.Receiver? {
        try connection.query("SELECT status, slot_name, sender_host, sender_port FROM pg_stat_wal_receiver").first.map { row in
            .init(
                status: row["status"] ?? "", slot: row["slot_name"].flatMap { $0.isEmpty ? nil : $0 }, host: row["sender_host"],
                port: row["sender_port"].flatMap { Int($0) })
        }
    }
}

/// PostgreSQL's text form of an array of text.
enum ArrayText {
    static func elements(_ text: String) -> [String] {
        var elements: [String] = []
        var current = "", isQuoted = false, isEscaped = false
        for character in text.dropFirst().dropLast() {
            if isEscaped {
                current.append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "\"" {
                isQuoted.toggle()
            } else if character == ",", !isQuoted {
                elements.append(current)
                current = ""
            } else {
                current.append(character)
            }
        }
        if !current.isEmpty || !elements.isEmpty { elements.append(current) }
        return elements
    }
}
