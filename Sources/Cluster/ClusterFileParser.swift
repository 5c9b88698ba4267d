import PostgresModel
import Repository
import Postgres
import Storage
package import SystemPackage

extension ClusterFile {
    /// Reads the text of a cluster file. Every problem in it is reported at once, each as "file:line:column: reason".
    package static func parse(text: String, path: FilePath) throws -> ClusterFile {
        var parser = ClusterFileParser(path: path)
        let file = parser.parse(text)
        let problems = parser.problems.list.sorted { $0.position < $1.position }
        if var file, problems.isEmpty {
            file.text = text
            return file
        }
        let count = problems.count == 1 ? "there is a problem" : "there are \(problems.count) problems"
        throw Failure(
            .configuration, "could not use the cluster file \(path): \(count)",
            details: problems.map { "\(path):\($0.position): \($0.reason)" },
            hint: "Correct the file, then run the command again.")
    }
}

/// From the text of a cluster file to what it says. Pure: nothing is read beside the text, nothing is connected to.
struct ClusterFileParser {
    let path: FilePath
    var problems = Problems()

    init(path: FilePath) { self.path = path }

    /// Nil only with problems; problems may be there with a value too.
    mutating func parse(_ text: String) -> ClusterFile? {
        guard let root = compose(text),
            let top = YAMLMapping(root, path: "", example: "cluster: shop", &problems)
        else { return nil }
        top.checkKeys(
            known: ["cluster", "nodes", "repository", "backup", "replication", "postgres", "tls"], planned: ["failover"],
            &problems)
        let name = name(top)
        let tls = tls(top)
        let nodes = nodes(top, tls)
        let repository = repository(top)
        if let repository { checkReceiverSlot(top, nodes ?? [], repository) }
        let backup = backup(top)
        let replication = replication(top)
        guard let name, let nodes, let repository else { return nil }
        return ClusterFile(
            path: Directory.absolute(path), name: name, nodes: nodes,
            postgres: postgres(top, hasTLS: tls != .off || nodes.contains { $0.placement?.tls != nil }),
            repository: repository, backup: backup, replication: replication, tls: tls)
    }

    private mutating func compose(_ text: String) -> YAMLNode? {
        do {
            if let node = try YAMLDocument.root(of: text) { return node }
            problems.add(.begin, "the file is empty; it must name at least cluster, nodes and repository")
        } catch let problem as YAMLDocument.Problem {
            problems.add(problem.position, problem.reason)
        } catch {
            problems.add(.begin, "\(error)")
        }
        return nil
    }

    // MARK: cluster

    private mutating func name(_ top: YAMLMapping) -> String? {
        guard let text = top.requiredText("cluster", example: "cluster: shop", &problems) else { return nil }
        return checkedName(text, of: "cluster")
    }

    static func isName(_ text: String) -> Bool {
        let isAllowed = text.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
        }
        return isAllowed && (1...63).contains(text.utf8.count) && !text.hasPrefix("-")
    }

    /// Names become directories and labels: letters, digits, - and _.
    private mutating func checkedName(_ text: Located<String>, of what: String) -> String? {
        if Self.isName(text.value) { return text.value }
        problems.add(
            text.position,
            "\"\(text.value)\" cannot name a \(what): letters, digits, - and _ may occur, at most 63 of them, not - first")
        return nil
    }

    // MARK: nodes

    private static let nodesExample = "nodes: { node1: { host: 10.0.0.11 } }"

    private mutating func nodes(_ top: YAMLMapping, _ tls: ClusterFile.TLS) -> [ClusterFile.Node]? {
        guard let mapping = top.requiredMapping("nodes", example: Self.nodesExample, &problems) else { return nil }
        if mapping.entries.isEmpty { problems.add(mapping.position, "\"nodes\" is empty; write \(Self.nodesExample)") }
        mapping.checkKeys(known: mapping.entries.map(\.key.value), &problems)
        var nodes: [ClusterFile.Node] = []
        for (key, value) in mapping.entries {
            if key.value == Plan.repositoryHost {
                problems.add(
                    key.position, "a node cannot be named \"repository\", as the repository's host is in plans; rename it")
            }
            guard let name = checkedName(key, of: "node"), let node = node(value, name) else { continue }
            if let twin = nodes.first(where: { $0.connection == node.connection }) {
                problems.add(key.position, "nodes \"\(twin.name)\" and \"\(name)\" have the same connection")
            }
            nodes.append(node)
        }
        checkUpstreams(mapping, nodes)
        checkSlots(mapping, nodes)
        checkCertificates(mapping, nodes, tls)
        return nodes.isEmpty ? nil : nodes
    }

    private mutating func checkUpstreams(_ mapping: YAMLMapping, _ nodes: [ClusterFile.Node]) {
        for node in nodes {
            guard let upstream = node.placement?.upstream else { continue }
            let position = mapping.position(of: node.name)
            if !nodes.contains(where: { $0.name == upstream }) {
                problems.add(
                    position,
                    "\"nodes.\(node.name).upstream\" is \"\(upstream)\", which is no node"
                        + Suggestion.text(for: upstream, among: nodes.map(\.name)))
                continue
            }
            var next: String? = upstream, seen: Set = [node.name]
            while let name = next, seen.insert(name).inserted { next = nodes.first { $0.name == name }?.placement?.upstream }
            if let name = next, name == node.name {
                problems.add(position, "\"nodes.\(node.name).upstream\" leads back to itself; one node must follow the primary")
            }
        }
    }

    /// Two that stream through one slot would each lose the WAL that the other has received.
    private mutating func checkSlots(_ mapping: YAMLMapping, _ nodes: [ClusterFile.Node]) {
        let managed = nodes.filter { $0.placement != nil }
        for (index, node) in managed.enumerated() {
            guard let twin = managed[..<index].first(where: { $0.slot == node.slot }) else { continue }
            problems.add(
                mapping.position(of: node.name),
                "nodes \"\(twin.name)\" and \"\(node.name)\" have the same slot, \(node.slot); give one of them another: slot: NAME"
            )
        }
    }

    private mutating func checkReceiverSlot(
        _ top: YAMLMapping, _ nodes: [ClusterFile.Node], _ repository: ClusterFile.RepositorySettings
    ) {
        for node in nodes where node.placement != nil && node.slot == repository.slot.description {
            problems.add(
                top.position(of: "nodes"),
                "node \"\(node.name)\" and the repository's WAL receiver have the same slot, \(node.slot); give one of them another: "
                    + "nodes.\(node.name).slot or repository.slot")
        }
    }

    private mutating func node(_ value: YAMLNode, _ name: String) -> ClusterFile.Node? {
        guard let node = YAMLMapping(value, path: "nodes.\(name)", example: "{ host: 10.0.0.11 }", &problems) else { return nil }
        node.checkKeys(
            known: ["connection", "host", "port", "user", "ssh", "data", "slot", "upstream", "delay", "tls"], &problems)
        for key in ["ssh", "data", "slot", "upstream", "delay", "tls"] where node.has("connection") && node.has(key) {
            problems.add(
                node.position(of: key),
                "\"nodes.\(name).\(key)\" is for a node that pgark sets up, which has a \"host\" and no \"connection\"")
        }
        guard let connection = connection(node, of: name) else { return nil }
        return ClusterFile.Node(name: name, connection: connection, placement: placement(node))
    }

    private mutating func placement(_ node: YAMLMapping) -> ClusterFile.Placement? {
        let ssh = node.text("ssh", &problems)?.value
        let data = node.value("data", expected: "an absolute path", &problems) { $0.hasPrefix("/") ? $0 : nil }
        let slot = node.value("slot", expected: Self.slotForm, &problems) { try? SlotName($0) }
        let upstream = node.text("upstream", &problems)?.value
        let delay = node.value(
            "delay", expected: "a span of time such as 1h (units: s, min, h, d, w)", &problems, DurationText.seconds)
        let tls = givenCertificate(node)
        guard !node.has("connection"), let host = node.text("host", &problems)?.value, !host.hasPrefix("/") else {
            return nil
        }
        let port = node.text("port", &problems).flatMap { Int($0.value) } ?? 5432
        return ClusterFile.Placement(
            host: host, port: port, ssh: ssh ?? host, data: data, slot: slot, upstream: upstream, delaySeconds: delay, tls: tls)
    }

    private mutating func connection(_ node: YAMLMapping, of name: String) -> String? {
        let connection = node.text("connection", &problems)
        let host = node.text("host", &problems)
        let port = node.value("port", expected: "a number from 1 to 65535", &problems) {
            Int($0).flatMap { (1...65535).contains($0) ? $0 : nil }
        }
        let user = node.text("user", &problems)
        if let connection {
            for key in ["host", "port", "user"] where node.has(key) {
                problems.add(
                    node.position(of: key),
                    "\"nodes.\(name).\(key)\" contradicts \"connection\", which says it too; keep one of them")
            }
            return withoutSecret(connection)
        }
        guard let host else {
            if !node.has("connection"), !node.has("host") {
                problems.add(node.position, "\"nodes.\(name)\" needs a \"host\" or a \"connection\"")
            }
            return nil
        }
        return ConnectionText.make([
            ("host", host.value), ("port", String(port ?? 5432)), ("user", user?.value ?? "pgark"), ("dbname", "postgres"),
        ])
    }

    private mutating func withoutSecret(_ connection: Located<String>) -> String? {
        let text = ConnectionText(connection.value)
        guard text.isConnectionString else {
            problems.add(
                connection.position,
                "\"\(connection.value)\" is no connection string; write \"host=HOST user=USER dbname=postgres\", or { host: HOST }"
            )
            return nil
        }
        guard let keyword = text.secretKeyword else { return connection.value }
        problems.add(
            connection.position,
            "a connection string here must not hold a \(keyword); keep it in a passfile that only you may read "
                + "(~/.pgpass or passfile=FILE, mode 0600, one line: host:port:*:user:password)")
        return nil
    }

    // MARK: repository

    private mutating func repository(_ top: YAMLMapping) -> ClusterFile.RepositorySettings? {
        guard let mapping = top.requiredMapping("repository", example: "repository: { path: /var/lib/pgark }", &problems)
        else { return nil }
        mapping.checkKeys(
            known: ["path", "compression", "slot", "host", "ssh", "user", "service"], planned: ["encryption"], &problems)
        let path = repositoryPath(mapping)
        let compression = mapping.value(
            "compression", expected: "zstd or zstd:N with N from 1 (fast) to 19 (small)", &problems, Self.compression)
        let slot = slot(mapping)
        guard let path, let slot else { return nil }
        let isRelative = mapping.text("path", &problems)?.value.hasPrefix("/") == false
        let host = mapping.text("host", &problems)?.value
        let service = mapping.value(
            "service",
            expected: "one of \(ClusterFile.RepositorySettings.Service.allCases.map(\.rawValue).joined(separator: ", "))",
            &problems, ClusterFile.RepositorySettings.Service.init)
        return ClusterFile.RepositorySettings(
            path: path, isRelative: isRelative, compression: compression ?? .standard, slot: slot, host: host,
            ssh: mapping.text("ssh", &problems)?.value ?? host, account: mapping.text("user", &problems)?.value,
            service: service ?? .automatic)
    }

    // MARK: postgres

    private mutating func postgres(_ top: YAMLMapping, hasTLS: Bool) -> ClusterFile.PostgresSettings {
        var settings = ClusterFile.PostgresSettings()
        guard let mapping = top.mapping("postgres", example: "postgres: { version: 18 }", &problems) else { return settings }
        mapping.checkKeys(known: ["version", "bin", "packages", "parameters", "hba"], &problems)
        let majors = ServerVersion.supportedMajors
        settings.major = mapping.value(
            "version", expected: "a major version from \(majors.lowerBound) to \(majors.upperBound)", &problems
        ) { Int($0).flatMap { majors.contains($0) ? $0 : nil } }
        settings.programs = mapping.value("bin", expected: "an absolute path", &problems) { $0.hasPrefix("/") ? $0 : nil }
        settings.installs =
            mapping.value("packages", expected: "apt or none", &problems) { ["apt": true, "none": false][$0] } ?? false
        if let parameters = mapping.mapping("parameters", example: "{ shared_buffers: 1GB }", &problems) {
            parameters.checkKeys(known: parameters.entries.map(\.key.value), &problems)
            for (key, _) in parameters.entries {
                guard let value = parameters.text(key.value, &problems) else { continue }
                let isOfTLS = hasTLS && Self.settingsOfTLS.contains(key.value.lowercased())
                if let reason = isOfTLS ? "is decided by \"tls\"; remove one of them" : ManagedParameters.refusal(key.value) {
                    problems.add(key.position, "\"postgres.parameters.\(key.value)\" \(reason)")
                } else {
                    settings.parameters.append((key.value.lowercased(), value.value))
                }
            }
        }
        settings.accessRules = mapping.texts("hba", example: "[ host all app 10.0.0.0/8 scram-sha-256 ]", &problems)
        return settings
    }

    private mutating func repositoryPath(_ mapping: YAMLMapping) -> FilePath? {
        guard let text = mapping.requiredText("path", example: "path: /var/lib/pgark", &problems) else { return nil }
        if mapping.has("host"), !text.value.hasPrefix("/") {
            problems.add(
                text.position, "\"repository.path\" must be an absolute path, as it is on another host, not \"\(text.value)\"")
            return nil
        }
        if text.value.contains("://") {
            problems.add(
                text.position, "\"repository.path\" must be a directory; other stores are not supported by this version of pgark")
            return nil
        }
        let directory = Directory.absolute(self.path).removingLastComponent()
        return directory.pushing(FilePath(text.value)).lexicallyNormalized()
    }

    private static func compression(_ text: String) -> CompressionLevel? {
        if text == "zstd" { return .standard }
        guard text.hasPrefix("zstd:") else { return nil }
        return Int(text.dropFirst(5)).flatMap { CompressionLevel($0) }
    }

    private mutating func slot(_ mapping: YAMLMapping) -> SlotName? {
        guard mapping.has("slot") else { return try? SlotName("pgark") }  // a right one
        return mapping.value("slot", expected: Self.slotForm, &problems) { try? SlotName($0) }
    }

    private static let slotForm = "1 to 63 of a-z, 0-9 and _"

    // MARK: backup, replication

    private mutating func backup(_ top: YAMLMapping) -> ClusterFile.BackupSettings {
        var settings = ClusterFile.BackupSettings()
        guard let mapping = top.mapping("backup", example: "backup: { maximum_age: 26h }", &problems) else { return settings }
        mapping.checkKeys(
            known: ["schedule", "maximum_age", "minimum_redundancy", "retention"], planned: ["drill"], &problems)
        schedule(mapping, &settings)
        settings.maximumAgeSeconds = mapping.value(
            "maximum_age", expected: "a span of time such as 26h or 7d (units: s, min, h, d, w)", &problems, DurationText.seconds)
        let redundancy = mapping.value("minimum_redundancy", expected: "a whole number, 0 or more", &problems) {
            Int($0).flatMap { $0 >= 0 ? $0 : nil }
        }
        if let redundancy { settings.minimumRedundancy = redundancy }
        retention(mapping, &settings)
        return settings
    }

    private mutating func schedule(_ backup: YAMLMapping, _ settings: inout ClusterFile.BackupSettings) {
        guard let text = backup.text("schedule", &problems) else { return }
        settings.scheduleIsGiven = true
        if text.value == "none" { return settings.schedule = nil }
        do throws(CronExpression.Problem) { settings.schedule = try CronExpression(text.value) } catch {
            problems.add(
                text.position,
                "\"backup.schedule\" must be minute, hour, day, month and weekday as in crontab(5), such as \"0 1 * * *\", "
                    + "or @daily or none, not \"\(text.value)\": \(error.reason)")
        }
    }

    private mutating func retention(_ backup: YAMLMapping, _ settings: inout ClusterFile.BackupSettings) {
        guard let mapping = backup.mapping("retention", example: "{ window: 7d, redundancy: 3 }", &problems) else { return }
        mapping.checkKeys(known: ["window", "redundancy", "minimum"], &problems)
        let window = mapping.value(
            "window", expected: "a span of time such as 7d or 4w (units: s, min, h, d, w)", &problems, DurationText.seconds)
        func count(_ key: String) -> Int? {
            mapping.value(key, expected: "a whole number, 1 or more", &problems) { Int($0).flatMap { $0 >= 1 ? $0 : nil } }
        }
        let redundancy = count("redundancy")
        let minimum = count("minimum")
        if let minimum, let redundancy, minimum > redundancy {
            problems.add(
                mapping.position(of: "minimum"),
                "\"backup.retention.minimum\" is \(minimum), more than \"redundancy\", which is \(redundancy)")
        }
        if let minimum, backup.has("minimum_redundancy"), settings.minimumRedundancy != minimum {
            problems.add(
                mapping.position(of: "minimum"),
                "\"backup.retention.minimum\" contradicts \"backup.minimum_redundancy\", which says it too; keep one of them")
        }
        if let minimum { settings.minimumRedundancy = minimum }
        settings.retention = RetentionPolicy(
            windowSeconds: window, redundancy: redundancy, minimum: settings.minimumRedundancy)
    }

    private mutating func replication(_ top: YAMLMapping) -> ClusterFile.ReplicationSettings {
        var settings = ClusterFile.ReplicationSettings()
        let example = "replication: { slots: { keep: 20GB } }"
        guard let mapping = top.mapping("replication", example: example, &problems) else { return settings }
        mapping.checkKeys(known: ["slots"], planned: ["durability"], &problems)
        guard let slots = mapping.mapping("slots", example: "{ keep: 20GB }", &problems) else { return settings }
        slots.checkKeys(known: ["keep", "then"], &problems)
        settings.slotBudget = slots.value("keep", expected: "a size such as 20GB (units: MB, GB, TB)", &problems) {
            ByteCount($0).flatMap { $0.rawValue > 0 ? $0 : nil }
        }
        let end = slots.value("then", expected: "reclone or wait", &problems, ClusterFile.ReplicationSettings.SlotEnd.init)
        if let end { settings.atSlotEnd = end }
        return settings
    }
}
