import Glibc
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// The system's OpenSSH, with the user's own configuration, agent and known_hosts. Several commands to one host share a
/// connection; nothing is ever asked for, and no password passes through us.
package final class SSH: Sendable {
    /// Holds the shared connections' sockets.
    private let directory: FilePath
    private let opened = Monitor<Set<String>>([])

    package init() throws {
        var name = Array("/tmp/pgark-ssh-XXXXXX".utf8CString)  // short: a socket's path has at most 107 bytes
        guard mkdtemp(&name) != nil else { throw Failure.system("create a directory in", "/tmp") }
        directory = FilePath(platformString: name)
    }

    deinit {
        for destination in opened.read({ $0 }) {
            _ = try? command(["-O", "exit", destination]).outcome()  // it would end by itself a little later
        }
        try? Directory.removeTree(directory)
    }

    /// A command line for the shell of `destination`.
    package func command(_ destination: String, _ line: String) -> Command {
        opened.change { _ = $0.insert(destination) }
        return command([destination, line])
    }

    private func command(_ arguments: [String]) -> Command {
        let options = [
            "BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=10", "ServerAliveCountMax=3", "ControlMaster=auto",
            "ControlPath=\(directory)/%C", "ControlPersist=60", "LogLevel=ERROR",
        ]
        return Command("/usr/bin/ssh", options.flatMap { ["-o", $0] } + arguments)
    }

    /// What ssh itself ends with, whatever the command there would.
    package static let failed: Int32 = 255
}
