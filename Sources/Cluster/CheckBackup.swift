import PostgresModel

/// Whether there are backups: enough, young enough, whole.
struct BackupChecks {
    let view: ClusterView

    private var facts: RepositoryFacts { view.repository }

    var results: [CheckResult] {
        guard facts.failure == nil else { return [] }
        return [age, redundancy, health, configuration, failed].compactMap { $0 }
    }

    private var age: CheckResult? {
        guard let newest = facts.completeBackups.first else { return nil }  // `redundancy` says it
        let seconds = max(0, view.time - newest.content.endTime)
        let fact = "\(newest.id) is \(Self.span(seconds)) old"
        guard let most = view.file.backup.maximumAgeSeconds, seconds > most else { return .ok(.backupAge, nil, fact) }
        return .failed(.backupAge, nil, "\(fact), more than \(Self.span(most))", hint: "pgark backup")
    }

    static func span(_ seconds: Double) -> String {
        switch seconds {
        case ..<120: "\(Int(seconds)) s"
        case ..<7200: "\(Int(seconds / 60)) min"
        case ..<172_800: "\(Int(seconds / 3600)) h"
        default: "\(Int(seconds / 86400)) days"
        }
    }

    private var redundancy: CheckResult {
        let count = facts.completeBackups.count
        let needed = view.file.backup.minimumRedundancy
        let fact = "\(counted(count, "complete backup")), \(needed) needed"
        if count >= needed { return .ok(.redundancy, nil, fact) }
        return .failed(.redundancy, nil, fact, hint: "pgark backup")
    }

    private var health: CheckResult? {
        guard !facts.completeBackups.isEmpty else { return nil }
        guard let damaged = facts.completeBackups.first(where: { $0.content.badPages > 0 }) else {
            return .ok(.backupHealth, nil, "no backup holds a damaged page")
        }
        return .failed(
            .backupHealth, nil,
            "backup \(damaged.id) holds \(counted(damaged.content.badPages, "page")) that the server sent damaged",
            hint: "See which: pgark show \(damaged.id); on the server: pg_amcheck --all")
    }

    private var configuration: CheckResult? {
        guard let newest = facts.completeBackups.first, !newest.content.configurationMissing.isEmpty else { return nil }
        return .warning(
            .configurationFiles, nil, "backup \(newest.id) lacks " + newest.content.configurationMissing.joined(separator: "; "),
            hint: "Grant what the nodes' own check of configuration-files says, then: pgark backup")
    }

    private var failed: CheckResult {
        let failed = facts.backups.filter { $0.status == .failed }
        if failed.isEmpty { return .ok(.failedBackups, nil, "none") }
        return .warning(
            .failedBackups, nil,
            "\(counted(failed.count, "backup")) did not come to an end: \(failed.map(\.id).joined(separator: ", "))",
            hint: "The next backup removes what they left: pgark backup")
    }
}
