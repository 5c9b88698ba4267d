import Glibc
import Hosts
import PostgresModel
import Storage
import SystemPackage

/// Looks at a node's certificate, by the eyes of its server's account.
struct TLSObserver {
    let site: InstanceSite
    let questions: TLSQuestions
    private var openssl: OpenSSL { OpenSSL(account: site.account) }
    private var files: ClusterFile.GivenCertificate { questions.given ?? site.layout.ownCertificate }

    func facts(isInstalled: Bool, isRunning: Bool) throws -> TLSFacts {
        var facts = TLSFacts(hasOpenSSL: OpenSSL.isThere, isSupported: try isInstalled && isSupported(), key: try key())
        guard facts.hasOpenSSL else { return facts }
        facts.authority = try read(files.authority)
        guard let text = try read(files.certificate), let validity = try openssl.validity(text) else { return facts }
        facts.certificate = .init(
            begins: validity.begins, ends: validity.ends, names: try openssl.names(text),
            namesHost: try openssl.names(text, host: questions.host), fitsKey: try fitsKey(text),
            distrust: try openssl.distrust(files.certificate, authority: files.authority))
        if isRunning { facts.isServed = try isServed(text) }
        return facts
    }

    /// What PostgreSQL itself says of how it was built; a data directory is not needed for that.
    private func isSupported() throws -> Bool {
        let arguments = ["-C", "ssl_library", "-c", "config_file=/dev/null", "-D", "/"]
        return try site.command(site.program("postgres"), arguments).outcome().output.trimmed.isEmpty == false
    }

    private func read(_ path: String) throws -> String? {
        let outcome = try site.command("/bin/cat", ["--", path]).outcome()
        return outcome.succeeded ? outcome.output : nil
    }

    /// PostgreSQL: src/backend/libpq/be-secure-common.c, check_ssl_key_file_permissions.
    private func key() throws -> TLSFacts.Key {
        var status = stat()
        guard stat(files.key, &status) == 0 else { return .missing }
        guard try site.command("/usr/bin/test", ["-r", files.key]).outcome().succeeded else { return .unreadable }
        let refused: mode_t = status.st_uid == 0 ? 0o027 : 0o077
        return status.st_mode & refused == 0 && [0, site.account.owner.user].contains(status.st_uid) ? .usable : .exposed
    }

    private func fitsKey(_ certificate: String) throws -> Bool {
        guard let own = try openssl.publicKey(ofKey: files.key) else { return false }
        return try openssl.publicKey(ofCertificate: certificate) == own
    }

    /// Asked where nothing is between, then as others do.
    func isServed(_ certificate: String) throws -> Bool? {
        for host in ["localhost", questions.host] {
            if let shown = try openssl.shown(host, site.layout.port) { return shown == OpenSSL.certificate(in: certificate) }
        }
        return nil
    }
}
