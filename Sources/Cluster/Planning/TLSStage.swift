/// How much of TLS a node's files ask for. Servers have it first, then connections check whom they reach, and only then is it
/// required; and back the other way round. So at each moment everybody who connects is let in, also after a plan that was cut short.
struct TLSStage: Equatable {
    /// The server's certificate; nil where pgark says nothing of it.
    var server: CertificateFiles?
    /// The authorities by which this node's connections check the others; nil where they do not.
    var trusted: String?
    /// Roles of ours come in by TLS only.
    var isRequired = false

    /// From what a node is to what it is to be.
    static func stages(from found: TLSStage, to wanted: TLSStage) -> [TLSStage] {
        let served = TLSStage(
            server: wanted.server ?? found.server, trusted: found.trusted, isRequired: found.isRequired && wanted.isRequired)
        let checked = TLSStage(server: served.server, trusted: wanted.trusted, isRequired: served.isRequired)
        return [served, checked, wanted]
    }

    /// As a node's files are.
    init(found facts: InstanceFacts) {
        let settings = SettingsText.values(facts.include ?? "")
        if settings["ssl"] == "on", let certificate = settings["ssl_cert_file"], let key = settings["ssl_key_file"] {
            server = CertificateFiles(certificate: certificate, key: key)
        }
        let connection = ConnectionText(settings["primary_conninfo"] ?? "")
        if connection.keywords["sslmode"] == "verify-full" { trusted = connection.keywords["sslrootcert"] }
        isRequired = facts.accessRules.flatMap { AccessBlock.lines(in: $0) }?.contains { $0.hasPrefix("hostnossl ") } ?? false
    }

    init(server: CertificateFiles? = nil, trusted: String? = nil, isRequired: Bool = false) {
        self.server = server
        self.trusted = trusted
        self.isRequired = isRequired
    }
}
