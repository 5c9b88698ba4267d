package import Repository

extension Repository {
    /// The part of a repository that a cluster file speaks of.
    package init(of file: ClusterFile) { self.init(root: file.repository.path, cluster: file.name) }
}
