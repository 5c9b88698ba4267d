import Glibc
import Hosts
import PostgresModel
package import Storage
package import SystemPackage

/// The lab's directory, and the account that owns it.
///
/// As root the lab belongs to the account `postgres`: root only makes the directory, then becomes that account for
/// good, so that servers, receiver, repository and every later command run without root's rights. Only a directory
/// that is missing, empty or carries our lab.json is ever touched.
package struct LabHome: Sendable {
    package let directory: FilePath

    package static var defaultDirectory: FilePath {
        if Owner.current.isRoot { return "/var/tmp/pgark-lab" }
        let state = Environment["XDG_STATE_HOME"].flatMap { $0.isEmpty ? nil : FilePath($0) }
        return (state ?? FilePath(Environment["HOME"] ?? "/var/tmp").pushing(".local/state")).appending("pgark-lab")
    }

    package var program: FilePath { directory.pushing("bin/pgark") }
    package var stateFile: FilePath { directory.appending("lab.json") }
    package var passfile: FilePath { directory.appending("passfile") }
    package var clusterFile: FilePath { directory.appending("pgark.yaml") }
    package var repository: FilePath { directory.appending("repository") }
    package var restored: FilePath { directory.appending("restored") }
    package var receiverLog: FilePath { directory.appending("receiver.log") }
    private var lockFile: FilePath { directory.appending("lab.lock") }

    /// Who the lab's files belong to where that is not the user who typed the command.
    private let account: Account?

    /// " --directory DIR", to be pasted behind a lab command; empty where it finds this lab without.
    package let option: String

    private init(_ directory: FilePath?) throws {
        self.directory = Directory.absolute(directory ?? Self.defaultDirectory)
        option = self.directory == Self.defaultDirectory ? "" : " --directory \(Shell.quoted(self.directory.string))"
        account = try Account.forServers()
    }

    /// One of pgark's commands on this lab, as the user would type it: root as the lab's account, so that no file of
    /// root's comes into the repository.
    package func typed(_ command: String) -> String {
        let prefix = account.map { "runuser -u \($0.name) -- " } ?? ""
        return "\(prefix)\(Shell.quoted(program.string)) \(command) --config \(Shell.quoted(clusterFile.string))"
    }

    // MARK: Entering

    /// Makes the directory where it is missing, gives up root's rights, and puts a copy of this program in it: the
    /// servers' account must be able to run it as its restore_command.
    package static func prepare(_ directory: FilePath?) throws -> LabHome {
        let home = try LabHome(directory)
        let own = try File("/proc/self/exe", .read)  // not readable any more once we are somebody else
        try home.makeDirectory()
        try home.enter()
        try home.install(own)
        return home
    }

    /// An existing lab, entered as its owner. Throws where there is none.
    package static func open(_ directory: FilePath?) throws -> LabHome {
        let home = try LabHome(directory)
        guard let names = try Directory.names(in: home.directory), !names.isEmpty else {
            throw Failure(.labMissing, "could not find a lab in \(home.directory)", hint: "Make one: pgark lab up")
        }
        try home.requireOurs(names)
        try home.enter()
        return home
    }

    private func makeDirectory() throws {
        guard let status = try Directory.status(directory) else {
            try Directory.create(directory.removingLastComponent(), permissions: 0o755)
            return try Directory.create(directory, permissions: 0o755, owner: account?.owner)
        }
        let owners = [Owner.current.user, account?.owner.user].compactMap { $0 }
        guard status.kind == .directory, owners.contains(status.owner.user) else {
            throw Failure(
                .foreignSystem, "could not use \(directory) as the lab: it is not a directory of ours",
                hint: "Name another one: --directory DIR")
        }
        let names = try Directory.names(in: directory) ?? []
        try requireOurs(names)
        if names.isEmpty, let account { try Directory.setOwner(of: directory, account.owner) }
    }

    private func requireOurs(_ names: [String]) throws {
        // A first `lab up` that was interrupted may have left no more than the program and its lock.
        if Set(names).isSubset(of: ["bin", "lab.lock"]) { return }
        guard try LabState.read(stateFile) != nil else {
            throw Failure(
                .directoryNotEmpty, "could not use \(directory) as the lab: it holds other files and no lab.json",
                hint: "Name an empty or a new directory: --directory DIR")
        }
    }

    private func enter() throws {
        try account?.become()
        umask(0o027)
        guard chdir(directory.string) == 0 else { throw Failure.system("enter", directory) }
        for name in Environment.all.keys where name.hasPrefix("PG") && !name.hasPrefix("PGARK_") {
            unsetenv(name)  // libpq's variables are about the user's own servers
        }
    }

    private func install(_ own: File) throws {
        try Directory.create(program.removingLastComponent(), permissions: 0o755)
        let temporary = FilePath("\(program).tmp")
        let copy = try File(temporary, .replace, permissions: 0o755)
        try withUnsafeTemporaryAllocation(byteCount: 1 << 20, alignment: 16) { buffer in
            var offset = 0
            while true {
                let count = try own.read(at: offset, into: buffer)
                if count == 0 { break }
                try copy.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset)
                offset += count
            }
        }
        try Directory.setPermissions(of: temporary, 0o755)
        try Directory.rename(temporary, to: program)  // a receiver that still runs keeps the old file
    }

    // MARK: Using

    /// Held while a command changes the lab, so that two do not at once.
    package func lock(_ purpose: String) throws -> LockFile {
        try LockFile.require(lockFile, purpose: "pgark lab \(purpose)", to: "change the lab in \(directory)")
    }

    package func state() throws -> LabState? { try LabState.read(stateFile) }

    /// Removes what the lab made, except the program and the lock.
    func removeContents() throws {
        let kept = ["bin", "lab.lock", "lab.json"]
        for name in try Directory.names(in: directory) ?? [] where !kept.contains(name) {
            try Directory.removeTree(directory.appending(name))
        }
        try Directory.remove(stateFile)  // last: it is what makes the directory ours
    }

    /// Removes the directory. It stays, empty, where its parent belongs to somebody else; then false.
    func remove() throws -> Bool {
        try removeContents()
        try Directory.removeContents(directory)
        return directory.withPlatformString { rmdir($0) } == 0
    }
}
