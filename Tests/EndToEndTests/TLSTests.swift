import Glibc
import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Connections between hosts that know whom they talk to. PostgreSQL 15 here is the one of packages, built with TLS.
@Suite("TLS between hosts", .serialized, .enabled(if: TestMachine.majors.contains(15)))
struct TLSTests {
    private static func text(tls: String) -> String {
        """
        cluster: lab
        postgres: { version: 15, parameters: { shared_buffers: 32MB }, hba: [ "host all all 192.168.20.0/24 scram-sha-256" ] }
        nodes:
          node1: { host: 192.168.20.228 }
          node2: { host: 192.168.20.229 }
        repository: { host: 192.168.20.230, path: /var/lib/pgark }
        tls: \(tls)

        """
    }

    private static let data = "/var/lib/postgresql/15/main"
    private static let own = data + ".pgark-tls"
    private static let given = "{ certificate: /etc/db/db.crt, key: /etc/db/db.key, ca: /etc/db/ca.crt }"

    private static func sql(_ hosts: TestHosts, _ node: String, _ statement: String) throws -> String {
        try hosts[node].sql(statement, hosts.programs, sockets: "/var/run/postgresql")
    }

    /// Slots on node1 through which somebody streams, each with whether that is over TLS.
    private static func streams(_ hosts: TestHosts) throws -> String {
        try sql(
            hosts, "node1",
            """
            SELECT string_agg(slot_name || ' ' || ssl, ', ' ORDER BY slot_name) FROM pg_replication_slots s
            JOIN pg_stat_replication r ON r.pid = s.active_pid JOIN pg_stat_ssl t ON t.pid = r.pid WHERE r.state = 'streaming'
            """)
    }

    private static let bothOverTLS = "node2 true, pgark true"

    private static func sendAway(_ hosts: TestHosts) throws {
        _ = try sql(hosts, "node1", "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_replication")
    }

    private static func starts(_ hosts: TestHosts) throws -> [String] {
        try ["node1", "node2"].map { try sql(hosts, $0, "SELECT pg_postmaster_start_time()") }
    }

    /// As one of pgark's roles, with its password, from another host.
    private static func connect(_ hosts: TestHosts, from host: String, passfile: String, _ connection: String) throws -> String {
        let psql = hosts.programs.path(of: "psql"), more = "host=192.168.20.228 dbname=postgres passfile=\(passfile)"
        let outcome = try hosts[host].command([psql.string, "-XAt", "\(more) \(connection)", "-c", "SELECT 'in'"]).outcome()
        return outcome.output + outcome.errors
    }

    /// Signs node1's key with an authority on the repository's host, and puts what comes out on node1.
    private static func certify(_ hosts: TestHosts, by authority: String, from begin: String, to end: String) throws {
        let request = try hosts["node1"].run("openssl req -new -key \(own)/server.key -subj /CN=node1")
        let certificate = try hosts["repo"].run(
            """
            rm -rf /etc/signing; mkdir /etc/signing; cd /etc/signing; touch index
            cat > request <<'.'
            \(request).
            cat > configuration <<'.'
            [ca]
            default_ca = own
            [own]
            database = /etc/signing/index
            new_certs_dir = /etc/signing
            rand_serial = yes
            default_md = sha256
            policy = policy
            x509_extensions = extensions
            [policy]
            commonName = supplied
            [extensions]
            subjectAltName = IP:192.168.20.228
            extendedKeyUsage = serverAuth
            .
            openssl ca -batch -notext -config configuration -in request -out certificate -startdate \(begin) -enddate \(end) \
                -cert \(authority).crt -keyfile \(authority).key >/dev/null 2>&1
            cat certificate
            """)
        try hosts["node1"].run("cat > \(own)/server.crt <<'.'\n\(certificate).\npg_ctlcluster 15 main reload")
    }

    private static func days(_ count: Double) -> String {
        (Timestamp.now - -count * 86400).compactText.filter { $0 != "T" }
    }

    @Test("is there from the first moment; who is not of the cluster's authority is refused, and so is who comes without")
    func fromNothing() throws {
        try TestHosts.with(["node1", "node2", "repo"], major: 15) { hosts in
            try hosts.write(Self.text(tls: "cluster"))
            let applied = try hosts.json(0, "apply", "--yes")
            #expect(applied.failed.array.isEmpty && applied.skipped.int == 0)
            #expect(try Self.streams(hosts) == Self.bothOverTLS)
            let again = try hosts.pgark("apply", "--yes")
            #expect(again.errors.contains("nothing to do"), "\(again.text)")
            try hosts.json(0, "backup")
            #expect(try hosts.json(0, "check").ok.bool == true)

            // Keys are where they belong, and their owner's.
            #expect(
                try hosts["repo"].run("stat -c '%a %U' /etc/pgark/lab-ca.key /etc/pgark/lab-ca.crt") == "600 root\n644 root\n")
            #expect(
                try hosts["node1"].run("stat -c '%a %U' \(Self.own) \(Self.own)/server.key") == "700 postgres\n600 postgres\n")
            let secret = try hosts["repo"].run("sed -n 2p /etc/pgark/lab-ca.key").split(separator: "\n")[0]
            #expect(secret.count == 64)
            for host in [hosts["node1"], hosts["node2"], hosts.control] {
                let places = "/etc/pgark /etc/postgresql /var/lib/postgresql /var/lib/pgark-apply /var/log/postgresql"
                #expect(try host.run("grep -rlF -D skip '\(secret)' \(places) 2>/dev/null || true") == "")
                #expect(try host.run("ls /etc/pgark 2>/dev/null || true").contains("ca.key") == false)
            }
            #expect(try hosts["repo"].run("ls -A /etc/pgark").contains(".lab-ca") == false)
            let own = try hosts["node2"].run(
                "openssl x509 -noout -ext subjectAltName,extendedKeyUsage -in \(Self.own)/server.crt")
            #expect(own.contains("IP Address:192.168.20.229, DNS:node2") && own.contains("TLS Web Server Authentication"))

            // The user's own line would let them in without TLS.
            for (host, passfile, role) in [
                ("node2", "/var/lib/postgresql/15/.pgark.pgpass", "pgark_standby"), ("repo", "/etc/pgark/lab.pgpass", "pgark"),
            ] {
                let plain = try Self.connect(hosts, from: host, passfile: passfile, "user=\(role) sslmode=disable")
                #expect(plain.contains("pg_hba.conf rejects connection") && plain.contains("no encryption"), "\(plain)")
                #expect(try Self.connect(hosts, from: host, passfile: passfile, "user=\(role) sslmode=require") == "in\n")
            }

            // Somebody else's certificate, for the right name.
            try hosts["repo"].run(
                """
                openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other -days 30 -keyout /etc/other.key -out /etc/other.crt 2>/dev/null
                """)
            try Self.certify(hosts, by: "/etc/other", from: Self.days(-1), to: Self.days(800))
            try Self.sendAway(hosts)
            let log = "/var/log/postgresql/postgresql-15-main.log"
            try eventually("node2 refuses it") { try hosts["node2"].run("cat \(log)").contains("certificate verify failed") }
            try eventually("the receiver refuses it") {
                try hosts["repo"].run("cat /var/log/pgark/lab/receive.log").contains("certificate verify failed")
            }
            #expect(try Self.sql(hosts, "node1", "SELECT count(*) FROM pg_stat_replication") == "0")
            let plan = try hosts.json(4, "plan", "--detailed-exitcode")
            let change = try #require(plan.changes.array.first { $0.object.string == "certificate" })
            #expect(change.from.string?.contains("not of the authority") == true, "\(plan)")
            try hosts.json(0, "apply", "--yes")
            try eventually("both stream again") { try Self.streams(hosts) == Self.bothOverTLS }

            // One whose life is nearly over.
            let starts = try Self.starts(hosts)
            try Self.certify(hosts, by: "/etc/pgark/lab-ca", from: Self.days(-100), to: Self.days(40))
            let due = try hosts.json(4, "plan", "--detailed-exitcode").changes.array.filter { $0.node.string == "node1" }
            #expect(due.count == 1 && due[0].from.string?.hasPrefix("ends on 20") == true, "\(due)")
            try hosts.json(0, "apply", "--yes")
            let dates = try hosts["node1"].run("openssl x509 -noout -checkend $((800 * 86400)) -in \(Self.own)/server.crt")
            #expect(dates.contains("will not expire"))
            #expect(try Self.starts(hosts) == starts && Self.streams(hosts) == Self.bothOverTLS)
            try hosts.json(0, "plan", "--detailed-exitcode")
        }
    }

    @Test(
        "is switched on and off under a running cluster, killed after each step: no server restarts, and everybody comes in again"
    )
    func switched() throws {
        try TestHosts.with(["node1", "node2", "repo"], major: 15) { hosts in
            try hosts.write(Self.text(tls: "off"))
            try hosts.json(0, "apply", "--yes")
            let starts = try Self.starts(hosts)
            for tls in ["cluster", "off"] {
                try hosts.write(Self.text(tls: tls))
                let plan = try hosts.json(0, "plan")
                #expect(plan.write_outage_seconds.double == 0 && plan.blocked_by.array.isEmpty)
                #expect(!plan.changes.array.contains { $0.effect.string == "restart" }, "\(plan)")
                var kills = 0
                // At its second line one step is done.
                while try !hosts.run("apply", "--yes", killedAtLine: 2) {
                    kills += 1
                    try #require(kills < 60, "there is no end to it")
                    if kills % 3 == 0 { try Self.sendAway(hosts) }
                    try eventually("both stream, \(tls), after \(kills) kills") {
                        try Self.sql(hosts, "node1", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "2"
                    }
                }
                #expect(kills >= 5)
                try hosts.json(0, "plan", "--detailed-exitcode")
                let sets = try Self.sql(hosts, "node2", "SHOW primary_conninfo")
                #expect(sets.contains("sslmode=verify-full") == (tls == "cluster"))
                let rules = try Self.sql(
                    hosts, "node1", "SELECT count(*) FROM pg_hba_file_rules WHERE type = 'hostssl' AND 'pgark' = ANY (user_name)")
                #expect(rules == (tls == "cluster" ? "1" : "0"))
                #expect(try Self.sql(hosts, "node1", "SHOW ssl_cert_file").contains("pgark-tls") == (tls == "cluster"))
                #expect(try hosts["repo"].run("ls /etc/pgark").contains("trusted") == (tls == "cluster"))
                if tls == "cluster" { try eventually("both over TLS") { try Self.streams(hosts) == Self.bothOverTLS } }
                try hosts.json(0, "backup")
            }
            #expect(try Self.starts(hosts) == starts)
        }
    }

    @Test("with certificates of somebody else, which are looked at first")
    func given() throws {
        try TestHosts.with(["node1", "node2", "repo"], major: 15) { hosts in
            func make(_ host: String, address: String) throws {
                try hosts[host].run(
                    """
                    mkdir -p /etc/db; cd /etc/db; cp /etc/passing/* .
                    openssl req -newkey rsa:2048 -nodes -subj /CN=db -keyout db.key -out request 2>/dev/null
                    printf 'subjectAltName=IP:\(address)\\nextendedKeyUsage=serverAuth\\n' > extensions
                    openssl x509 -req -in request -CA ca.crt -CAkey ca.key -set_serial 7 -days 20 -extfile extensions -out db.crt 2>/dev/null
                    rm ca.key; chmod 644 db.key; chown postgres db.key
                    """)
            }
            let authority = try hosts["repo"].run(
                """
                openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=own -days 30 -keyout /etc/own.key -out /etc/own.crt 2>/dev/null
                cat /etc/own.crt
                """)
            let key = try hosts["repo"].run("cat /etc/own.key")
            for (host, address) in [("node1", "192.168.20.228"), ("node2", "192.168.20.77")] {
                try hosts[host].run(
                    "mkdir /etc/passing; cd /etc/passing; cat > ca.crt <<'.'\n\(authority).\ncat > ca.key <<'.'\n\(key).")
                try make(host, address: address)
            }
            try hosts.write(Self.text(tls: Self.given))
            var plan = try hosts.json(0, "plan")
            let reasons = plan.blocked_by.array.compactMap(\.reason.string)
            #expect(reasons.count { $0.hasPrefix("others may read the key /etc/db/db.key") } == 2, "\(reasons)")
            #expect(reasons.contains { $0.contains("is for IP Address:192.168.20.77, and not for 192.168.20.229") }, "\(reasons)")
            #expect(!plan.changes.array.contains { $0.node.string != "repository" }, "\(plan)")
            for host in ["node1", "node2"] { try hosts[host].run("chmod 600 /etc/db/db.key") }
            try make("node2", address: "192.168.20.229")
            try hosts["node2"].run("chmod 600 /etc/db/db.key")
            plan = try hosts.json(0, "plan")
            #expect(plan.blocked_by.array.isEmpty, "\(plan)")
            #expect(plan.remarks.array.compactMap(\.string).count { $0.contains("its certificate ends on") } == 2)
            try hosts.json(0, "apply", "--yes")
            #expect(try Self.streams(hosts) == Self.bothOverTLS)
            #expect(try Self.sql(hosts, "node2", "SHOW primary_conninfo").contains("sslrootcert=/etc/db/ca.crt"))
            #expect(try hosts["repo"].run("cat /etc/pgark/lab-trusted.crt").hasSuffix(authority))
            try hosts.json(0, "plan", "--detailed-exitcode")
            // A new one is read without being told.
            try make("node1", address: "192.168.20.228")
            try hosts["node1"].run("chmod 600 /etc/db/db.key")
            let renewed = try hosts.json(4, "plan", "--detailed-exitcode").changes.array
            #expect(renewed.map(\.to.string) == ["shown by the server"], "\(renewed)")
            try hosts.json(0, "apply", "--yes")
            try hosts.json(0, "plan", "--detailed-exitcode")
        }
    }

    @Test("cannot be had of a PostgreSQL that was built without it: nothing is done there, and it is said why")
    func unsupported() throws {
        try TestHosts.with(["node1", "repo"], major: TestMachine.newest) { hosts in
            try hosts.write(
                """
                cluster: lab
                postgres: { version: \(hosts.programs.version.major), bin: \(hosts.programs.directory) }
                nodes: { node1: { host: 192.168.20.228, data: /var/lib/postgresql/data } }
                repository: { host: 192.168.20.229, path: /var/lib/pgark }
                tls: cluster

                """)
            let plan = try hosts.json(0, "plan")
            let isBuiltWith = try hosts["node1"].run(
                "setpriv --reuid postgres --regid postgres --init-groups \(hosts.programs.path(of: "postgres")) -C ssl_library "
                    + "-c config_file=/dev/null -D / 2>/dev/null"
            ).contains("OpenSSL")
            try #require(!isBuiltWith, "the newest PostgreSQL here has TLS; this test needs one without")
            #expect(plan.blocked_by.array.compactMap(\.reason.string) == ["its PostgreSQL was built without TLS"], "\(plan)")
            #expect(!plan.changes.array.contains { $0.node.string == "node1" })
        }
    }
}
