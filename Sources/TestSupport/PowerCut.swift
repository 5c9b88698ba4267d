import Glibc
import Hosts
import Lab
import PostgresModel
package import Storage
package import SystemPackage

/// Cuts the power of the host that a program runs on, afterwards: takes back what the program never made durable.
///
/// The program runs with a preloaded library (Sources/CPowerCut) that keeps a journal of everything it does below one
/// directory. When all its processes are dead, `strike` leaves there what a disk would have had. A sync that fails, as it may
/// be told to by `fault`, makes nothing durable, and no later one makes up for it.
package struct PowerCut: Sendable {
    /// What becomes of that which was not synced.
    package enum Loss: String, CaseIterable, Sendable {
        /// All of it is lost, directory by directory: the harshest that POSIX allows.
        case everything
        /// As a journaling file system does it: operations on names survive up to some moment, in their order; of a file's
        /// bytes, each page has what it had at some moment, and the size is that of some moment.
        case someThings
    }

    /// How much was taken back.
    package struct Report: Equatable, Sendable {
        package var changes = 0
        package var names = 0
        package var isEmpty: Bool { changes == 0 && names == 0 }

        package init() {}

        package static func += (sum: inout Report, other: Report) {
            sum.changes += other.changes
            sum.names += other.names
        }
    }

    package let root: FilePath
    private let store: FilePath
    private let owner: Owner

    private var journal: FilePath { store.appending("journal") }
    private var inodes: FilePath { store.appending("inodes") }
    private var faultFile: FilePath { store.appending("fault") }
    private var library: FilePath { store.appending("power_cut.so") }

    /// Watches `root`, which exists, and keeps its records in `store`, on the same file system and not below `root`.
    package init(of root: FilePath, store: FilePath, owner: Owner) throws {
        (self.root, self.store, self.owner) = (root, store, owner)
        try Directory.create(store, owner: owner)
        try Directory.create(inodes, owner: owner)
        // Beside the tests' own program, where SwiftPM builds it. A copy that any account can read.
        guard let program = Directory.linkTarget("/proc/self/exe") else { throw TestFailure("no /proc/self/exe") }
        let built = program.removingLastComponent().appending("libPowerCut.so")
        try Command("/usr/bin/install", ["--mode=755", built.string, library.string]).run()
    }

    /// For the program whose host it is. One that `lies` has a disk that says it wrote what it did not.
    package func environment(lies: Bool = false) -> [String: String] {
        let environment = [
            "LD_PRELOAD": library.string, "PGARK_CUT_ROOT": root.string, "PGARK_CUT_STORE": store.string,
        ]
        return lies ? environment.merging(["PGARK_CUT_LIE": "1"]) { $1 } : environment
    }

    // MARK: Faults

    package enum Call: String, Sendable { case write, sync, open }

    /// From now on, or the next time, such a call on a path that has `text` fails with this error.
    package func fault(_ call: Call, _ error: Int32, once: Bool = false, on text: String) throws {
        let line = "\(call) \(error) \(once ? "once" : "always") \(text)"
        try SmallFile.write(line, to: faultFile, permissions: 0o644, owner: owner)
    }

    package func heal() throws { try Directory.remove(faultFile) }

    /// True once a fault that happens once has happened.
    package var hasHappened: Bool { get throws { try !Directory.exists(faultFile) } }

    // MARK: The cut

    /// All processes that were watched have ended. Leaves what the disk has, and begins a new journal.
    @discardableResult
    package func strike(_ loss: Loss, using generator: inout SeededGenerator) throws -> Report {
        let journal = try PowerCutJournal(journal)
        var report = Report()
        let byInode = Dictionary(grouping: journal.changes, by: \.inode).sorted { $0.key < $1.key }
        for (inode, changes) in byInode {
            let path = inodes.appending("\(inode)")
            var file = PowerCutFile(path, changes, journal.syncs)
            report.changes += try file.cut(loss, using: &generator)
        }
        let lost = PowerCutNames(journal).lost(loss, using: &generator)
        for naming in lost.reversed() { for name in naming.names.reversed() { try restore(name) } }
        report.names = lost.count
        try begin()
        return report
    }

    /// From now on everything that is there counts as durable.
    package func begin() throws {
        try Directory.remove(journal)
        try Directory.removeContents(inodes)
    }

    /// Gives a name what it had. Where its directory is gone there is no such name.
    private func restore(_ name: PowerCutJournal.Name) throws {
        guard try Directory.exists(name.path.removingLastComponent()) else { return }
        let status = try Directory.status(name.path)
        switch name.before {
        case .nothing: try Directory.removeTree(name.path)
        case .directory: try Directory.create(name.path, permissions: 0o750, owner: owner)
        case .file(let inode):
            if status?.inode == inode { return }
            try Directory.removeTree(name.path)
            let kept = inodes.appending("\(inode)")
            let isLinked = kept.withPlatformString { kept in name.path.withPlatformString { link(kept, $0) } } == 0
            guard isLinked else { throw Failure.system("link \(kept) to", name.path) }
        }
    }
}

/// Which operations on names a power cut takes back.
struct PowerCutNames {
    private let namings: [PowerCutJournal.Naming]
    private let syncs: [PowerCutJournal.Sync]

    init(_ journal: PowerCutJournal) { (namings, syncs) = (journal.namings, journal.syncs) }

    /// In their order.
    func lost(_ loss: PowerCut.Loss, using generator: inout SeededGenerator) -> [PowerCutJournal.Naming] {
        switch loss {
        case .everything: return namings.filter { !isDurable($0) }
        case .someThings:
            let durable = namings.lastIndex(where: isDurable).map { $0 + 1 } ?? 0
            return Array(namings[Int.random(in: durable...namings.count, using: &generator)...])
        }
    }

    /// A rename's new name, its last, decides.
    private func isDurable(_ naming: PowerCutJournal.Naming) -> Bool {
        let directory = naming.names.last?.path.removingLastComponent()
        return syncs.contains { sync in
            guard sync.covered > naming.position else { return false }
            return switch sync.scope {
            case .directory(let path): path == directory
            case .everything: true
            case .file: false
            }
        }
    }
}
