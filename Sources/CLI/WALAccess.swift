import Cluster
import Glibc
import Hosts
import Repository
import Storage
import SystemPackage

/// Whether a restored server will be able to get its WAL by itself. What root restores runs as another account, which may have no
/// way into the repository, or to the cluster file: `apply` gives the repository to one of its own.
struct WALAccess {
    private let places: [FilePath]
    private let owner: Owner

    init(_ file: ClusterFile, _ repository: Repository, _ owner: Owner) {
        places = [file.path, repository.directory.appending("wal")]
        self.owner = owner
    }

    let remark = "note        the WAL up to there is put into pg_wal: the server's account may not read the repository"

    func isOpen() throws -> Bool {
        guard Owner.current.isRoot, !owner.isRoot, let entry = getpwuid(owner.user),
            let account = Account(named: String(cString: entry.pointee.pw_name))
        else { return true }
        return try account.acting { places.allSatisfy { faccessat(AT_FDCWD, $0.string, R_OK, AT_EACCESS) == 0 } }
    }
}
