import Hosts
import PostgresModel
import Storage
import SystemPackage

/// The cluster's own authority, on the repository's host. Its key is root's and stays there; what it signs and for whom is decided
/// here, and of a request only the public key counts.
struct CertificateAuthority {
    let cluster: String
    private var openssl: OpenSSL { OpenSSL(account: nil) }

    private static let directory: FilePath = "/etc/pgark"
    private var key: FilePath { Self.directory.appending("\(cluster)-ca.key") }
    private var certificate: FilePath { Self.directory.appending("\(cluster)-ca.crt") }
    /// Emptied before and after each use: it holds nothing that matters.
    private var scratch: FilePath { Self.directory.appending(".\(cluster)-ca") }

    private static let daySeconds = 86_400.0
    private static let years = 10.0
    /// What browsers once took at most; nobody takes offence at it.
    private static let serverDays = 825.0
    /// Certificates begin earlier than they are made, for hosts whose clocks are behind.
    private static let earlierDays = 1.0

    func facts() throws -> AuthorityFacts {
        let text = try SmallFile.readText(certificate)
        var facts = AuthorityFacts(
            hasOpenSSL: OpenSSL.isThere, certificate: nil, hasKey: false,
            trusted: try SmallFile.readText(TrustedAuthorities.path(cluster)))
        guard facts.hasOpenSSL, let text, let validity = try openssl.validity(text) else { return facts }
        facts.certificate = text
        (facts.begins, facts.ends) = validity
        facts.hasKey = try fitsKey(text)
        return facts
    }

    private func fitsKey(_ text: String) throws -> Bool {
        guard try Directory.exists(key), let own = try openssl.publicKey(ofKey: key.string) else { return false }
        return try openssl.publicKey(ofCertificate: text) == own
    }

    /// Makes it. With the key that is there: certificates of before are good then.
    func make() throws {
        try Directory.create(Self.directory, permissions: 0o755)
        if try !Directory.exists(key) || openssl.publicKey(ofKey: key.string) == nil { try openssl.makeKey(key, .current) }
        let extensions = """
            basicConstraints = critical, CA:TRUE, pathlen:0
            keyUsage = critical, keyCertSign, cRLSign
            subjectKeyIdentifier = hash
            """
        let request = try openssl.run(["req", "-new", "-sha256", "-key", key.string, "-subj", "/CN=pgark"])
        let text = try sign(
            request, subject: "pgark \(cluster)", days: Self.years * 365, extensions, ["-selfsign", "-keyfile", key.string])
        try SmallFile.write(text, to: certificate, permissions: 0o644)
    }

    func issue(_ request: CertificateRequest) throws -> IssuedCertificate {
        if try SmallFile.readText(certificate).map({ try !fitsKey($0) }) ?? true { try make() }
        let names = [request.host, request.node].enumerated().filter { $0.offset == 0 || $0.element != request.host }
        let extensions = """
            basicConstraints = critical, CA:FALSE
            keyUsage = critical, digitalSignature
            extendedKeyUsage = serverAuth
            subjectKeyIdentifier = hash
            authorityKeyIdentifier = keyid
            subjectAltName = \(names.map { (HostName($0.element).isAddress ? "IP:" : "DNS:") + $0.element }.joined(separator: ", "))
            """
        let text = try sign(
            request.request, subject: request.node, days: Self.serverDays, extensions,
            ["-cert", certificate.string, "-keyfile", key.string])
        return IssuedCertificate(certificate: text, authority: try SmallFile.readText(certificate) ?? "")
    }

    /// openssl ca, for it alone says when a certificate begins, in all its versions.
    private func sign(_ request: String, subject: String, days: Double, _ extensions: String, _ signer: [String]) throws -> String
    {
        try Directory.removeTree(scratch)
        defer { try? Directory.removeTree(scratch) }  // what is left of it goes the next time
        try Directory.create(scratch, permissions: 0o700)
        func file(_ name: String) -> String { scratch.appending(name).string }
        try SmallFile.write(Self.configuration(scratch, extensions), to: FilePath(file("configuration")))
        try SmallFile.write(request, to: FilePath(file("request")))
        try SmallFile.write("", to: FilePath(file("index")))
        let begin = Timestamp.now - Self.earlierDays * Self.daySeconds, end = begin - -days * Self.daySeconds
        try openssl.run(
            [
                "ca", "-batch", "-notext", "-config", file("configuration"), "-in", file("request"), "-out", file("certificate"),
                "-subj", "/CN=\(subject)", "-startdate", Self.time(begin), "-enddate", Self.time(end),
            ] + signer)
        guard let text = try SmallFile.readText(FilePath(file("certificate"))), !text.isEmpty else {
            throw Failure(.programFailed, "could not sign a certificate for \"\(subject)\": openssl wrote none")
        }
        return text
    }

    private static func time(_ time: Timestamp) -> String { time.compactText.filter { $0 != "T" } }

    private static func configuration(_ scratch: FilePath, _ extensions: String) -> String {
        """
        [ca]
        default_ca = own
        [own]
        database = \(scratch)/index
        new_certs_dir = \(scratch)
        rand_serial = yes
        default_md = sha256
        policy = policy
        x509_extensions = extensions
        copy_extensions = none
        unique_subject = no
        [policy]
        commonName = supplied
        [extensions]
        \(extensions)

        """
    }
}

/// The authorities that connections from the repository's host trust. While the file is there they check whom they talk to.
enum TrustedAuthorities {
    static func path(_ cluster: String) -> FilePath { FilePath("/etc/pgark/\(cluster)-trusted.crt") }

    static func text(_ authorities: String) -> String { ServiceNames.mark + "\n" + authorities }

    /// Nil for the cluster's own authority.
    static func write(_ text: String?, cluster: String) throws {
        guard let text = try text ?? CertificateAuthority(cluster: cluster).facts().certificate else {
            throw Failure(
                .unsupported, "could not trust the authority of cluster \"\(cluster)\": there is none", hint: "Again: pgark apply"
            )
        }
        try Directory.create(path(cluster).removingLastComponent(), permissions: 0o755)
        try SmallFile.write(Self.text(text), to: path(cluster), permissions: 0o644)
    }
}
