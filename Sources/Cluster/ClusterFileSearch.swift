import Glibc
import PostgresModel
import Storage
package import SystemPackage

extension ClusterFile {
    /// The cluster file that applies: `config`, else $PGARK_CONFIG, else ./pgark.yaml, else the one in /etc/pgark that
    /// is about `cluster`.
    package static func find(config: FilePath?, cluster: String?) throws -> ClusterFile {
        let variable = getenv("PGARK_CONFIG").map { FilePath(String(cString: $0)) }
        return try ClusterFileSearch(config: config, variable: variable?.isEmpty == true ? nil : variable).find(cluster)
    }
}

extension ClusterFile {
    /// Beside the cluster file may be a passfile of its name, as `init` makes one.
    package var ownPassfile: FilePath { path.removingLastComponent().appending("\(name).pgpass") }

    /// Its connections with the passfile that has their password: that beside it, or the one that `apply` left on this host,
    /// whichever may be read. Where neither does, libpq looks where it always does.
    package func withPassfile() throws -> ClusterFile {
        var file = self
        let ours = [RepositoryHost.passfile(name), ownPassfile]
        for path in ours {
            let passfile = try Passfile.read(path)
            for index in nodes.indices {
                let connection = ConnectionText(nodes[index].connection)
                // A person's own choice stays.
                guard connection.passfile.map({ ours.contains(FilePath($0)) }) ?? true,
                    passfile.password(for: connection) != nil
                else { continue }
                file.nodes[index].connection = ConnectionText.withPassfile(path.string, nodes[index].connection)
            }
        }
        return file
    }
}

/// Where cluster files are looked for, in this order.
struct ClusterFileSearch {
    /// Given on the command line, and in the environment: such a file must be there.
    var config: FilePath?
    var variable: FilePath?
    var local: FilePath = "pgark.yaml"
    var system: FilePath = "/etc/pgark"

    func find(_ cluster: String?) throws -> ClusterFile {
        if let path = config ?? variable { return try named(path, cluster) }
        if try Directory.exists(local) {
            let file = try read(local)
            if cluster == nil || cluster == file.name { return file }
        }
        return try systemFile(cluster)
    }

    private func named(_ path: FilePath, _ cluster: String?) throws -> ClusterFile {
        let file = try read(path)
        if let cluster, cluster != file.name {
            throw Failure(
                .clusterMissing, "could not find cluster \"\(cluster)\": \(path) is about \"\(file.name)\"",
                hint: "Leave out --cluster, or name another file: --config FILE")
        }
        return file
    }

    private func read(_ path: FilePath) throws -> ClusterFile {
        guard let text = try SmallFile.readText(path) else {
            let origin = config == nil && path == variable ? " (from $PGARK_CONFIG)" : ""
            throw Failure(
                .configuration, "could not read the cluster file \(path)\(origin): it does not exist", hint: Self.example)
        }
        return try ClusterFile.parse(text: text, path: path).withPassfile().withTrustedAuthorities()
    }

    /// Of several files the one about `cluster`; a broken one matters only where no other is.
    private func systemFile(_ cluster: String?) throws -> ClusterFile {
        let names = (try Directory.names(in: system) ?? []).filter { $0.hasSuffix(".yaml") }
        let files = names.map { name in Swift.Result { try read(system.appending(name)) } }
        if cluster == nil, files.count == 1 { return try files[0].get() }
        let readable = files.compactMap { try? $0.get() }  // the others are thrown below
        let matching = readable.filter { $0.name == cluster }
        if matching.count == 1 { return matching[0] }
        if matching.count > 1 {
            throw Failure(
                .configuration, "could not choose a cluster file: several are about \"\(matching[0].name)\"",
                details: matching.map { "\($0.path)" }, hint: "Name one of them: --config FILE")
        }
        for file in files { _ = try file.get() }
        throw missing(cluster, readable)
    }

    private func missing(_ cluster: String?, _ files: [ClusterFile]) -> Failure {
        guard !files.isEmpty else {
            return Failure(
                .configuration, "could not find a cluster file: there is none",
                details: ["looked for --config, $PGARK_CONFIG, ./\(local), \(system)/*.yaml"], hint: Self.example)
        }
        let details = files.map { "\($0.path) is about \"\($0.name)\"" }
        guard let cluster else {
            return Failure(
                .configuration, "could not choose a cluster file: there are \(files.count)", details: details,
                hint: "Name a cluster: --cluster \(files[0].name)")
        }
        return Failure(
            .clusterMissing,
            "could not find cluster \"\(cluster)\"\(Suggestion.text(for: cluster, among: files.map(\.name)))", details: details)
    }

    private static let example = """
        A small cluster file is enough; write one as pgark.yaml:
        cluster: shop
        nodes:
          node1: { connection: "host=10.0.0.11 user=pgark dbname=postgres" }
        repository:
          path: /var/lib/pgark
        """
}
