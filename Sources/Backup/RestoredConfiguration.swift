import PostgresModel
import Repository
import Storage
import SystemPackage

/// Puts configuration files that lay outside the data directory back, into the restored directory.
///
/// There the server finds them without being told. Lines that would lead it back to the old places are taken out, each
/// with a mark; everything else is as it was.
package struct RestoredConfiguration: Sendable {
    /// Names below the restored directory.
    package private(set) var files: [String] = []
    /// Those of the data directory that its server did not read, by the names that they have now.
    package private(set) var unused: [String] = []
    /// Lines that were changed: "file: line".
    package private(set) var changes: [String] = []

    /// Settings that name places of the server that was backed up.
    private static let places = ["data_directory", "hba_file", "ident_file", "config_file", "external_pid_file"]

    init(_ reader: BackupReader, _ destination: RestoreDestination) throws {
        let saved = reader.record.configuration
        let base = saved.first { $0.kind == .config }.map { FilePath($0.path).removingLastComponent().string + "/" }
        let owner = Owner.current.isRoot ? destination.owner : nil
        for file in saved {
            guard let text = try SmallFile.readText(reader.configurationPath(file)) else {
                throw Failure(.damaged, "could not restore \(file.path): \(file.name) is missing in the backup")
            }
            try reader.requireUndamaged(reader.configurationPath(file), file.content)
            let name = Self.name(file, base: base)
            let path = destination.directory.appending(name)
            if try Directory.exists(path) { try setAside(path, name) }
            try Directory.create(path.removingLastComponent(), owner: owner)
            let content = file.kind == .hba || file.kind == .ident ? text : try adapted(text, name, destination, owner)
            try SmallFile.write(content, to: path, owner: owner)
            files.append(name)
        }
    }

    /// The data directory had one too, which its server did not read: it was told to read the one that is put back.
    private mutating func setAside(_ path: FilePath, _ name: String) throws {
        try Directory.rename(path, to: FilePath("\(path).unused"))
        unused.append("\(name).unused")
        changes.append("\(name): the one of the data directory, which the server did not read, is \(name).unused now")
    }

    private static func name(_ file: BackupRecord.ConfigurationFile, base: String?) -> String {
        switch file.kind {
        case .config: "postgresql.conf"
        case .hba: "pg_hba.conf"
        case .ident: "pg_ident.conf"
        case .included:
            if let base, file.path.hasPrefix(base) { String(file.path.dropFirst(base.count)) } else { "included/\(file.name)" }
        }
    }

    private mutating func adapted(_ text: String, _ name: String, _ destination: RestoreDestination, _ owner: Owner?) throws
        -> String
    {
        try text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { Substring($0) }.map { line in
            guard let setting = Setting(line) else { return String(line) }
            if Self.places.contains(setting.name) { return change(line, name) }
            guard ["include", "include_if_exists", "include_dir"].contains(setting.name) else { return String(line) }
            if setting.value.hasPrefix("/") { return change(line, name) }
            if setting.name == "include_dir" {
                let folder = destination.directory.appending(name).removingLastComponent().appending(setting.value)
                try Directory.create(folder, owner: owner)
            }
            return String(line)
        }.joined(separator: "\n")
    }

    private mutating func change(_ line: Substring, _ name: String) -> String {
        changes.append("\(name): \(line)")
        return "# \(line)  # taken out by pgark restore"
    }

    /// "name = 'value'  # remark", as the server reads it: the equals sign and the quotes are optional.
    package struct Setting {
        package let name: String
        package let value: String

        package init?(_ line: some StringProtocol) {
            let text = line.drop(while: \.isWhitespace)
            let name = text.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." }
            guard !name.isEmpty else { return nil }
            var rest = text[name.endIndex...].drop(while: \.isWhitespace)
            if rest.first == "=" { rest = rest.dropFirst().drop(while: \.isWhitespace) }
            self.name = name.lowercased()
            if rest.first == "'" {
                value = String(rest.dropFirst().prefix { $0 != "'" })
            } else {
                value = String(rest.prefix { !$0.isWhitespace && $0 != "#" })
            }
        }
    }
}
