import PostgresModel

/// What `init` must be told: by options, or by answers to questions. Pure.
package struct InitChoices: Sendable, Equatable {
    package var cluster: String?
    /// A server that runs already.
    package var from: String?
    package var manages = false
    /// Hosts to set up.
    package var hosts: [String] = []
    package var major: Int?
    package var installs: Bool?
    package var repositoryPath: String?
    package var repositoryHost: String?
    /// Where the hosts' repository is to be was asked.
    package var repositoryHostIsChosen = false
    private var wantsHosts: Bool?

    package init() {}

    package struct Question: Sendable, Equatable {
        package enum Key: Sendable { case way, from, hosts, major, installs, cluster, repositoryHost, repositoryPath }
        package var key: Key
        package var text: String
        /// What an empty answer means; nil where there must be one.
        package var standard: String?
    }

    /// Options that are missing where nobody can be asked.
    package var missing: [String] {
        var missing: [String] = []
        if cluster == nil { missing.append("--cluster NAME") }
        if from == nil, hosts.isEmpty {
            missing.append("--from CONNINFO (a server that runs already) or --host ADDRESS (hosts to set up)")
        }
        return missing
    }

    package var contradiction: String? {
        if from != nil, !hosts.isEmpty { return "--from is for a server that runs already, and --host for hosts to set up" }
        if manages, from == nil, !hosts.isEmpty { return "--manage is about the server of --from" }
        if from.map({ !ConnectionText($0).isConnectionString }) ?? false {
            return "--from takes a connection string, such as \"host=192.0.2.11 user=postgres\""
        }
        if let keyword = from.flatMap({ ConnectionText($0).secretKeyword }) {
            return
                "--from must not hold a \(keyword), which others would see; keep it in ~/.pgpass (mode 0600: host:port:*:user:password)"
        }
        if let cluster, !ClusterFileParser.isName(cluster) {
            return "\"\(cluster)\" cannot name a cluster: letters, digits, - and _ may occur, at most 63 of them, not - first"
        }
        if let major, !ServerVersion.supportedMajors.contains(major) {
            return "--postgres takes a major version from \(ServerVersion.supportedMajors.lowerBound) to "
                + "\(ServerVersion.supportedMajors.upperBound)"
        }
        return nil
    }

    /// What to ask next; nil when all is known.
    package func next(standardPath: String, standardCluster: String) -> Question? {
        if from == nil, hosts.isEmpty {
            switch wantsHosts {
            case nil: return .init(key: .way, text: "Protect a server that runs already (1), or set up hosts (2)?", standard: "1")
            case false?:
                return .init(
                    key: .from, text: "How to connect to it as a superuser, as psql would take it", standard: "user=postgres")
            case true?: return .init(key: .hosts, text: "Addresses of the hosts, the primary first", standard: nil)
            }
        }
        if cluster == nil { return .init(key: .cluster, text: "Name of the cluster", standard: standardCluster) }
        if from == nil {
            if major == nil { return .init(key: .major, text: "Major version of PostgreSQL", standard: "18") }
            if installs == nil {
                return .init(key: .installs, text: "May what is missing be installed, with apt?", standard: "no")
            }
            if repositoryHost == nil, !repositoryHostIsChosen {
                return .init(key: .repositoryHost, text: "Host of the repository (here: this one)", standard: "here")
            }
        }
        if repositoryPath == nil {
            return .init(key: .repositoryPath, text: "Directory of the repository", standard: standardPath)
        }
        return nil
    }

    /// Returns why an answer will not do; nil where it was taken.
    package mutating func take(_ answer: String, to question: Question) -> String? {
        let answer = answer.trimmed.isEmpty ? question.standard ?? "" : answer.trimmed
        guard !answer.isEmpty else { return "an answer is needed" }
        var new = self
        switch question.key {
        case .way:
            guard ["1", "2"].contains(answer) else { return "1 or 2" }
            new.wantsHosts = answer == "2"
        case .from: new.from = answer
        case .hosts: new.hosts = answer.split { $0 == " " || $0 == "," }.map(String.init)
        case .cluster: new.cluster = answer
        case .major:
            guard let major = Int(answer) else { return "a number" }
            new.major = major
        case .installs:
            guard let yes = Self.truth(answer) else { return "yes or no" }
            new.installs = yes
        case .repositoryHost:
            new.repositoryHost = answer == "here" ? nil : answer
            new.repositoryHostIsChosen = true
        case .repositoryPath:
            guard answer.hasPrefix("/") else { return "a path that begins with /" }
            new.repositoryPath = answer
        }
        if let contradiction = new.contradiction { return contradiction }
        self = new
        return nil
    }

    package static func truth(_ answer: String) -> Bool? {
        ["y": true, "yes": true, "n": false, "no": false][answer.lowercased()]
    }
}
