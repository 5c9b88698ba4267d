import Hosts
import Postgres
import PostgresModel
import SystemPackage

/// Steps 1 to 5: a primary, a standby, a repository, and databases that travel.
extension Tour {
    func primary() throws {
        try hosts.primary()
        try hosts.roles()
        try proveSettings()
        try proveRoles()
        systemIdentifier = try value(hosts.node1, "SELECT system_identifier FROM pg_control_system()")
        try prove("node1 accepts writes", try value(hosts.node1, "SELECT NOT pg_is_in_recovery()"), is: "t")
    }

    private func proveSettings() throws {
        var expected = [
            ("wal_level", "replica"), ("hot_standby", "on"), ("hot_standby_feedback", "on"), ("max_wal_senders", "10"),
            ("max_replication_slots", "10"), ("data_checksums", "on"), ("password_encryption", "scram-sha-256"),
            ("listen_addresses", "127.0.0.1"),
        ]
        if hosts.programs.version.major >= 17 { expected.append(("summarize_wal", "on")) }
        let connection = try hosts.connect(to: hosts.node1)
        for (name, value) in expected { try prove(name, try connection.show(name), is: value) }
        for name in ["config_file", "hba_file", "ident_file"] {
            let path = FilePath(try connection.show(name) ?? "")
            try prove(
                "\(name) is outside the data directory", path.removingLastComponent() == hosts.node1.places.configuration,
                expected: "in \(hosts.node1.places.configuration)", seen: path.string)
        }
    }

    private func proveRoles() throws {
        let rows = try ask(
            hosts.node1,
            """
            SELECT rolname, rolsuper, rolreplication, rolpassword LIKE 'SCRAM-SHA-256$%'
            FROM pg_authid WHERE rolname IN ('replicator', 'pgark') ORDER BY rolname
            """)
        let seen = rows.map { "\($0[0] ?? "") superuser=\($0[1] ?? "") replication=\($0[2] ?? "") scram=\($0[3] ?? "")" }
        try prove(
            "the roles have what they need and no more", seen.joined(separator: "; "),
            is: "pgark superuser=f replication=t scram=t; replicator superuser=f replication=t scram=t")
    }

    func standby() throws {
        try hosts.standby()
        let sender = try eventually("node2 streams", expected: "application node2, state streaming, in pg_stat_replication") {
            try ask(
                hosts.node1,
                "SELECT state, usename FROM pg_stat_replication WHERE application_name = 'node2' AND state = 'streaming'"
            ).first
        }
        try prove("pg_stat_replication, application node2: state", sender[0], is: "streaming")
        try prove("pg_stat_replication, application node2: usename", sender[1], is: "replicator")
        let receiver = try eventually("node2 receives", expected: "a row in pg_stat_wal_receiver with status streaming") {
            try ask(hosts.node2, "SELECT status, slot_name, conninfo FROM pg_stat_wal_receiver WHERE status = 'streaming'").first
        }
        try prove("pg_stat_wal_receiver: status", receiver[0], is: "streaming")
        try prove("pg_stat_wal_receiver: slot_name", receiver[1], is: LabHosts.standbySlot)
        let shown = receiver[2] ?? ""
        try prove(
            "node2's connection string has no password of its own", !shown.contains("password="),
            expected: "only a passfile", seen: shown.contains("password=") ? "a password" : "only a passfile")
        try proveSlot(LabHosts.standbySlot, usedBy: "node2")
        try prove("node2 is read-only", try value(hosts.node2, "SELECT pg_is_in_recovery()"), is: "t")
    }

    private func proveSlot(_ slot: String, usedBy application: String) throws {
        let row = try ask(
            hosts.node1,
            """
            SELECT s.slot_type, s.active, r.application_name, s.wal_status
            FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE s.slot_name = '\(slot)'
            """
        ).first
        try prove("slot \(slot): active", row?[1], is: "t")
        try prove("slot \(slot): used by application", row?[2], is: application)
        try prove("slot \(slot): wal_status", row?[3], is: "reserved")
    }

    func receiver() throws {
        try hosts.repository()
        tell(.remark("from here on PGARK_CONFIG=\(hosts.home.clusterFile)"))
        tell(.command("$ pgark wal receive &"))
        try hosts.receiver()
        try proveSlot(LabHosts.receiverSlot, usedBy: "pgark")
        try proveReceived("new WAL is durable in the repository")
        let status: WALStatusDocument = try json(["wal", "status"])
        try prove("wal status: connected", String(status.connected), is: "true")
        try prove("wal status: gaps", String(status.gaps.count), is: "0")
    }

    /// Makes some WAL and waits until the receiver has reported it flushed, which it may only after fdatasync.
    func proveReceived(_ name: String) throws {
        let made = try value(hosts.node1, "SELECT pg_create_restore_point('tour')") ?? ""
        let flushed = try eventually(name, expected: "flush_lsn of application pgark at \(made) or later") {
            try value(
                hosts.node1,
                "SELECT flush_lsn FROM pg_stat_replication WHERE application_name = 'pgark' AND flush_lsn >= '\(made)'")
        }
        try prove(name, true, expected: made, seen: "flushed up to \(flushed), written up to \(made)")
    }

    func firstDatabase() throws {
        try sql(hosts.node1, "CREATE DATABASE otus_test")
        let begin = Deadline.now
        _ = try eventually("otus_test is on node2", expected: "a row in pg_database") {
            try databases(on: hosts.node2).contains("otus_test") ? true : nil
        }
        let seconds = Double(Deadline.now - begin) / 1e9
        tell(.command("node2=# \\l"))
        try prove(
            "databases on node2", try databases(on: hosts.node2).joined(separator: ", "),
            is: "otus_test, postgres, template0, template1")
        let lag = try value(
            hosts.node1,
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication WHERE application_name = 'node2'")
        try prove(
            "lag of node2", Int(lag ?? "") != nil, expected: "a number of bytes",
            seen: "\(lag ?? "?") bytes, visible \(decimal(seconds * 1000, places: 0)) ms after the commit")
    }

    func databases(on server: PostgresInstance) throws -> [String] {
        try ask(server, "SELECT datname FROM pg_database ORDER BY datname COLLATE \"C\"").compactMap { $0[0] }
    }

    func secondDatabase() throws {
        try sql(hosts.node1, "CREATE DATABASE otus")
        try sql(hosts.node1, "CREATE TABLE public.test (id int, name varchar(30))", database: "otus")
        try sql(hosts.node1, "INSERT INTO public.test VALUES (1, 'alex')", database: "otus")
        let row = try eventually("the row is on node2", expected: "1, alex in table test of otus") { () -> String? in
            guard try databases(on: hosts.node2).contains("otus"),
                try value(hosts.node2, "SELECT to_regclass('public.test')", database: "otus") != nil
            else { return nil }
            return try rows(on: hosts.node2).first
        }
        try prove("node2/otus: table test", row, is: "1, alex")
    }

    /// The rows of the table that the accident will take away.
    func rows(on server: PostgresInstance) throws -> [String] {
        try ask(server, "SELECT id, name FROM public.test ORDER BY id", database: "otus").map { "\($0[0] ?? ""), \($0[1] ?? "")" }
    }
}
