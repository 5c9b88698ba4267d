import Storage
import SystemPackage

extension ClusterFile {
    /// Who gives the servers their certificates.
    package enum TLS: Sendable, Equatable {
        /// It is none of pgark's business: servers keep what they have, connections take what they get.
        case off
        /// A small authority on the repository's host.
        case cluster
        /// Somebody else does.
        case given(GivenCertificate)
    }

    /// Files on a node.
    package struct GivenCertificate: Codable, Sendable, Equatable {
        package var certificate: String
        package var key: String
        /// The authorities that the node's own connections trust, among them the one of its certificate.
        package var authority: String

        package init(certificate: String, key: String, authority: String) {
            self.certificate = certificate
            self.key = key
            self.authority = authority
        }
    }

    /// What holds for a node; of one that is only protected nothing is known.
    package func tls(of node: Node) -> TLS {
        guard let placement = node.placement else { return .off }
        return placement.tls.map { .given($0) } ?? tls
    }

    /// Nodes whose servers have certificates that pgark makes or checks.
    var nodesWithTLS: [Node] { nodes.filter { tls(of: $0) != .off } }

    /// Its connections with a check of whom they reach, where `apply` has left on this host whom to trust.
    func withTrustedAuthorities() throws -> ClusterFile {
        let path = TrustedAuthorities.path(name)
        guard !nodesWithTLS.isEmpty, try Directory.exists(path) else { return self }
        var file = self
        for index in nodes.indices where tls(of: nodes[index]) != .off {
            file.nodes[index].connection += " " + ConnectionText.make(ConnectionText.verifying(path.string))
        }
        return file
    }
}

extension ClusterFileParser {
    private static let tlsForm = "off, cluster or { certificate: PATH, key: PATH, ca: PATH }"
    private static let givenExample = "{ certificate: /etc/ssl/db.crt, key: /etc/ssl/private/db.key, ca: /etc/ssl/ca.crt }"

    mutating func tls(_ top: YAMLMapping) -> ClusterFile.TLS {
        guard top.isMapping("tls") else {
            return top.value("tls", expected: Self.tlsForm, &problems) { ["off": .off, "cluster": .cluster][$0] } ?? .off
        }
        return givenCertificate(top).map { .given($0) } ?? .off
    }

    /// Nil where the key is not there, or with problems.
    mutating func givenCertificate(_ parent: YAMLMapping) -> ClusterFile.GivenCertificate? {
        guard let mapping = parent.mapping("tls", example: Self.givenExample, &problems) else { return nil }
        mapping.checkKeys(known: ["certificate", "key", "ca"], &problems)
        func path(_ key: String) -> String? {
            if !mapping.has(key) {
                problems.add(mapping.position, "\"\(mapping.path)\" needs \"\(key)\"; write \(Self.givenExample)")
            }
            return mapping.value(key, expected: "an absolute path", &problems) { $0.hasPrefix("/") ? $0 : nil }
        }
        guard let certificate = path("certificate"), let key = path("key"), let authority = path("ca") else { return nil }
        return .init(certificate: certificate, key: key, authority: authority)
    }

    mutating func checkCertificates(_ mapping: YAMLMapping, _ nodes: [ClusterFile.Node], _ tls: ClusterFile.TLS) {
        guard tls == .cluster else { return }
        for node in nodes where node.placement?.tls != nil {
            problems.add(
                mapping.position(of: node.name),
                "\"nodes.\(node.name).tls\" contradicts \"tls: cluster\"; keep one of them, or give every node its files")
        }
    }

    /// Settings that `tls` decides, where it does.
    static let settingsOfTLS: Set = ["ssl", "ssl_cert_file", "ssl_key_file"]
}
