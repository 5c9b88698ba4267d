import Glibc
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// Steps 6 to 10: check, backup, accident, restore.
extension Tour {
    /// Like Barman's check in the lab: everything is well except that there is no backup yet.
    func checkBeforeBackup() throws {
        let check: CheckDocument = try json(["check"], statuses: [0, 5])
        let failed = check.checks.filter { $0.result == "failed" }
        let others = failed.filter { !("\($0.name) \($0.message ?? "")").lowercased().contains("backup") }
        try prove(
            "only the missing backup is wrong", others.isEmpty && !check.ok, expected: "no failed check except about backups",
            seen: failed.map { "\($0.name): \($0.message ?? "failed")" }.joined(separator: "; "))
    }

    func backups() throws {
        try proveBackup(try json(["backup"], timeoutSeconds: 300), from: "node1")
        try proveBackup(try json(["backup", "--node", "node2"], timeoutSeconds: 300), from: "node2")
        try show(["list"])
        let list: ListDocument = try json(["list"])
        try prove("list: backups", list.backups.map(\.node).joined(separator: ", "), is: "node2, node1")
        let latest: BackupDocument = try json(["show", "latest"])
        try prove("show latest: id", latest.id, is: list.backups.first?.id ?? "one")
    }

    private func proveBackup(_ backup: BackupDocument, from node: String) throws {
        try prove("backup \(backup.id): status", backup.status, is: "done")
        try prove("backup \(backup.id): node", backup.node, is: node)
        try prove("backup \(backup.id): bad pages", String(backup.badPages?.count ?? 0), is: "0")
        try proveWALIsStored(backup)
        let sizes = [backup.dataBytes, backup.storedBytes].map { $0.map { "\(ByteCount($0))" } ?? "?" }
        try prove(
            "backup \(backup.id): size", backup.dataBytes ?? 0 > 0 && backup.storedBytes ?? 0 > 0,
            expected: "bytes read and stored", seen: "\(sizes[0]) of data, \(sizes[1]) stored")
    }

    /// The receiver writes down once a second how far it is durable, so the number may come a little after the fact.
    private func proveWALIsStored(_ backup: BackupDocument) throws {
        let name = "backup \(backup.id): the WAL it needs is durable"
        guard let end = backup.endLSN else { return try prove(name, false, expected: "an end_lsn", seen: "none") }
        let durable = try eventually(name, seconds: 5, expected: "wal status: durable_lsn at \(end) or later") { () -> LSN? in
            let status: WALStatusDocument = try json(["wal", "status"], isTold: false)
            return status.durableLSN.flatMap { $0 >= end ? $0 : nil }
        }
        try prove(name, true, expected: "", seen: "end \(end), durable \(durable)")
    }

    func checkAfterBackup() throws {
        try show(["check"])
        let check: CheckDocument = try json(["check"])
        // How full this machine's disk is, is no fact about the lab.
        let others = check.checks.filter { $0.result != "ok" && $0.name != "free-space" }
        let seen = others.map { "\($0.name): \($0.message ?? $0.result)" }.joined(separator: "; ")
        try prove(
            "every check is OK", check.ok && others.isEmpty, expected: "no failed check and no warning",
            seen: others.isEmpty ? "\(check.checks.count) checks" : seen)
    }

    /// The moment is the server's clock. A row is written after it and before the drops: it must not come back, and
    /// its commit is where recovery stops. (DROP DATABASE removes the files before it commits, so a recovery that
    /// stopped at the drop's own commit would find the database listed and its files gone.)
    func accident() throws {
        let text = try sql(hosts.node1, "SELECT clock_timestamp()").first?[0] ?? ""
        guard case .instant(let instant)? = TimeText(text) else {
            throw Failure(.labFailed, "the server's clock cannot be read", details: ["seen: \(text)"])
        }
        moment = instant
        try prove("before: rows in otus.test", try rows(on: hosts.node1).joined(separator: "; "), is: "1, alex")
        tell(.remark("the moment to come back to: \(instant)"))
        usleep(100_000)  // so that the drop is later than the moment for a clock of any resolution
        try sql(hosts.node1, "DROP DATABASE otus")
        try sql(hosts.node1, "DROP DATABASE otus_test")
        let left = "postgres, template0, template1"
        try prove("databases on node1", try databases(on: hosts.node1).joined(separator: ", "), is: left)
        let onStandby = try eventually("the databases are gone on node2 too", expected: left) {
            let names = try databases(on: hosts.node2).joined(separator: ", ")
            return names == left ? names : nil
        }
        try prove("databases on node2", onStandby, is: left)
        try proveReceived("the WAL of the accident is in the repository")
    }

    func restore() throws {
        guard let moment else { throw Failure(.internalError, "the moment is not known") }
        let target = hosts.home.restored
        let document: RestoreDocument = try json(
            ["restore", "--to", target.string, "--target-time", "\(moment)", "--target-action", "promote", "--yes"],
            timeoutSeconds: 300)
        restoredBackup = document.backup
        try prove("restored into", document.directory, is: target.string)
        try prove(
            "restored files", document.files > 0, expected: "more than none",
            seen: "\(document.files) files, \(ByteCount(document.bytes)), from backup \(document.backup ?? "?")")
        let missing = try PostgresConfiguration.fileNames.filter { try !Directory.exists(target.appending($0)) }
        let all = PostgresConfiguration.fileNames.joined(separator: ", ")
        try prove(
            "configuration files are in place", missing.isEmpty, expected: all,
            seen: missing.isEmpty ? all : "missing: \(missing)")
        // The newest backup is of a standby. Its own standby.signal would go before recovery.signal, which would then
        // outlive the promotion and send the server into recovery again (xlogrecovery.c, readRecoverySignalFile).
        try prove("its signal files: it is to be recovered, and no standby", try signals(in: target), is: "recovery.signal")
        try proveAccessRules(target)
        try proveConfigurationStaysInside(target)
    }

    func signals(in directory: FilePath) throws -> String {
        try ["recovery.signal", "standby.signal"].filter { try Directory.exists(directory.appending($0)) }.joined(separator: ", ")
    }

    private func proveAccessRules(_ target: FilePath) throws {
        func rules(_ directory: FilePath) throws -> [String] {
            let text = try SmallFile.readText(directory.appending("pg_hba.conf")) ?? ""
            return text.split(whereSeparator: \.isNewline).filter { !$0.hasPrefix("#") }.map(String.init)
        }
        let (original, restored) = (try rules(hosts.node1.places.configuration), try rules(target))
        try prove(
            "its pg_hba.conf is that of node1", original == restored, expected: original.joined(separator: "; "),
            seen: original == restored ? "\(restored.count) rules, all equal" : restored.joined(separator: "; "))
    }

    /// node1's postgresql.conf names node1's data directory. Started with it as it is, the restored server would open
    /// the original's files.
    private func proveConfigurationStaysInside(_ target: FilePath) throws {
        let text = try SmallFile.readText(target.appending("postgresql.conf")) ?? ""
        let outside = text.split(whereSeparator: \.isNewline).map { $0.drop(while: \.isWhitespace) }.filter { line in
            ["data_directory", "hba_file", "ident_file"].contains { line.hasPrefix($0) } && !line.contains(target.string)
        }
        try prove(
            "its postgresql.conf points to no other server's files", outside.isEmpty, expected: "no such line",
            seen: outside.isEmpty ? "no such line" : outside.joined(separator: "; "))
    }
}
