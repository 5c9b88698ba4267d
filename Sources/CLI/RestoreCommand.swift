import ArgumentParser
import Backup
import Cluster
import Postgres
package import PostgresModel
import Repository
import Storage
import SystemPackage

struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Restore a backup into a new directory, ready to recover to the target.",
        discussion: "Without a target, recovery runs to the end of the stored WAL. Nothing is overwritten, "
            + "but with --delta what pgark itself restored there before.")

    @OptionGroup var global: GlobalOptions
    @Argument(help: "An id, a name, latest or oldest (default: the right one for the target).") var backup: String?
    @Option(help: ArgumentHelp("The new data directory: empty or missing, or with --delta one of pgark's.", valueName: "dir"))
    var to: String?
    @Option(help: "A node of the cluster: its server is set aside, and this becomes the primary there.") var node: String?
    @OptionGroup var target: TargetOptions
    @Option(help: ArgumentHelp("Put a tablespace (its location or oid) elsewhere.", valueName: "old=new"))
    var tablespace: [String] = []
    @Flag(help: "Bring a directory that pgark made earlier to the target, writing only what differs.") var delta = false
    @Flag(help: "Become a standby of the primary.") var standby = false
    @Option(help: "With --standby: the replication slot to stream from.") var slot: String?
    @Flag(help: "Leave archive_mode as it was: the restored server takes the old one's place in the archive.") var archive = false
    @OptionGroup var threads: JobsOption
    @Flag(help: "Start the server when the files are in place.") var start = false
    @Flag(help: "Do not ask.") var yes = false
    @Flag(help: "Only print the plan.") var dryRun = false

    func validate() throws {
        if (to == nil) == (node == nil) { throw ValidationError("say where: --to DIR, or --node NODE") }
        if node != nil, standby || delta || !tablespace.isEmpty || start || archive || threads.jobs != standardThreadCount {
            throw ValidationError("--node takes a backup and a target, and nothing else")
        }
        if node != nil, target.targetAction != .promote {
            throw ValidationError("--node makes the node the primary: --target-action is promote there")
        }
        if standby, try target.point() != .endOfWAL {
            throw ValidationError("a standby follows its primary: --standby takes no target")
        }
        if slot != nil, !standby { throw ValidationError("--slot goes with --standby") }
    }

    func run() throws {
        let output = global.output
        if let node { return try NodeRestoreRun(global: global, node: node, yes: yes, dryRun: dryRun).run(target, backup) }
        let file = try global.localFile(to: "restore")
        let repository = Repository(of: file)
        _ = try repository.requireSystem()
        let catalogue = Catalogue(repository)
        let plan = try plan(catalogue, chosen: backup.map { try catalogue.findComplete($0).record })
        let destination = try RestoreDestination(
            directory: FilePath(to!), mapping: try tablespace.map(Self.mapping), record: plan.record, reusesContent: delta)
        try destination.check(BackupReader(catalogue: catalogue, record: plan.record))
        let access = WALAccess(file, repository, destination.owner)
        if !global.json { output.note(text(plan, destination) + (try access.isOpen() ? "" : "\n" + access.remark)) }
        if dryRun { return try output.data(document(plan, destination, nil, 0, started: false)) { "nothing was changed" } }
        try output.confirm("Restore to \(destination.directory)?", yes: yes)

        let begin = Deadline.now
        let progress = ProgressLine("restored")
        let outcome = try RestoreJob(
            catalogue: catalogue, plan: plan, destination: destination,
            settings: RestoreJob.Settings(
                restoreCommand: RestoreCommandLine(
                    configuration: file.path, cluster: file.name, system: plan.record.systemIdentifier,
                    timeline: standby ? nil : plan.timeline,
                    until: plan.target.point == .endOfWAL ? nil : plan.walTo
                ).text, bringsWAL: try !access.isOpen(),
                standby: try standby ? standbySettings(file) : nil, archives: archive, threads: threads.jobs),
            reporter: progress.reporter(output)
        ).run()
        progress.clear()
        if start { try StartedServer.start(destination.directory, owner: destination.owner, version: plan.record.serverVersion) }
        let seconds = Double(Deadline.now - begin) / 1e9
        try output.data(document(plan, destination, outcome, seconds, started: start)) { summary(outcome, destination, seconds) }
        if !start { output.next("pg_ctl -D \(destination.directory) start") }
    }

    private func plan(_ catalogue: Catalogue, chosen: BackupRecord?) throws -> RestorePlan {
        let records = try chosen.map { [$0] } ?? catalogue.records()
        let damaged = Set(try records.map(\.id).filter { try catalogue.isKnownToBeDamaged($0) })
        return try RestorePlanner.plan(
            target.recoveryTarget(), chosen: chosen, among: records, damaged: damaged, in: catalogue.repository)
    }

    static func mapping(_ text: String) throws -> (old: String, new: FilePath) {
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2 else {
            throw Failure(.usage, "could not read --tablespace \"\(text)\": it is not OLD=NEW")
        }
        return (parts[0], FilePath(parts[1]))
    }

    private func standbySettings(_ file: ClusterFile) throws -> RestoreJob.Standby {
        if let slot { _ = try SlotName(slot) }
        guard let primary = try NodeChoice(file).primary() else {
            throw Failure(.nodeMissing, "could not find a primary to follow: every node that answers is a standby")
        }
        return RestoreJob.Standby(primaryConnection: primary.connection, slot: slot)
    }

    // MARK: Output

    private func text(_ plan: RestorePlan, _ destination: RestoreDestination) -> String {
        let record = plan.record
        var rows = [
            ["restore to", destination.directory.string],
            ["backup", "\(record.id) of \(record.node), ended \(record.endTime): \(plan.reason)"],
            ["target", Self.described(plan.target) + (plan.landmark.map { ", which is at \($0.start), \($0.time)" } ?? "")],
            ["timeline", "\(plan.timeline)"],
            [
                "WAL",
                "needed from \(plan.walFrom); stored without a gap to \(plan.walTo)"
                    + (plan.walTime.map { ", all that was written up to \($0)" } ?? ""),
            ],
            ["data", "\(ByteCount(record.dataBytes)) in \(record.files) files"],
        ]
        for (oid, place) in destination.tablespaces.sorted(by: { $0.key < $1.key }) {
            rows.append(["tablespace \(oid)", place.string])
        }
        if delta { rows.append(["delta", "what is there and right is kept; whatever the backup does not have is removed"]) }
        if !standby, !archive { rows.append(["archiving", "off in the restored server (--archive leaves it as it was)"]) }
        rows += plan.remarks.map { ["note", $0] }
        return Output.table(["", ""], rows).split(separator: "\n").dropFirst().joined(separator: "\n")
    }

    /// A time is shown in UTC and in this machine's zone, so that a mistaken zone is seen before it matters.
    private static func described(_ target: RecoveryTarget) -> String {
        guard case .time(let time) = target.point else { return target.description }
        let offset = time.localOffsetSeconds
        guard offset != 0 else { return target.description }
        let local = CivilTime(time, offsetSeconds: offset)
        return "\(target) (\(local.date) \(local.clock) local time)"
    }

    private func summary(_ outcome: RestoreJob.Outcome, _ destination: RestoreDestination, _ seconds: Double) -> String {
        var lines = [
            "restored \(ByteCount(outcome.bytes)) in \(outcome.files) files to \(destination.directory) in \(Output.duration(seconds))"
                + (delta ? "; \(ByteCount(outcome.writtenBytes)) of them had to be written" : "")
        ]
        if !outcome.configuration.files.isEmpty {
            lines.append("  configuration files put back: \(outcome.configuration.files.joined(separator: ", "))")
        }
        lines += outcome.configuration.changes.map { "  taken out: \($0)" }
        return lines.joined(separator: "\n")
    }

    private struct Document: Encodable {
        let backup: String
        let reason: String
        /// What the person should know.
        let remarks: [String]
        let target: String
        let timeline: TimelineID
        let directory: String
        let bytes: Int
        /// Of them, what was not in place already.
        let writtenBytes: Int
        let files: Int
        let walFromLSN: LSN
        let walToLSN: LSN
        let configuration: [String]
        let durationSeconds: Double
        let started: Bool
        let dryRun: Bool
    }

    private func document(
        _ plan: RestorePlan, _ destination: RestoreDestination, _ outcome: RestoreJob.Outcome?, _ seconds: Double, started: Bool
    ) -> Document {
        Document(
            backup: plan.record.id, reason: plan.reason, remarks: plan.remarks, target: plan.target.description,
            timeline: plan.timeline,
            directory: destination.directory.string, bytes: outcome?.bytes ?? plan.record.dataBytes,
            writtenBytes: outcome?.writtenBytes ?? 0,
            files: outcome?.files ?? plan.record.files, walFromLSN: plan.walFrom, walToLSN: plan.walTo,
            configuration: outcome?.configuration.files ?? [], durationSeconds: seconds, started: started, dryRun: dryRun)
    }
}

/// The target of a recovery, as typed.
package struct TargetOptions: ParsableArguments {
    package init() {}

    @Option(help: ArgumentHelp("Up to this moment, with its zone: \"2026-11-22 15:04:05+03\".", valueName: "time"))
    var targetTime: String?
    @Option(help: ArgumentHelp("Up to this WAL position: 0/3000168.", valueName: "lsn")) var targetLsn: String?
    @Option(help: ArgumentHelp("Up to this transaction.", valueName: "xid")) var targetXid: String?
    @Option(help: ArgumentHelp("Up to this restore point.", valueName: "name")) var targetName: String?
    @Flag(help: "As soon as the backup is consistent.") var targetImmediate = false
    @Flag(help: "End just before the target.") var targetExclusive = false
    @Option(help: ArgumentHelp("latest, current or a number.", valueName: "timeline")) var targetTimeline = "latest"
    @Option(help: ArgumentHelp("At the target: pause, promote or shutdown.", valueName: "action")) var targetAction:
        RecoveryTarget.Action = .promote

    func point() throws -> RecoveryTarget.Point {
        let given = [targetTime, targetLsn, targetXid, targetName].compactMap(\.self).count + (targetImmediate ? 1 : 0)
        guard given <= 1 else { throw ValidationError("name one target, not \(given)") }
        if let targetTime { return .time(try Self.time(targetTime)) }
        if let targetLsn {
            guard let lsn = LSN(targetLsn) else {
                throw Failure(.usage, "could not read --target-lsn \"\(targetLsn)\": it is not an LSN such as 0/3000168")
            }
            return .lsn(lsn)
        }
        if let targetXid {
            guard let xid = UInt64(targetXid), xid >= 3 else {
                throw Failure(.usage, "could not read --target-xid \"\(targetXid)\": it is not a transaction's number")
            }
            return .transaction(String(xid))
        }
        if let targetName {
            guard (1...63).contains(targetName.utf8.count) else {
                throw Failure(.usage, "could not read --target-name: a restore point's name has 1 to 63 bytes")
            }
            return .name(targetName)
        }
        return targetImmediate ? .immediate : .endOfWAL
    }

    package func recoveryTarget() throws -> RecoveryTarget {
        let timeline: RecoveryTarget.Timeline
        switch targetTimeline {
        case "latest": timeline = .latest
        case "current": timeline = .current
        default:
            guard let id = TimelineID(targetTimeline) else {
                throw Failure(
                    .usage, "could not read --target-timeline \"\(targetTimeline)\": it is not latest, current or a number")
            }
            timeline = .id(id)
        }
        return RecoveryTarget(point: try point(), isInclusive: !targetExclusive, timeline: timeline, action: targetAction)
    }

    private static func time(_ text: String) throws -> Timestamp {
        switch TimeText(text) {
        case .instant(let time): return time
        case .withoutZone(let utc):
            let local = Timestamp(microseconds: utc.microseconds - Int64(utc.localOffsetSeconds) * 1_000_000)
            throw Failure(
                .usage, "could not read --target-time \"\(text)\": it has no time zone",
                details: ["in UTC it would be \(utc), in this machine's zone \(local)"],
                hint: "Write the zone: --target-time \"\(text)+00\"")
        case nil:
            throw Failure(
                .usage, "could not read --target-time \"\(text)\": it is not a time",
                hint: "Write it as \"2026-11-22 15:04:05+00\".")
        }
    }
}

extension RecoveryTarget.Action: ExpressibleByArgument {}

/// The restore_command that a restored server gets: this very program, with its own configuration.
package struct RestoreCommandLine {
    let configuration: FilePath
    let cluster: String
    /// Whose WAL: the cluster may be upgraded before the recovery asks for it.
    let system: SystemIdentifier
    /// Nil for a standby, which follows its primary wherever that goes.
    let timeline: TimelineID?
    let until: LSN?

    var text: String {
        let until = (timeline.map { " --timeline \($0)" } ?? "") + (until.map { " --until \($0)" } ?? "")
        return "\(Self.escaped(Self.program)) wal get --config \(Self.escaped(configuration.string)) --cluster \(cluster)"
            + " --system \(system)\(until) %f \"%p\""
    }

    /// The absolute path of the running executable.
    private static var program: String { Directory.linkTarget("/proc/self/exe")?.string ?? CommandLine.arguments[0] }

    /// Quoted for the shell; and PostgreSQL takes %% for a percent sign.
    package static func escaped(_ path: String) -> String {
        let quoted = path.unicodeScalars.map { "\"\\$`".unicodeScalars.contains($0) ? "\\\($0)" : $0 == "%" ? "%%" : String($0) }
            .joined()
        return "\"\(quoted)\""
    }
}
