import Hosts
import PostgresModel
import Storage
import SystemPackage

/// A server's own key, which never leaves its host, and the certificate that the cluster's authority made for it. The server's
/// account makes and keeps both; what was cut short is done again with the same key.
struct NodeCertificate {
    let site: InstanceSite
    private var files: ClusterFile.GivenCertificate { site.layout.ownCertificate }
    private var owner: Owner { site.account.owner }
    private var openssl: OpenSSL { OpenSSL(account: site.account) }

    /// The request for a certificate, with the key that is there, or a new one.
    func request(_ node: String) throws -> String {
        let directory = FilePath(files.key).removingLastComponent()
        try Directory.create(directory.removingLastComponent(), permissions: 0o755, owner: owner)
        try Directory.create(directory, permissions: 0o700, owner: owner)
        try Directory.setOwner(of: directory, owner)
        try Directory.setPermissions(of: directory, 0o700)
        if try openssl.publicKey(ofKey: files.key) == nil { try openssl.makeKey(FilePath(files.key), owner) }
        try Directory.setOwner(of: FilePath(files.key), owner)
        try Directory.setPermissions(of: FilePath(files.key), 0o600)
        return try openssl.run(["req", "-new", "-sha256", "-key", files.key, "-subj", "/CN=\(node)"])
    }

    func install(_ issued: IssuedCertificate) throws {
        try SmallFile.write(issued.authority, to: FilePath(files.authority), permissions: 0o644, owner: owner)
        try SmallFile.write(issued.certificate, to: FilePath(files.certificate), permissions: 0o644, owner: owner)
    }
}

extension OpenSSL {
    /// Whole or not at all, and nobody's but its owner's from its first byte on.
    func makeKey(_ path: FilePath, _ owner: Owner) throws {
        let temporary = FilePath("\(path).new")
        try SmallFile.write("", to: temporary, permissions: 0o600, owner: owner)
        try run(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", temporary.string])
        try Directory.setPermissions(of: temporary, 0o600)
        try File(temporary, .read).synchronize()
        try Directory.rename(temporary, to: path)
    }
}
