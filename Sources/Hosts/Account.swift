import Glibc
import PostgresModel
package import Storage
package import SystemPackage

/// An account of the operating system. PostgreSQL refuses to run as root, so root's servers run as `postgres`.
package struct Account: Sendable {
    package let name: String
    package let owner: Owner
    package let home: FilePath

    package init?(named name: String) {
        guard let entry = getpwnam(name) else { return nil }
        self.name = name
        owner = Owner(user: entry.pointee.pw_uid, group: entry.pointee.pw_gid)
        home = FilePath(platformString: entry.pointee.pw_dir)
    }

    /// The account for servers where we are root; nil where we are not, and servers run as ourselves.
    package static func forServers() throws -> Account? {
        guard Owner.current.isRoot else { return nil }
        if let account = Account(named: "postgres"), !account.owner.isRoot { return account }
        throw Failure(
            .unsupported, "could not run a PostgreSQL server: root must not, and there is no account \"postgres\"",
            hint: "Run as an ordinary user, or create the account: useradd --system --create-home postgres")
    }

    /// Makes this process one of the account's, for good: there is no way back to root.
    package func become() throws {
        let done = initgroups(name, owner.group) == 0 && setgid(owner.group) == 0 && setuid(owner.user) == 0
        guard done, getuid() == owner.user, geteuid() == owner.user, setuid(0) != 0 else {
            throw Failure(.permissionDenied, "could not become \"\(name)\": \(String(cString: strerror(errno)))")
        }
        setenv("HOME", home.string, 1)
        setenv("USER", name, 1)
        setenv("LOGNAME", name, 1)
    }

    /// Does something as the account, and is root again after it. What asks the kernel who we are, as a server does on a socket,
    /// is told of the account.
    package func acting<Value>(_ body: () throws -> Value) throws -> Value {
        guard setegid(owner.group) == 0, seteuid(owner.user) == 0 else {
            throw Failure(.permissionDenied, "could not act as \"\(name)\": \(String(cString: strerror(errno)))")
        }
        defer {
            precondition(seteuid(0) == 0 && setegid(0) == 0, "root can always become root again")
        }
        return try body()
    }

    /// The same command, run by the account: for a root that stays root, as that of the tests.
    package func running(_ command: Command) -> Command {
        var wrapped = command
        wrapped.program = "/usr/bin/setpriv"
        wrapped.arguments =
            ["--reuid=\(owner.user)", "--regid=\(owner.group)", "--init-groups", "--", command.program.string]
            + command.arguments
        wrapped.environment["HOME"] = home.string
        return wrapped
    }
}
