import Postgres
import PostgresModel
import Repository
import Storage
import SystemPackage

/// Saves the configuration files that lie outside the data directory and so are no part of a base backup.
///
/// They are read through SQL, which asks for privileges that a backup role does not have by itself. What may not be
/// read is named in the backup's record; `check` says how to grant it.
struct ConfigurationFiles {
    private let connection: Connection

    init(_ conninfo: String, application: String) throws {
        connection = try Connection(conninfo, application: application)
    }

    struct Saved {
        var files: [BackupRecord.ConfigurationFile] = []
        var missing: [String] = []
    }

    func save(to directory: FilePath) throws -> Saved {
        var saved = Saved()
        guard let settings = try paths(), let data = settings["data_directory"] else {
            saved.missing = [
                "config_file, hba_file, ident_file: the role may not see where they are (grant pg_read_all_settings)"
            ]
            return saved
        }
        var sources: [(BackupRecord.ConfigurationFile.Kind, String)] = []
        for (kind, setting) in [
            (BackupRecord.ConfigurationFile.Kind.config, "config_file"), (.hba, "hba_file"), (.ident, "ident_file"),
        ] {
            if let path = settings[setting] { sources.append((kind, path)) }
        }
        for path in try includedFiles(&saved) where !sources.contains(where: { $0.1 == path }) {
            sources.append((.included, path))
        }
        for (kind, path) in sources where !path.hasPrefix(data + "/") {
            try save(kind, path, in: directory, &saved)
        }
        if !saved.files.isEmpty { try Directory.synchronize(directory) }
        return saved
    }

    private func paths() throws -> [String: String]? {
        let rows = try connection.query(
            "SELECT name, setting FROM pg_settings WHERE name IN ('config_file', 'hba_file', 'ident_file', 'data_directory')")
        let settings = Dictionary(rows.compactMap { row in row[0].flatMap { name in row[1].map { (name, $0) } } }) { $1 }
        return settings["config_file"] == nil ? nil : settings
    }

    private func includedFiles(_ saved: inout Saved) throws -> [String] {
        do {
            return try connection.query(
                "SELECT DISTINCT sourcefile FROM pg_file_settings WHERE sourcefile IS NOT NULL ORDER BY 1"
            ).compactMap { $0[0] }
        } catch let failure as Failure where failure.code == .permissionDenied {
            saved.missing.append(
                "included files: the role may not list them (grant EXECUTE ON FUNCTION pg_show_all_file_settings())")
            return []
        }
    }

    private func save(
        _ kind: BackupRecord.ConfigurationFile.Kind, _ path: String, in directory: FilePath, _ saved: inout Saved
    ) throws {
        let content: String
        do {
            content = try connection.query("SELECT pg_read_file($1)", [path]).first?[0] ?? ""
        } catch let failure as Failure where failure.code == .permissionDenied || failure.code == .serverError {
            saved.missing.append("\(path): \(failure.message)")
            return
        }
        let base = FilePath(path).lastComponent?.string ?? "file"
        let name = kind == .included ? "included-\(saved.files.count)-\(base)" : base
        try Directory.create(directory, permissions: 0o750)
        // These files may hold secrets (primary_conninfo with a password): nobody else may read them.
        try SmallFile.write(content, to: directory.appending(name), permissions: 0o600)
        saved.files.append(
            BackupRecord.ConfigurationFile(
                kind: kind, path: path, name: name, content: try BackupWriter.describe(directory.appending(name))))
    }
}
