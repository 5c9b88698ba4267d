import Hosts
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// Writes our files into a server's place. What is the user's in them stays.
struct InstanceWriter {
    let site: InstanceSite
    private var owner: Owner { site.account.owner }

    func write(_ files: InstanceFiles) throws {
        try writePassfile(files.passfile)
        try writeSettings(files, in: FilePath(site.layout.configuration))
    }

    func writePassfile(_ text: String) throws {
        try SmallFile.write(text, to: FilePath(site.layout.passfile), permissions: 0o600, owner: owner)
    }

    /// `directory` has postgresql.conf and pg_hba.conf.
    func writeSettings(_ files: InstanceFiles, in directory: FilePath) throws {
        let include = FilePath(site.layout.include.replacing(site.layout.configuration, with: directory.string))
        try Directory.create(include.removingLastComponent(), permissions: 0o755, owner: owner)
        try SmallFile.write(files.include, to: include, permissions: 0o640, owner: owner)
        let main = directory.appending("postgresql.conf"), access = directory.appending("pg_hba.conf")
        let text = try SmallFile.readText(main) ?? ""
        if !IncludeLine.isThere(text, site.layout) {
            let line = site.layout.kind == .debian ? "include_dir = 'conf.d'" : IncludeLine.text
            try SmallFile.write(
                text + (text.hasSuffix("\n") || text.isEmpty ? "" : "\n") + line + "\n", to: main, permissions: 0o644,
                owner: owner)
        }
        let rules = try SmallFile.readText(access) ?? ""
        let new = AccessBlock.replace(in: rules, with: files.accessRules)
        if new != rules { try SmallFile.write(new, to: access, permissions: 0o640, owner: owner) }
    }

    /// What ALTER SYSTEM left hides our file. Of a running server by its own means, else in the file.
    func reset(_ names: [String]) throws {
        if let postmaster = Postmaster(site.data) {
            if Owner.current.isRoot { try site.account.become() }
            let connection = try postmaster.connect()
            for name in names { try connection.query("ALTER SYSTEM RESET \(name)") }
            return
        }
        try reset(names, in: site.data)
    }

    /// In the file of a server that does not run.
    func reset(_ names: [String], in data: FilePath) throws {
        let path = data.appending("postgresql.auto.conf")
        guard let text = try SmallFile.readText(path) else { return }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let kept = lines.filter { line in
            let name = line.drop { $0.isWhitespace }.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." }
            return !names.contains(name.lowercased())
        }
        try SmallFile.write(kept.joined(separator: "\n"), to: path, permissions: 0o600, owner: owner)
    }
}
