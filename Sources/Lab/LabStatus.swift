import Hosts
import Postgres
package import PostgresModel
import Storage
import SystemPackage

/// The three hosts at a glance, as their servers report themselves.
package struct LabStatus: Encodable, Sendable {
    package let directory: String
    package let serverVersion: String
    package let hosts: [Host]
    package var isUp: Bool { hosts.prefix(3).allSatisfy { $0.state == .running } }

    package enum State: String, Encodable, Sendable { case running, stopped, missing, unreachable }

    package struct Host: Encodable, Sendable {
        package var name: String
        package var role: String
        package var state: State
        package var port: Int?
        package var pid: Int?
        package var timeline: Int?
        package var lsn: LSN?
        /// The slot on node1 that keeps this host's WAL.
        package var slot: String?
        package var slotActive: Bool?
        package var lagBytes: Int?
        package var lagSeconds: Double?
    }
}

extension LabStatus.Host {
    private enum Key: CodingKey { case name, role, state, port, pid, timeline, lsn, slot, slotActive, lagBytes, lagSeconds }

    /// What is not known is null, not left out.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(name, forKey: .name)
        try container.encode(role, forKey: .role)
        try container.encode(state, forKey: .state)
        try container.encode(port, forKey: .port)
        try container.encode(pid, forKey: .pid)
        try container.encode(timeline, forKey: .timeline)
        try container.encode(lsn, forKey: .lsn)
        try container.encode(slot, forKey: .slot)
        try container.encode(slotActive, forKey: .slotActive)
        try container.encode(lagBytes, forKey: .lagBytes)
        try container.encode(lagSeconds, forKey: .lagSeconds)
    }
}

extension LabHosts {
    package func status() throws -> LabStatus {
        let primary = try serverStatus(node1, role: "primary")
        var hosts = [primary, try standbyStatus(primary), try repositoryStatus(primary)]
        if try restored.exists { hosts.append(try serverStatus(restored, role: "restored")) }
        return LabStatus(directory: home.directory.string, serverVersion: "\(programs.version)", hosts: hosts)
    }

    private func serverStatus(_ server: PostgresInstance, role: String) throws -> LabStatus.Host {
        var host = LabStatus.Host(name: server.name, role: role, state: .stopped, port: server.port)
        guard let process = server.process else {
            if try !server.exists { host.state = .missing }
            return host
        }
        host.pid = Int(process.pid)
        do {
            try ask(server, about: &host)
            host.state = .running
        } catch let failure as Failure where failure.code == .serverUnreachable {
            host.state = .unreachable
        }
        return host
    }

    private func ask(_ server: PostgresInstance, about host: inout LabStatus.Host) throws {
        let row = try connect(to: server).query(
            """
            SELECT pg_is_in_recovery(),
                   CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                   CASE WHEN pg_is_in_recovery() THEN (SELECT received_tli FROM pg_stat_wal_receiver)
                        ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END
            """
        ).first
        if row?[0] == "t" { host.role = "standby" }
        host.lsn = row?[1].flatMap { LSN($0) }
        host.timeline = row?[2].flatMap { Int($0) }
    }

    private func standbyStatus(_ primary: LabStatus.Host) throws -> LabStatus.Host {
        var host = try serverStatus(node2, role: "standby")
        if let end = primary.lsn, let lsn = host.lsn { host.lagBytes = max(0, end - lsn) }
        if primary.state == .running {
            try addSender(application: node2.name, slot: Self.standbySlot, column: "replay", to: &host)
        }
        return host
    }

    private func repositoryStatus(_ primary: LabStatus.Host) throws -> LabStatus.Host {
        var host = LabStatus.Host(name: "repository", role: "receiver", state: .stopped)
        if let receiver = runningReceiver {
            host.state = .running
            host.pid = Int(receiver.pid)
        }
        if primary.state == .running {
            try addSender(application: "pgark", slot: Self.receiverSlot, column: "flush", to: &host)
        }
        if let end = primary.lsn, let lsn = host.lsn { host.lagBytes = max(0, end - lsn) }
        return host
    }

    /// What node1 says about the host: its slot, and where its stream is.
    private func addSender(application: String, slot: String, column: String, to host: inout LabStatus.Host) throws {
        let row = try connect(to: node1).query(
            """
            SELECT s.slot_name, s.active, r.\(column)_lsn, extract(epoch FROM r.\(column)_lag)
            FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid AND r.application_name = $2
            WHERE s.slot_name = $1
            """, [slot, application]
        ).first
        host.slot = row?[0]
        host.slotActive = row.map { $0[1] == "t" }
        if host.lsn == nil { host.lsn = row?[2].flatMap { LSN($0) } }
        host.lagSeconds = row?[3].flatMap { Double($0) } ?? (row?[2] == nil ? nil : 0)
    }
}
