import Postgres
import PostgresModel

/// What the files of a node's server should say.
struct DesiredFiles {
    let file: ClusterFile
    let node: ClusterFile.Node
    let placement: ClusterFile.Placement
    let layout: InstanceLayout
    let major: Int
    let hasChecksums: Bool
    /// Nil on the primary.
    let upstream: ClusterFile.Node?
    /// The repository's host, as this node sees it.
    let repositoryAddress: String?
    /// Settings that stay as they are, on a server that was there before us.
    var untouched: Set<String> = []
    /// What it must have besides (`RequiredSettings`).
    var required: [(name: String, value: String)] = []
    var tls = TLSStage()

    /// Those that are not the user's own.
    static let settingNames =
        [
            "listen_addresses", "port", "cluster_name", "unix_socket_directories", "hot_standby_feedback", "wal_log_hints",
            "summarize_wal", "max_slot_wal_keep_size", "primary_conninfo", "primary_slot_name", "recovery_min_apply_delay",
            "ssl", "ssl_cert_file", "ssl_key_file", "ssl_min_protocol_version",
        ] + RequiredSettings.names

    var files: InstanceFiles {
        InstanceFiles(include: include, accessRules: accessRules, passfile: passfile, isStandby: upstream != nil)
    }

    // MARK: Settings

    /// In the order in which they are written; later ones are the user's and win.
    var settings: [(name: String, value: String)] {
        var settings = [("listen_addresses", listenAddresses), ("port", "\(placement.port)"), ("cluster_name", node.name)]
        if layout.kind == .plain { settings.append(("unix_socket_directories", layout.sockets)) }
        settings += required.map { ($0.name, $0.value) }
        settings.append(("hot_standby_feedback", "on"))
        // Without checksums pg_rewind cannot tell otherwise what changed (PostgreSQL documentation: pg_rewind).
        if !hasChecksums { settings.append(("wal_log_hints", "on")) }
        if major >= 17 { settings.append(("summarize_wal", "on")) }
        if let budget = file.replication.slotBudget { settings.append(("max_slot_wal_keep_size", "\(budget.rawValue >> 20)MB")) }
        if let upstream, let address = upstream.placement {
            settings.append(("primary_conninfo", conninfo(to: address)))
            settings.append(("primary_slot_name", node.slot))
        }
        if let delay = placement.delaySeconds { settings.append(("recovery_min_apply_delay", "\(Int(delay * 1000))ms")) }
        if let server = tls.server {
            settings += [
                ("ssl", "on"), ("ssl_cert_file", server.certificate), ("ssl_key_file", server.key),
                ("ssl_min_protocol_version", "TLSv1.2"),
            ]
        }
        settings.removeAll { untouched.contains($0.0) }
        for parameter in file.postgres.parameters {
            settings.removeAll { $0.0 == parameter.name }
            settings.append((parameter.name, parameter.value))
        }
        return settings.map { (name: $0.0, value: $0.1) }
    }

    private var listenAddresses: String {
        HostName(placement.host).isAddress ? "localhost,\(placement.host)" : "*"
    }

    /// How this node follows another.
    func conninfo(to upstream: ClusterFile.Placement) -> String {
        ConnectionText.make(conninfoFields(to: upstream))
    }

    func conninfoFields(to upstream: ClusterFile.Placement) -> [(String, String)] {
        [
            ("host", upstream.host), ("port", "\(upstream.port)"), ("user", ClusterRoles.standby), ("passfile", layout.passfile),
            ("application_name", node.name),
        ] + (tls.trusted.map { ConnectionText.verifying($0).map { ($0.keyword, $0.value) } } ?? [])
    }

    /// What tells whose our file of settings is.
    static func mark(of cluster: String) -> String { "of the cluster \"\(cluster)\"" }

    private var include: String {
        ([
            "# Written by `pgark apply` for \(node.name) \(Self.mark(of: file.name)); what is changed in here is changed back.",
            "# Your own settings: postgres.parameters in the cluster file, or postgresql.conf for what is not in here.",
        ] + settings.map { SettingsText.line($0.name, $0.value) }).joined(separator: "\n") + "\n"
    }

    // MARK: Access

    private var accessRules: [String] {
        let kind = tls.isRequired ? "hostssl" : "host"
        let members = file.nodes.compactMap { node in node.placement.map { (node.name, $0.host) } }
        var rules = members.filter { $0.0 != node.name }.map { member in
            "\(kind) replication,postgres \(ClusterRoles.standby) \(Self.address(member.1)) scram-sha-256"
        }
        if let repositoryAddress {
            rules.append("\(kind) all,replication \(ClusterRoles.repository) \(Self.address(repositoryAddress)) scram-sha-256")
        }
        // What these lines do not match goes on to the user's own, which may match anybody.
        if tls.isRequired { rules.append("hostnossl all,replication \(ClusterRoles.all.joined(separator: ",")) all reject") }
        return rules + file.postgres.accessRules
    }

    static func address(_ host: String) -> String {
        if host.contains(":") { return host + "/128" }
        return host.allSatisfy { $0.isNumber || $0 == "." } ? host + "/32" : host
    }

    private var passfile: String {
        // Its own line too: the password is known from here also while there is no other node.
        "# Written by `pgark apply`.\n"
            + file.nodes.compactMap(\.placement).map { place in
                "\(Passfile.line(place.host, "\(place.port)", ClusterRoles.standby, Secrets.password(of: ClusterRoles.standby)))\n"
            }.joined()
    }
}
