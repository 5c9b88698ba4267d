import Hosts
import Lab
import PostgresModel
import Storage
package import SystemPackage

/// Holds a data directory against the backup_manifest in it, as PostgreSQL's pg_verifybackup does, which not every build of
/// PostgreSQL has (documentation: 71, Backup Manifest Format). Nothing of the code under test that reads or writes manifests
/// is used.
package struct ManifestJudge {
    /// What a restore changes on purpose, and what a server brings from elsewhere (src/bin/pg_verifybackup/pg_verifybackup.c,
    /// main).
    private static let ignored: Set = [
        "backup_manifest", "pg_wal", "postgresql.auto.conf", "recovery.signal", "standby.signal",
    ]

    /// How many files the manifest has.
    package let files: Int
    /// Names of files that are not as the manifest says, that are missing, or that it does not have.
    package let differences: [String]

    package init(_ directory: FilePath) throws {
        let text = try SmallFile.readText(directory.appending("backup_manifest")) ?? ""
        let manifest = try JSON(parsing: text)
        var differences: [String] = []
        guard let last = text.ranges(of: "\"Manifest-Checksum\"").last else { throw TestFailure("a manifest without a checksum") }
        let digest = try SHA256()
        Array(text[..<last.lowerBound].utf8).withUnsafeBytes { digest.add($0) }
        if manifest["Manifest-Checksum"].string != digest.hexadecimal() { differences.append("backup_manifest") }
        var known: Set<String> = []
        for file in manifest["Files"].array {
            guard let path = file["Path"].string, known.insert(path).inserted else {
                throw TestFailure("not a file of a manifest, or twice: \(file)")
            }
            if Self.ignored.contains(path) { continue }
            if try !Self.matches(file, directory.pushing(FilePath(path))) { differences.append(path) }
        }
        files = known.count
        self.differences = try (differences + Self.names(below: directory).filter { !known.contains($0) }).sorted()
    }

    private static func matches(_ file: JSON, _ path: FilePath) throws -> Bool {
        guard let content = try SmallFile.read(path), content.count == file["Size"].int else { return false }
        let expected = file["Checksum"].string.flatMap { UInt32($0, radix: 16) }
        return expected == CRC32C(content).value.byteSwapped
    }

    /// The files below a directory, the tablespaces' included.
    private static func names(below directory: FilePath, _ prefix: String = "") throws -> [String] {
        try (Directory.names(in: directory) ?? []).flatMap { name -> [String] in
            let path = directory.appending(name)
            if prefix.isEmpty, ignored.contains(name) { return [] }
            return switch try Directory.status(path)?.kind {
            case .directory, .symbolicLink: try names(below: path, prefix + name + "/")
            default: [prefix + name]
            }
        }
    }
}

extension TestServer {
    /// What is wrong with a directory that was restored and not started yet, by our judge and, where it runs, PostgreSQL's.
    /// A restore's WAL comes from the repository when the server starts; an export's is there, and looked at `withWAL`.
    package func problems(withWAL: Bool = false) throws -> [String] {
        if instance.programs.works("pg_verifybackup") {
            let outcome = try instance.command("pg_verifybackup", (withWAL ? [] : ["--no-parse-wal"]) + [data.string]).outcome()
            if !outcome.succeeded { return [outcome.output + outcome.errors] }
        }
        return try ManifestJudge(data).differences + (withWAL ? problemsOfWAL() : [])
    }

    /// As pg_verifybackup does it, where that does not run (src/bin/pg_verifybackup/pg_verifybackup.c, parse_required_wal).
    private func problemsOfWAL() throws -> [String] {
        let manifest = try JSON(parsing: SmallFile.readText(data.appending("backup_manifest")) ?? "")
        return try manifest["WAL-Ranges"].array.compactMap { range in
            guard let timeline = range["Timeline"].int, let start = range["Start-LSN"].string, let end = range["End-LSN"].string
            else { return "not a range of WAL: \(range)" }
            let outcome = try instance.command(
                "pg_waldump",
                ["--quiet", "--path=\(data)/pg_wal", "--timeline=\(timeline)", "--start=\(start)", "--end=\(end)"]
            ).outcome()
            return outcome.succeeded ? nil : outcome.output + outcome.errors
        }
    }
}
