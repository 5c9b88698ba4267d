import Backup
import Glibc
import Hosts
import PostgresModel
import Repository
import Storage
import SystemPackage

/// What the repository's host has of us beside the repository: an account, the program, the cluster file, who keeps it running.
enum RepositoryHost {
    static let program: FilePath = "/usr/local/bin/pgark"

    static func facts(_ questions: RepositoryQuestions, cluster: String) throws -> RepositoryHostFacts {
        let path = FilePath(questions.path)
        let repository = Repository(root: path, cluster: cluster)
        let owner = try Directory.status(path)?.owner
        return RepositoryHostFacts(
            hasAccount: Account(named: questions.account) != nil,
            directoryOwner: owner.flatMap { getpwuid($0.user) }.map { String(cString: $0.pointee.pw_name) },
            clusterFile: try SmallFile.readText(configuration(cluster)), passfile: try SmallFile.readText(passfile(cluster)),
            programDigest: try digest(of: program), ownDigest: try OwnProgram.digest(),
            receiverIsRunning: try LockFile.isHeld(repository.receiveLock),
            receiverStarted: try RepositoryServices.receiver(of: repository)?.startTime.seconds,
            receiverInputsChanged: try RepositoryServices.receiverInputsChanged(cluster),
            serviceFiles: try RepositoryServices.files(cluster), units: try RepositoryServices.units(cluster),
            system: try owner == nil ? nil : repository.system()?.systemIdentifier.rawValue,
            seed: owner == nil ? nil : try seed(repository),
            authority: try CertificateAuthority(cluster: cluster).facts())
    }

    private static func seed(_ repository: Repository) throws -> RepositoryHostFacts.Seed? {
        guard try repository.system() != nil, let current = try Inventory(repository).current,
            let plan = try? plan(RecoveryTarget(), nil, in: repository),  // where no backup leads to the end there is none
            let end = current.wal.ranges.last(where: { $0.timeline == plan.timeline })?.to, plan.walTo >= end,
            (try? SeedStream.check(plan.record)) != nil
        else { return nil }
        return .init(
            backup: plan.record.id, systemIdentifier: plan.record.systemIdentifier.rawValue, timeline: plan.timeline.rawValue,
            major: major(plan.record), bytes: plan.record.dataBytes)
    }

    private static func major(_ record: BackupRecord) -> Int { Int(record.serverVersion.prefix { $0.isNumber }) ?? 0 }

    private static func plan(_ target: RecoveryTarget, _ backup: String?, in repository: Repository) throws -> RestorePlan {
        _ = try repository.requireSystem()
        let catalogue = Catalogue(repository), chosen = try backup.map { try catalogue.findComplete($0).record }
        let records = try chosen.map { [$0] } ?? catalogue.records()
        let damaged = Set(try records.map(\.id).filter { try catalogue.isKnownToBeDamaged($0) })
        return try RestorePlanner.plan(target, chosen: chosen, among: records, damaged: damaged, in: repository)
    }

    static func outline(_ questions: RestoreQuestions) throws -> RestoreOutline {
        let repository = Repository(root: FilePath(questions.repository), cluster: questions.cluster)
        let plan = try plan(questions.target, questions.backup, in: repository)
        try SeedStream.check(plan.record)
        return RestoreOutline(
            backup: plan.record.id, reason: plan.reason, remarks: plan.remarks, target: plan.target.description,
            timeline: plan.timeline.rawValue, systemIdentifier: plan.record.systemIdentifier.rawValue,
            walTo: plan.walTo.description, walBytes: Int(plan.walTo - plan.walFrom),
            bytes: plan.record.dataBytes, files: plan.record.files,
            major: major(plan.record),
            settings: plan.recoveryTarget.settings.map { .init(name: $0.name, value: $0.value) })
    }

    /// Writes what a server begins with to our standard output.
    static func send(_ questions: RestoreQuestions) throws {
        let repository = Repository(root: FilePath(questions.repository), cluster: questions.cluster)
        let lock = try repository.lockForReading(to: "send a backup to another host")
        defer { withExtendedLifetime(lock) {} }
        try SeedStream(
            Catalogue(repository), plan(questions.target, questions.backup, in: repository), promotes: questions.promotes
        ).write(to: STDOUT_FILENO)
    }

    static func configuration(_ cluster: String) -> FilePath { FilePath("/etc/pgark/\(cluster).yaml") }
    static func passfile(_ cluster: String) -> FilePath { FilePath("/etc/pgark/\(cluster).pgpass") }

    private static func digest(of path: FilePath) throws -> String? {
        guard try Directory.exists(path) else { return nil }
        return try Command("/usr/bin/sha256sum", [path.string]).run().output.split(separator: " ").first.map(String.init)
    }

    // MARK: Steps

    static func makeAccount(_ name: String) throws {
        if Account(named: name) != nil { return }
        try Command(
            "/usr/sbin/useradd",
            ["--system", "--create-home", "--home-dir", "/var/lib/\(name)", "--shell", "/bin/sh", "--comment", "pgark", name]
        ).run()
    }

    static func account(_ name: String) throws -> Account {
        if let account = Account(named: name) { return account }
        throw Failure(.unsupported, "could not find the account \"\(name)\"", hint: "See what is missing: pgark plan")
    }

    static func makeDirectory(_ path: String, _ name: String) throws {
        let owner = try account(name).owner, path = FilePath(path)
        try Directory.create(path, permissions: 0o750, owner: owner)
        try Directory.setOwner(of: path, owner)
    }

    /// This very program, whole or as it was.
    static func installProgram() throws {
        let temporary = FilePath("\(program).pgark-new")
        try Command("/usr/bin/install", ["--mode=755", OwnProgram.path.string, temporary.string]).run()
        try Directory.rename(temporary, to: program)
    }

    static func write(_ text: String, to path: String, _ name: String, _ permissions: UInt32) throws {
        let path = FilePath(path)
        try Directory.create(path.removingLastComponent(), permissions: 0o755)
        try SmallFile.write(text, to: path, permissions: permissions, owner: name == "root" ? nil : account(name).owner)
    }
}
