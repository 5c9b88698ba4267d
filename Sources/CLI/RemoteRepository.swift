import Cluster
import Glibc
import Hosts
import PostgresModel
import Storage
import SystemPackage

extension ClusterFile {
    var repositoryIsElsewhere: Bool { repository.host.map { !Host.isHere($0) } ?? false }
}

/// A command whose repository is another host's is run there, by the program that `apply` left there.
struct RemoteRepository {
    let file: ClusterFile

    init(_ file: ClusterFile) { self.file = file }

    /// Becomes ssh: what is typed, printed and returned passes through.
    func goOn(redraws: Bool) throws -> Never {
        let destination = file.repository.ssh ?? file.repository.host!
        let line = (["pgark"] + arguments + ["--config", "/etc/pgark/\(file.name).yaml"]).map(Shell.quoted).joined(separator: " ")
        let script = "if [ \"$(id -u)\" = 0 ] || ! sudo -n true 2>/dev/null; then exec \(line); else exec sudo -n \(line); fi"
        // Twice, ssh makes one also where its input is none.
        let terminal = isatty(STDOUT_FILENO) == 1 ? [redraws ? "-tt" : "-t"] : []
        let words = ["ssh"] + terminal + ["-o", "LogLevel=ERROR", destination, script]
        var pointers = words.map { strdup($0) } + [nil]
        execv("/usr/bin/ssh", &pointers)
        throw Failure.system("run", "/usr/bin/ssh")
    }

    /// As they were given, without the cluster file.
    private var arguments: [String] {
        var kept: [String] = [], rest = CommandLine.arguments.dropFirst()
        while let word = rest.popFirst() {
            if word == "--config" || word == "--cluster" {
                _ = rest.popFirst()
            } else if !word.hasPrefix("--config="), !word.hasPrefix("--cluster=") {
                kept.append(word)
            }
        }
        // Variables stay here.
        return kept + (getenv("NO_COLOR") != nil && !kept.contains("--no-color") ? ["--no-color"] : [])
    }

    static func becomeOwner(of path: FilePath) throws {
        guard Owner.current.isRoot, let owner = try Directory.status(path)?.owner, !owner.isRoot,
            let entry = getpwuid(owner.user), let account = Account(named: String(cString: entry.pointee.pw_name))
        else { return }
        try account.become()
    }
}
