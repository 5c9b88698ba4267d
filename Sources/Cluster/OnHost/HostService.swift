import FoundationEssentials
import Glibc
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// The other end of a `HostSession`: one request in, one answer out.
package enum HostService {
    /// What the program prints: {"answer": …}.
    package static func answer(_ request: [UInt8]) throws -> [UInt8] {
        let request = try JSONDecoder().decode(HostRequest.self, from: Data(request))
        switch request {
        case .observe(let questions): return try encoded(facts(questions))
        case .survey: return try encoded(RunningServers.survey())
        case .planRestore(let questions): return try encoded(RepositoryHost.outline(questions))
        case .history(let path, let cluster): return try encoded(ClusterHistory.here(FilePath(path), cluster: cluster))
        case .requestCertificate(let layout, let node):
            return try encoded(NodeCertificate(site: HostActor().site(layout)).request(node))
        case .issueCertificate(let request):
            return try encoded(CertificateAuthority(cluster: request.cluster).issue(request))
        case .installCertificate(let layout, let issued):
            try NodeCertificate(site: HostActor().site(layout)).install(issued)
            return try encoded(HostAnswer())
        case .unfinishedBytes(let layout): return try encoded(Directory.treeSize(HostActor().site(layout).unfinished))
        case .perform(let action): return try encoded(HostAnswer(remark: HostActor().perform(action)))
        }
    }

    /// Sends a backup and its WAL to our standard output.
    package static func send(_ questions: [UInt8]) throws {
        try RepositoryHost.send(JSONDecoder().decode(RestoreQuestions.self, from: Data(questions)))
    }

    /// Takes a data directory from our standard input.
    package static func receive(_ layout: [UInt8]) throws -> Never {
        let layout = try JSONDecoder().decode(InstanceLayout.self, from: Data(layout))
        try HostActor().creator(layout).receive()
    }

    private struct Answer<Content: Encodable>: Encodable { let answer: Content }

    private static func encoded(_ content: some Encodable) throws -> [UInt8] {
        Array(try JSONEncoder().encode(Answer(answer: content)))
    }

    private static func facts(_ questions: HostQuestions) throws -> HostFacts {
        // The server is asked last, as its own account.
        let repository = try questions.repository.map { try RepositoryHost.facts($0, cluster: questions.cluster) }
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, 255)
        let isRoot = Owner.current.isRoot
        return HostFacts(
            hostName: String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self), isRoot: isRoot,
            clock: Timestamp.now.seconds, hasSystemd: access("/run/systemd/system", F_OK) == 0,
            hasCron: try RepositoryServices.cronIsRunning(),
            hasApt: access("/usr/bin/apt-get", X_OK) == 0, hasLibPQ: Connection.isPossible,
            instance: try questions.instance.map { try InstanceObserver(questions: $0).facts() }, repository: repository)
    }
}
