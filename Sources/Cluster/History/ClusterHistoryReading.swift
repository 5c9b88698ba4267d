import Hosts
package import PostgresModel
import Repository
import SystemPackage

extension ClusterHistory {
    /// What this machine knows: its repository, and the journal of who we are.
    static func here(_ path: FilePath, cluster: String) throws -> ClusterHistory {
        ClusterHistory(
            stored: try stored(in: Repository(root: path, cluster: cluster)),
            commands: commands(in: try Journal.text(cluster: cluster)))
    }

    /// Of the repository's host and of this one. Where the repository is out of reach the journal is still here.
    package static func read(_ file: ClusterFile) throws -> (history: ClusterHistory, failure: Failure?) {
        let own = commands(in: try Journal.text(cluster: file.name)), path = file.repository.path
        do {
            guard let host = file.repository.host, !Host.isHere(host) else {
                return (ClusterHistory(stored: try stored(in: Repository(of: file)), commands: own), nil)
            }
            let session = try HostSession.open(
                Host(name: Plan.repositoryHost, way: .ssh(file.repository.ssh ?? host)), SSH())
            var history: ClusterHistory = try session.call(HostRequest.history(repository: path.string, cluster: file.name))
            history.commands += own
            return (history, nil)
        } catch let failure as Failure where failure.code != .interrupted {
            return (ClusterHistory(commands: own), failure)
        }
    }
}
