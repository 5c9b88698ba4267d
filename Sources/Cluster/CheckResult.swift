package import PostgresModel

/// What is checked. The words are part of the command line: they are given as arguments and stand in JSON.
package enum CheckName: String, Sendable, CaseIterable, Encodable {
    // Each node.
    case connection
    case version
    case replicationConnection = "replication-connection"
    case role
    case monitoring
    case walLevel = "wal-level"
    case walSenders = "wal-senders"
    case replicationSlots = "replication-slots"
    case dataChecksums = "data-checksums"
    case summarizeWAL = "summarize-wal"
    case archiving
    case configurationFiles = "configuration-files"
    case clock
    case slotBudget = "slot-budget"
    // Each standby.
    case streaming
    case standbySlot = "standby-slot"
    case standbyDelay = "standby-delay"
    case standbyLag = "standby-lag"
    // The cluster.
    case primary
    case systemIdentifier = "system-identifier"
    case timeline
    // The repository.
    case repository
    case freeSpace = "free-space"
    case receiver
    case slot
    case walLag = "wal-lag"
    case walContiguity = "wal-contiguity"
    case backupAge = "backup-age"
    case redundancy
    case backupHealth = "backup-health"
    case failedBackups = "failed-backups"
    case backupSchedule = "backup-schedule"
    case maintenance
}

/// The outcome of one check: the fact, and the remedy where there is something to remedy.
package struct CheckResult: Sendable, Encodable, Equatable {
    package enum Outcome: String, Sendable, Encodable, CaseIterable { case ok, warning, failed }

    package var name: CheckName
    /// Nil where it is about the cluster or the repository.
    @Nullable package var node: String?
    package var result: Outcome
    package var message: String
    /// A command or SQL to paste.
    @Nullable package var hint: String?

    static func ok(_ name: CheckName, _ node: String? = nil, _ message: String) -> CheckResult {
        CheckResult(name: name, node: node, result: .ok, message: message, hint: nil)
    }

    static func warning(_ name: CheckName, _ node: String? = nil, _ message: String, hint: String) -> CheckResult {
        CheckResult(name: name, node: node, result: .warning, message: message, hint: hint)
    }

    static func failed(_ name: CheckName, _ node: String? = nil, _ message: String, hint: String) -> CheckResult {
        CheckResult(name: name, node: node, result: .failed, message: message, hint: hint)
    }
}

/// An SQL identifier, quoted where it must be.
func identifier(_ name: String) -> String {
    let isPlain = !name.isEmpty && name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
    let isPlainFirst = name.utf8.first.map { !(0x30...0x39).contains($0) } ?? false
    if isPlain, isPlainFirst { return name }
    return "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
}

/// "1 slot", "3 slots".
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

extension String {
    /// With every stretch of spaces, tabs and line breaks made one space: libpq's messages have several lines.
    var onOneLine: String { split(whereSeparator: \.isWhitespace).joined(separator: " ") }
}
