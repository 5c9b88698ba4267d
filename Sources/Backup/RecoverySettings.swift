import PostgresModel
import Repository
import Storage
import SystemPackage

/// Leaves behind what makes PostgreSQL recover to the target: settings in postgresql.auto.conf and a signal file
/// (PostgreSQL documentation: 25.3.5, Recovering Using a Continuous Archive Backup).
package struct RecoverySettings {
    private let plan: RestorePlan
    private let settings: RestoreJob.Settings
    private let destination: RestoreDestination

    package init(plan: RestorePlan, settings: RestoreJob.Settings, destination: RestoreDestination) {
        self.plan = plan
        self.settings = settings
        self.destination = destination
    }

    /// All that this restore decides. A target left in the configuration would contradict it, so each is set, if only
    /// to nothing.
    private static let targets = [
        "recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time", "recovery_target_xid",
    ]
    private static let decided =
        targets + [
            "restore_command", "recovery_target_inclusive", "recovery_target_timeline", "recovery_target_action",
            "primary_conninfo", "primary_slot_name", "recovery_end_command", "archive_cleanup_command", "archive_mode",
        ]

    package func write() throws {
        let path = destination.directory.appending("postgresql.auto.conf")
        let old = try SmallFile.readText(path) ?? ""
        let mode = try Directory.status(path)?.permissions ?? 0o600
        try SmallFile.write(
            Self.withoutDecided(old) + block(), to: path, permissions: mode,
            owner: Owner.current.isRoot ? destination.owner : nil)
        // A backup of a standby brings the standby's own signal file, which would win over ours.
        for stale in ["recovery.signal", "standby.signal"] { try Directory.remove(destination.directory.appending(stale)) }
        let signal = settings.standby == nil ? "recovery.signal" : "standby.signal"
        try SmallFile.write(
            "", to: destination.directory.appending(signal), owner: Owner.current.isRoot ? destination.owner : nil)
    }

    package static func withoutDecided(_ text: String) -> String {
        // By bytes, as the server reads it: a Character may be more than the line's end or the quote in it.
        text.utf8.split(separator: UInt8(ascii: "\n")).map { Substring($0) }.map { line in
            let name = RestoredConfiguration.Setting(line)?.name
            return name.map(decided.contains) == true ? "# \(line)  # taken out by pgark restore\n" : "\(line)\n"
        }.joined()
    }

    private func block() -> String {
        var values: [(String, String)] = [("restore_command", settings.bringsWAL ? "false" : settings.restoreCommand)]
        // A copy that archived would put its new timeline beside that of the server that it was made of.
        if settings.standby == nil, !settings.archives { values.append(("archive_mode", "off")) }
        if let standby = settings.standby {
            values.append(("primary_conninfo", standby.primaryConnection))
            values.append(("primary_slot_name", standby.slot ?? ""))
        }
        let target = settings.standby == nil ? plan.recoveryTarget.settings : []
        values += Self.targets.filter { name in !target.contains { $0.name == name } }.map { ($0, "") }
        values += target.map { ($0.name, $0.value) }
        let lines = values.map { "\($0.0) = '\(Self.quoted($0.1))'" }
        return (["# written by pgark restore of backup \(plan.record.id)"] + lines).joined(separator: "\n") + "\n"
    }

    /// As postgresql.conf wants a string between single quotes (documentation: 20.1.2).
    package static func quoted(_ value: String) -> String {
        value.unicodeScalars.map { $0 == "'" ? "''" : $0 == "\\" ? "\\\\" : String($0) }.joined()
    }
}
