package import Postgres
import PostgresModel

/// What a server says of itself, and of who follows it, to whoever wants to have it in a cluster file.
package struct ServerSurvey: Codable, Sendable, Equatable {
    package var version: Int
    package var systemIdentifier: UInt64
    package var isInRecovery: Bool
    package var settings: [String: String]
    /// Of the server's programs; nil where the role may not know.
    package var programs: String?
    package var standbys: [Standby]
    /// Whom it follows.
    package var upstream: Upstream?
    /// The role that asked.
    package var role: String
    package var isSuperuser: Bool
    /// pgark's role; nil where there is none.
    package var repositoryRole: Role?
    /// From where we came, as the server sees it; nil over a socket.
    package var clientAddress: String?

    package struct Standby: Codable, Sendable, Equatable {
        package var application: String
        /// Nil where it came over a socket.
        package var address: String?
        package var slot: String?
    }

    package struct Upstream: Codable, Sendable, Equatable {
        package var host: String
        package var port: Int
        package var slot: String?
    }

    package struct Role: Codable, Sendable, Equatable {
        package var mayLogIn: Bool
        package var mayReplicate: Bool
        /// What it lacks of what it needs; known to a superuser only.
        package var missingGrants: [String]
    }

    package var major: Int { version / 10000 }
    package var port: Int { settings["port"].flatMap { Int($0) } ?? 5432 }
    package var data: String? { settings["data_directory"] }
    package var slot: String? { upstream?.slot ?? settings["primary_slot_name"].flatMap { $0.isEmpty ? nil : $0 } }

    /// Why nothing can stream from it; nil where that can be.
    package var obstacle: String? {
        if !ServerVersion.supportedMajors.contains(major) { return "it is PostgreSQL \(major), which pgark does not know" }
        if settings["wal_level"] == "minimal" {
            return "its wal_level is minimal, and WAL of that kind cannot be received: set it to replica, and restart it"
        }
        for name in ["max_wal_senders", "max_replication_slots"] where settings[name] == "0" {
            return "its \(name) is 0: set it to 10, and restart it"
        }
        return nil
    }

    static let settingNames = [
        "port", "data_directory", "hba_file", "cluster_name", "listen_addresses", "unix_socket_directories", "wal_level",
        "max_wal_senders", "max_replication_slots", "primary_conninfo", "primary_slot_name", "recovery_min_apply_delay",
        "synchronous_standby_names",
    ]
}

/// The questions behind it. Whoever may not know an answer gets none.
package struct SurveyQueries {
    let connection: Connection

    package init(_ connection: Connection) { self.connection = connection }

    package func survey() throws -> ServerSurvey {
        let row = try connection.query(
            """
            SELECT pg_is_in_recovery() AS in_recovery, (SELECT system_identifier FROM pg_control_system()) AS system,
                   current_user AS role, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
                   host(inet_client_addr()) AS client
            """
        ).first
        guard let row else { throw Failure(.protocolViolation, "could not survey the server: an empty answer") }
        let settings = try settings(), isSuperuser = row["superuser"] == "t"
        return ServerSurvey(
            version: connection.serverVersion.number, systemIdentifier: row["system"].flatMap { UInt64($0) } ?? 0,
            isInRecovery: row["in_recovery"] == "t", settings: settings,
            programs: isSuperuser ? try connection.query("SELECT setting FROM pg_config WHERE name = 'BINDIR'").first?[0] : nil,
            standbys: try standbys(), upstream: row["in_recovery"] == "t" ? try upstream(settings) : nil,
            role: row["role"] ?? "", isSuperuser: isSuperuser, repositoryRole: try role(asSuperuser: isSuperuser),
            clientAddress: row["client"])
    }

    private func settings() throws -> [String: String] {
        let names = "{\(ServerSurvey.settingNames.joined(separator: ","))}"
        let rows = try connection.query("SELECT name, setting FROM pg_settings WHERE name = ANY ($1)", [names])
        return Dictionary(
            rows.compactMap { row in row["name"].map { ($0, row["setting"] ?? "") } }, uniquingKeysWith: { a, _ in a })
    }

    /// Those that replay what they get: no archivers, no subscribers. A client that only stores WAL reports no replay position
    /// (PostgreSQL: src/bin/pg_basebackup/receivelog.c, sendFeedback).
    private func standbys() throws -> [ServerSurvey.Standby] {
        try connection.query(
            """
            SELECT r.application_name, host(r.client_addr) AS address, s.slot_name
            FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
            WHERE r.replay_lsn IS NOT NULL AND s.slot_type IS DISTINCT FROM 'logical' AND r.usename <> $1
              AND r.application_name <> $1
            ORDER BY r.application_name, r.pid
            """, [ClusterRoles.repository]
        ).map { .init(application: $0["application_name"] ?? "", address: $0["address"], slot: $0["slot_name"]) }
    }

    /// As it streams, else as it would.
    private func upstream(_ settings: [String: String]) throws -> ServerSurvey.Upstream? {
        let row = try connection.query("SELECT sender_host, sender_port, slot_name FROM pg_stat_wal_receiver").first
        if let host = row?["sender_host"], !host.isEmpty {
            let slot = row?["slot_name"].flatMap { $0.isEmpty ? nil : $0 }
            return .init(host: host, port: row?["sender_port"].flatMap { Int($0) } ?? 5432, slot: slot)
        }
        guard let text = settings["primary_conninfo"], !text.isEmpty else { return nil }
        let connection = ConnectionText(text)
        return .init(host: connection.host ?? "localhost", port: Int(connection.port) ?? 5432, slot: nil)
    }

    private func role(asSuperuser: Bool) throws -> ServerSurvey.Role? {
        let row = try connection.query(
            "SELECT rolcanlogin, rolreplication FROM pg_roles WHERE rolname = $1", [ClusterRoles.repository]
        ).first
        guard let row else { return nil }
        let known = asSuperuser ? try ServerQueries(connection: connection).roles()[ClusterRoles.repository]?.grants ?? [] : nil
        return .init(
            mayLogIn: row["rolcanlogin"] == "t", mayReplicate: row["rolreplication"] == "t",
            missingGrants: known.map { known in ClusterRoles.grants(ClusterRoles.repository).filter { !known.contains($0) } }
                ?? [])
    }
}
