import PostgresModel

/// Whether the repository is there, may be written, and has room.
struct RepositoryChecks {
    let view: ClusterView

    private var facts: RepositoryFacts { view.repository }

    var results: [CheckResult] { [repository, freeSpace].compactMap { $0 } }

    private var repository: CheckResult {
        if let failure = facts.failure {
            return .failed(.repository, nil, failure.message, hint: failure.hint ?? "ls -ld \(facts.path)")
        }
        guard facts.exists else {
            return .failed(
                .repository, nil, "\(facts.path) does not exist", hint: "The receiver creates it: \(facts.receiverRemedy)")
        }
        guard facts.isWritable else {
            return .failed(
                .repository, nil, "\(facts.path) cannot be written by this user",
                hint: "Run pgark as its owner, or give it to this user: chown -R \"$(id -un)\" \(facts.path)")
        }
        return .ok(.repository, nil, "\(facts.path): \(counted(facts.segmentCount, "WAL segment")), \(facts.walBytes)")
    }

    private var freeSpace: CheckResult? {
        guard let free = facts.free, let total = facts.total, total.rawValue > 0 else { return nil }
        let share = Double(free.rawValue) / Double(total.rawValue)
        let fact = "\(free) of \(total) free (\(Int(share * 100)) %)"
        let hint =
            "Delete a backup that is not needed (pgark list; pgark delete BACKUP), or enlarge the file system: "
            + "df -h \(facts.path)"
        if share < CheckLimits.freeFailedShare { return .failed(.freeSpace, nil, fact, hint: hint) }
        // The next full backup is about as large as the last one's data, before compression.
        if let data = facts.completeBackups.first?.content.dataBytes, free < data {
            return .warning(.freeSpace, nil, "\(fact): the data directory has \(data)", hint: hint)
        }
        if share < CheckLimits.freeWarningShare { return .warning(.freeSpace, nil, fact, hint: hint) }
        return .ok(.freeSpace, nil, fact)
    }
}
