import Storage
import SystemPackage
import TestSupport

/// Where the tablespaces of all these servers lie: outside of their data directories, and each server has its own.
///
/// A copy that replays CREATE TABLESPACE makes it where the original has it (src/backend/commands/tablespace.c,
/// tblspc_redo): on one machine among the original's own files. So the one location that is in the WAL leads through
/// /proc/self/cwd, which is the data directory for every process of a server, to a directory beside that.
struct TablespacePlaces {
    static let names = ["east", "west"]
    private static let directory = "spaces"

    private let site: TestSite

    init(_ site: TestSite) throws {
        self.site = site
        try Directory.link("/proc/self/cwd/../\(Self.directory)", at: site.directory.appending(Self.directory))
    }

    /// What a server is told.
    func location(_ name: String) -> FilePath { site.directory.appending(Self.directory).appending(name) }

    /// Where that is for the server with this data directory.
    func place(_ name: String, of data: FilePath) -> FilePath {
        data.removingLastComponent().appending(Self.directory).appending(name)
    }

    /// Makes them for the server that will be in `data`; a server does not make the directories that it is given.
    func prepare(for data: FilePath) throws {
        for name in Self.names { try Directory.create(place(name, of: data), owner: site.owner) }
    }
}
