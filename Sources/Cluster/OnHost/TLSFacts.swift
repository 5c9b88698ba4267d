/// A server's certificate and the key that belongs to it, by their paths.
package struct CertificateFiles: Codable, Sendable, Equatable {
    package var certificate: String
    package var key: String
}

extension InstanceLayout {
    /// Beside the data directory, so that no copy of that has the key.
    var ownCertificate: ClusterFile.GivenCertificate {
        let directory = data + ".pgark-tls"
        return .init(certificate: directory + "/server.crt", key: directory + "/server.key", authority: directory + "/ca.crt")
    }
}

extension ClusterFile.GivenCertificate {
    var files: CertificateFiles { CertificateFiles(certificate: certificate, key: key) }
}

extension ClusterFile.TLS {
    /// The files that a node uses; nil where that is not ours to say.
    func files(_ layout: InstanceLayout) -> ClusterFile.GivenCertificate? {
        switch self {
        case .off: nil
        case .cluster: layout.ownCertificate
        case .given(let files): files
        }
    }
}

/// What is asked of a node that is to have TLS.
package struct TLSQuestions: Codable, Sendable, Equatable {
    /// Nil for those that pgark makes.
    package var given: ClusterFile.GivenCertificate?
    /// What the certificate must name.
    package var host: String
}

/// What a node has of it. Everything is looked at by the server's account: it must be able to read it.
package struct TLSFacts: Codable, Sendable, Equatable {
    package var hasOpenSSL: Bool
    /// PostgreSQL there was built with TLS.
    package var isSupported: Bool
    package var key: Key
    package var certificate: Certificate?
    /// The authorities' own certificates; nil where they cannot be read.
    package var authority: String?
    /// Whether the running server shows the certificate that is in the file; nil where it cannot be reached.
    package var isServed: Bool?

    /// In the order in which they are found out.
    package enum Key: String, Codable, Sendable {
        case missing, unreadable
        /// Others may read it, which PostgreSQL refuses.
        case exposed
        case usable
    }

    package struct Certificate: Codable, Sendable, Equatable {
        /// Seconds since 1970.
        package var begins: Double
        package var ends: Double
        /// As openssl shows them.
        package var names: String
        package var namesHost: Bool
        package var fitsKey: Bool
        /// Why it is not one of the authority; nil where it is.
        package var distrust: String?
    }
}

/// What the repository's host has of the cluster's own authority, and whom its connections trust.
package struct AuthorityFacts: Codable, Sendable, Equatable {
    package var hasOpenSSL = false
    package var certificate: String?
    /// Seconds since 1970.
    package var begins = 0.0
    package var ends = 0.0
    package var hasKey = false
    package var trusted: String?
}

/// What a node asks the authority for, and what it gets.
package struct CertificateRequest: Codable, Sendable, Equatable {
    package var cluster: String
    package var node: String
    package var host: String
    package var request: String
}

package struct IssuedCertificate: Codable, Sendable, Equatable {
    package var certificate: String
    package var authority: String
}
