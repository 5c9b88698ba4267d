import ArgumentParser
import Backup
import Cluster
import PostgresModel
import Repository
import Storage

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "The backups, newest first.")

    @OptionGroup var global: GlobalOptions

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile()
        let repository = Repository(of: file)
        let inventory = try Inventory(repository)
        let entries = inventory.entries
        let obsolete = Set(try inventory.retention(file.backup.retention, now: .now).obsolete)
        let window = RecoveryWindowDocument(inventory)
        try output.data(
            Document(
                backups: entries.map { BackupDocument($0, cluster: file.name, isObsolete: obsolete.contains($0.id)) },
                recoveryWindow: window, storedBytes: entries.compactMap(\.record?.storedBytes).reduce(0, &+))
        ) { Self.text(entries, obsolete, window, output) }
        if entries.isEmpty { output.next("pgark backup") }
    }

    private struct Document: Encodable {
        let backups: [BackupDocument]
        @Nullable var recoveryWindow: RecoveryWindowDocument?
        let storedBytes: Int
    }

    // MARK: For a person

    private static func text(
        _ entries: [Catalogue.Entry], _ obsolete: Set<String>, _ window: RecoveryWindowDocument?, _ output: Output
    ) -> String {
        guard !entries.isEmpty else { return "no backups yet" }
        let table = Output.table(
            ["backup", "node", "status", "method", "ended", "data", "stored", "WAL", "took", "name"],
            entries.map { row($0, obsolete.contains($0.id), output) })
        return ([table] + (window?.lines ?? [])).joined(separator: "\n")
    }

    private static func row(_ entry: Catalogue.Entry, _ isObsolete: Bool, _ output: Output) -> [String] {
        let record = entry.record
        return [
            entry.id, record?.node ?? "-", painted(entry, output) + (isObsolete ? ", obsolete" : ""),
            record?.method.rawValue ?? "-",
            record?.endTime.shortText ?? "-", size(record?.dataBytes), size(record?.storedBytes), size(record?.walBytes),
            (record?.durationSeconds).map(Output.duration) ?? "-", record?.name ?? "",
        ]
    }

    private static func painted(_ entry: Catalogue.Entry, _ output: Output) -> String {
        let style: Output.Style =
            switch entry.status {
            case .done: .good
            case .running: .warning
            case .failed, .damaged: .bad
            }
        return output.paint(entry.status.rawValue, style) + (entry.isKept ? ", kept" : "")
    }

    private static func size(_ bytes: Int?) -> String { bytes.map { "\(ByteCount($0))" } ?? "-" }
}

struct ShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Everything about one backup.")

    @OptionGroup var global: GlobalOptions
    @Argument(help: "An id, a name, latest or oldest.") var backup: String

    func run() throws {
        let file = try global.repositoryFile()
        let repository = Repository(of: file)
        _ = try repository.requireSystem()
        let entry = try Catalogue(repository).find(backup)
        let document = BackupDocument(
            entry, cluster: file.name, isObsolete: try isObsolete(entry, repository, file.backup.retention),
            damage: try Catalogue(repository).damage(entry.id))
        try global.output.data(document) { text(document) }
    }

    /// Takes a look at everything that is stored, so it is left out where nothing can be obsolete.
    private func isObsolete(_ entry: Catalogue.Entry, _ repository: Repository, _ policy: RetentionPolicy) throws -> Bool {
        guard !policy.keepsEverything else { return false }
        return try Inventory(repository).retention(policy, now: .now).obsolete.contains(entry.id)
    }

    private func text(_ backup: BackupDocument) -> String {
        var rows: [[String]] = []
        func add(_ label: String, _ value: Any?) {
            if let value { rows.append([label, "\(value)"]) }
        }
        add("backup", backup.id)
        add("name", backup.name)
        add("cluster", backup.cluster)
        add("node", backup.node.map { $0 + (backup.fromStandby == true ? " (standby)" : " (primary)") })
        add("status", backup.status.rawValue + (backup.kept ? ", kept" : "") + (backup.obsolete ? ", obsolete" : ""))
        add("method", backup.method.map { $0.rawValue + (backup.reference.map { ", on backup \($0)" } ?? "") })
        add("everything was read", backup.readReason)
        add("PostgreSQL", backup.serverVersion)
        add("system identifier", backup.systemIdentifier)
        add("timeline", backup.timeline)
        add("begin", backup.beginTime.map { "\($0), LSN \(backup.beginLSN ?? .zero)" })
        add("end", backup.endTime.map { "\($0), LSN \(backup.endLSN ?? .zero)" })
        add("took", backup.durationSeconds.map(Output.duration))
        add("data", backup.dataBytes.map { "\(ByteCount($0)) in \(backup.files ?? 0) files" })
        add("received", backup.readBytes.map { ByteCount($0) })
        add("stored", backup.storedBytes.map { "\(ByteCount($0)), \(backup.compression ?? "")" })
        add("WAL", backup.walBytes.map { ByteCount($0) })
        for space in backup.tablespaces where !space.location.isEmpty { add("tablespace \(space.oid)", space.location) }
        for file in backup.configuration { add("configuration", file.path) }
        for reason in backup.configurationMissing { add("configuration not saved", reason) }
        for problem in backup.problems {
            add("damage", problem.file + (problem.block.map { " block \($0)" } ?? "") + ": \(problem.message)")
        }
        for page in backup.badPages { add("bad page", "\(page.path) block \(page.block)") }
        return Output.table(["", ""], rows).split(separator: "\n").dropFirst().joined(separator: "\n")
    }
}

struct KeepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "keep", abstract: "Pin a backup, so that it is not deleted.")

    @OptionGroup var global: GlobalOptions
    @Argument(help: "An id, a name, latest or oldest.") var backup: String
    @Flag(help: "Take the pin away.") var release = false

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile(writes: true)
        let repository = Repository(of: file)
        _ = try repository.requireSystem()
        let lock = try repository.lockForReading(to: "keep a backup")
        defer { withExtendedLifetime(lock) {} }
        let catalogue = Catalogue(repository)
        // A pin can be taken away whatever became of the backup.
        let id = try release ? catalogue.find(backup).id : catalogue.findComplete(backup).entry.id
        if release { try catalogue.release(id) } else { try catalogue.keep(id, reason: "pgark keep") }
        try output.data(BackupDocument(try catalogue.find(id), cluster: file.name)) {
            "backup \(id) is \(release ? "no longer " : "")kept"
        }
    }
}

struct DeleteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete backups; others stay whole, whatever they were built on.")

    @OptionGroup var global: GlobalOptions
    @Argument(help: "Ids, names, latest or oldest.") var backup: [String]
    @Flag(help: "Do not ask.") var yes = false
    @Flag(help: "Only say what would be deleted, and what that would free.") var dryRun = false

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile(writes: true)
        let repository = Repository(of: file)
        _ = try repository.requireSystem()
        let catalogue = Catalogue(repository)
        var entries: [Catalogue.Entry] = []
        for name in backup {
            let entry = try catalogue.find(name)
            try requireNotKept(entry)
            if !entries.contains(where: { $0.id == entry.id }) { entries.append(entry) }
        }
        let names = entries.map(\.id).joined(separator: ", ")
        let level = file.repository.compression
        if dryRun {
            let lock = try repository.lockForReading(to: "look at what could be deleted")
            defer { withExtendedLifetime(lock) {} }
            let result = try GarbageCollection(catalogue, level: level, deleting: entries, dryRun: true)
                .run(tick: Interruption.check)
            return try output.data(Document(entries, result, dryRun: true)) {
                "would delete \(names) and free about \(result.freed): \(Self.described(result))"
            }
        }
        try output.confirm("Delete \(entries.count == 1 ? "backup" : "backups") \(names)?", yes: yes)
        let lock = try repository.lockForWriting(to: "delete a backup")
        let readers = try repository.lockAgainstReaders(to: "delete a backup")
        defer { withExtendedLifetime((lock, readers)) {} }
        for entry in entries { try requireNotKept(try catalogue.find(entry.id)) }  // pinned while we asked
        let result = try catalogue.delete(entries.map(\.id), level: level, tick: Interruption.check)
        if result.isCutShort {
            output.note(
                "interrupted: deleted is deleted; what is dead within packs that others need, the next deletion gives back")
        }
        try output.data(Document(entries, result, dryRun: false)) {
            "deleted \(names), freed \(result.freed): \(Self.described(result))"
        }
    }

    private static func described(_ result: GarbageCollection.Result) -> String {
        "\(result.removedPacks) packs nobody else needs, \(result.rewrittenPacks) mostly dead ones written anew"
    }

    private func requireNotKept(_ entry: Catalogue.Entry) throws {
        guard entry.isKept else { return }
        throw Failure(
            .backupKept, "could not delete backup \(entry.id): it is kept",
            hint: "Take the pin away: pgark keep \(entry.id) --release")
    }

    private struct Document: Encodable {
        /// The first of `backups`.
        let backup: String
        let backups: [String]
        let freedBytes: Int
        let removedPacks: Int
        let rewrittenPacks: Int
        let dryRun: Bool

        init(_ entries: [Catalogue.Entry], _ result: GarbageCollection.Result, dryRun: Bool) {
            backup = entries[0].id
            backups = entries.map(\.id)
            freedBytes = result.freed.rawValue
            removedPacks = result.removedPacks
            rewrittenPacks = result.rewrittenPacks
            self.dryRun = dryRun
        }
    }
}

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Prove that what is stored is undamaged.")

    @OptionGroup var global: GlobalOptions
    @Argument(help: "An id, a name, latest or oldest (default: latest).") var backup: String?
    @Flag(help: "Verify every backup, and all WAL.") var all = false
    @Flag(help: "Decompress everything and compare it with what the server sent.") var deep = false
    @OptionGroup var threads: JobsOption

    func validate() throws {
        if all, backup != nil { throw ValidationError("name a backup or say --all, not both") }
    }

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile(writes: true)
        let repository = Repository(of: file)
        _ = try repository.requireSystem()
        let lock = try repository.lockForReading(to: "verify")
        defer { withExtendedLifetime(lock) {} }
        let catalogue = Catalogue(repository)
        let entries = try all ? catalogue.entries() : [named(catalogue)]
        var document = try verify(entries.compactMap(\.record), catalogue, output)
        document.problems += entries.filter(\.isUnreadable).map {
            Verification.Problem(backup: $0.id, file: "backup.json", message: "the record cannot be read")
        }
        if all { try verifyWAL(repository, &document, output) }
        try output.data(document) { document.text(output) }
        if !document.problems.isEmpty { throw ExitCode(Failure.Code.problemFound.exitStatus) }
    }

    /// A record that cannot be read is a problem to be reported.
    private func named(_ catalogue: Catalogue) throws -> Catalogue.Entry {
        let entry = try catalogue.findMaybeUnreadable(backup ?? "latest")
        return try entry.isUnreadable ? entry : catalogue.findComplete(entry.id).entry
    }

    private func verify(_ records: [BackupRecord], _ catalogue: Catalogue, _ output: Output) throws -> Document {
        var document = Document(backups: [], files: 0, bytes: 0, problems: [])
        let checked = CheckedFrames()
        var shared: Set<DamageReport.Frame> = []
        for record in records {
            let progress = ProgressLine("verified")
            let reporter = progress.reporter(output)
            let report = try Verification(
                BackupReader(catalogue: catalogue, record: record), deep: deep, threads: threads.jobs, checked: checked
            )
            .run {
                bytes in
                try Interruption.check()
                reporter.progress(bytes, record.dataBytes)
            }
            progress.clear()
            try note(report, of: record, &shared, catalogue, output)
            document.backups.append(record.id)
            document.files += report.files
            document.bytes += report.bytes
            document.problems += report.problems
        }
        return document
    }

    /// All that is stored, and not only what backups need to be consistent: a restore to any later moment needs the rest.
    private func verifyWAL(_ repository: Repository, _ document: inout Document, _ output: Output) throws {
        let progress = ProgressLine("verified WAL")
        let reporter = progress.reporter(output)
        let report = try WALVerification(repository, threads: threads.jobs).run { bytes in
            try Interruption.check()
            reporter.progress(bytes, nil)
        }
        progress.clear()
        document.walSegments = report.segments
        let named = Set(document.problems.map(\.file))
        document.problems += report.problems.filter { !named.contains($0.file) }
    }

    /// What is wrong is remembered, also in other backups that it hits, so that `show` says it and later backups do not build
    /// on it. Who may only read the repository may verify it as well.
    private func note(
        _ report: Verification.Report, of record: BackupRecord, _ shared: inout Set<DamageReport.Frame>, _ catalogue: Catalogue,
        _ output: Output
    ) throws {
        var damage = DamageReport(time: .now, deep: deep, frames: report.frames, problems: report.problems)
        do {
            try catalogue.note(damage, in: record.id)
            damage.frames.removeAll { !shared.insert($0).inserted }
            try catalogue.share(damage, tick: Interruption.check)
        } catch let failure as Failure where failure.code != .interrupted {
            output.note("what was found in backup \(record.id) is not remembered everywhere: \(failure.message)")
        }
    }

    private struct Document: Encodable {
        var backups: [String]
        var files: Int
        var bytes: Int
        /// Of all WAL; null where only the WAL was looked at that the backup needs.
        @Nullable var walSegments: Int?
        var problems: [Verification.Problem]

        func text(_ output: Output) -> String {
            let wal = walSegments.map { ", \($0) segments of WAL" } ?? ""
            let checked =
                "verified \(backups.count) backup\(backups.count == 1 ? "" : "s"), \(files) files, \(ByteCount(bytes))\(wal)"
            guard !problems.isEmpty else { return checked + ": " + output.paint("OK", .good) }
            let lines = problems.map { problem in
                "  " + (problem.backup.map { "backup \($0), " } ?? "") + problem.file
                    + (problem.block.map { ", block \($0)" } ?? "")
                    + ": \(problem.message)"
            }
            let count = problems.count == 1 ? "1 problem" : "\(problems.count) problems"
            return ([checked + ": " + output.paint(count, .bad)] + lines).joined(separator: "\n")
        }
    }
}
