/// The text of a new cluster file: what is known, and as comments what one may want next.
extension ClusterDraft {
    /// `schema`: a file beside it by which editors know its keys.
    package func text(schema: String? = nil) -> String {
        var lines: [String] = []
        if let schema { lines.append("# yaml-language-server: $schema=\(schema)") }
        lines += [
            "# A PostgreSQL cluster, as pgark knows it. What is not said here has a safe default.",
            isProtecting
                ? "# Its servers are only protected: pgark connects to them, and changes nothing on them."
                : "# pgark plan shows what would be done on the hosts, and what that costs; pgark apply does it.",
            "", "cluster: \(YAMLText.scalar(cluster))", "",
        ]
        lines += postgresLines + nodeLines + repositoryLines + laterLines
        return lines.joined(separator: "\n") + "\n"
    }

    private var postgresLines: [String] {
        guard !isProtecting else { return [] }
        var lines = ["postgres:"]
        lines.append(
            major.map { "  version: \($0)" }
                ?? "  # version: 18                   # the major version, where a server is to be made")
        if let programs { lines.append("  bin: \(YAMLText.scalar(programs))") }
        lines.append(
            installs
                ? "  packages: apt                   # what is missing may be installed"
                : "  # packages: apt                 # install what is missing")
        lines.append("  # parameters: { shared_buffers: 1GB }")
        lines.append("  # hba: [ \"host all app 10.0.0.0/8 scram-sha-256\" ]")
        return (major == nil && programs == nil && !installs ? lines.map { $0 == "postgres:" ? "# postgres:" : $0 } : lines) + [
            ""
        ]
    }

    private var nodeLines: [String] {
        var lines = ["nodes:"]
        for node in nodes {
            let value =
                switch node.form {
                case .protected(let connection): YAMLText.mapping([("connection", YAMLText.quoted(connection))])
                case .managed(let placement): placement.yaml
                }
            if let remark = node.remark {
                lines.append("  # \(remark.split(whereSeparator: \.isNewline).joined(separator: " "))")
            }
            lines.append("  \(node.isActive ? "" : "# ")\(node.name): \(value)")
        }
        return lines + [""]
    }

    private var repositoryLines: [String] {
        var lines = ["repository:"]
        if let repositoryHost { lines.append("  host: \(YAMLText.scalar(repositoryHost))") }
        lines.append("  path: \(YAMLText.scalar(repositoryPath))")
        lines.append("  # compression: zstd:9           # smaller and slower than zstd, which is zstd:3")
        return lines + [""]
    }

    private var laterLines: [String] {
        [
            "# What pgark maintain keeps; without this, everything.",
            "# backup:",
            "#   retention: { window: 7d, redundancy: 3, minimum: 1 }",
            "",
            "# How much WAL a replication slot may hold back on a server before the server lets go of it.",
            "# replication: { slots: { keep: 20GB } }",
        ]
    }
}
