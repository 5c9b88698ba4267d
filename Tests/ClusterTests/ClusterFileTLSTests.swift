@testable import Cluster
import PostgresModel
import SystemPackage
import Testing

@Suite("The key tls of a cluster file")
struct ClusterFileTLSTests {
    private func parse(_ node: String, _ more: String) throws -> ClusterFile {
        try ClusterFile.parse(
            text: "cluster: a\nnodes:\n  a: { host: a }\n  b: \(node)\nrepository: { path: /r }\n" + more, path: "/a.yaml")
    }

    private func problems(_ node: String, _ more: String) -> [String] {
        do {
            _ = try parse(node, more)
            return []
        } catch let failure as Failure { return failure.details } catch { return ["\(error)"] }
    }

    private static let own = "{ certificate: /b.crt, key: /b.key, ca: /ca.crt }"

    @Test("says who gives the servers their certificates, each node's own files before the others'")
    func values() throws {
        #expect(try parse("{ host: b }", "").tls == .off)
        #expect(try parse("{ host: b }", "tls: off").tls == .off)
        #expect(try parse("{ host: b }", "tls: cluster").nodesWithTLS.map(\.name) == ["a", "b"])
        let file = try parse("{ host: b, tls: \(Self.own) }", "tls: { certificate: /a.crt, key: /a.key, ca: /ca.crt }")
        #expect(file.tls(of: file.nodes[0]) == .given(.init(certificate: "/a.crt", key: "/a.key", authority: "/ca.crt")))
        #expect(file.tls(of: file.nodes[1]) == .given(.init(certificate: "/b.crt", key: "/b.key", authority: "/ca.crt")))
        #expect(try parse("{ host: b, tls: \(Self.own) }", "").nodesWithTLS.map(\.name) == ["b"])
    }

    @Test(
        "is checked",
        arguments: [
            ("{ host: b }", "tls: on", "6:6: \"tls\" must be off, cluster or"), ("{ host: b }", "tls: []", "must be one value"),
            ("{ host: b }", "tls: { certificate: /a, key: /a }", "6:6: \"tls\" needs \"ca\""),
            ("{ host: b }", "tls: { certificate: a, key: /a, ca: /a }", "6:21: \"tls.certificate\" must be an absolute path"),
            ("{ host: b }", "tls: { certificate: /a, key: /a, ca: /a, cert: /a }", "unknown key \"tls.cert\""),
            ("{ host: b, tls: cluster }", "", "\"nodes.b.tls\" must be a mapping"),
            ("{ host: b, tls: \(own) }", "tls: cluster", "4:3: \"nodes.b.tls\" contradicts \"tls: cluster\""),
            ("{ connection: \"host=b\", tls: \(own) }", "", "is for a node that pgark sets up"),
            ("{ host: b }", "tls: cluster\npostgres: { parameters: { SSL_Key_File: /x } }", "7:27:"),
            ("{ host: b, tls: \(own) }", "postgres: { parameters: { ssl: off } }", "is decided by \"tls\""),
        ])
    func wrong(node: String, more: String, reason: String) {
        let found = problems(node, more)
        #expect(found.count == 1 && found[0].contains(reason), "\(found)")
    }

    @Test("leaves settings of TLS to whoever does without it")
    func settings() throws {
        #expect(try parse("{ host: b }", "postgres: { parameters: { ssl: on } }").postgres.parameters.count == 1)
    }

    // MARK: What openssl prints

    @Test("openssl's times are read, and its certificates whatever is around them")
    func openssl() throws {
        let time = try #require(OpenSSL.time("Nov  3 01:02:03 2026 GMT"))
        #expect(time.description == "2026-11-03T01:02:03Z")
        #expect(OpenSSL.time("Nov 3 2026") == nil && OpenSSL.time("Foo  3 01:02:03 2026 GMT") == nil)
        let text = "CONNECTED(3)\r\n---\n-----BEGIN CERTIFICATE-----\r\nQUJD\r\nRA==\r\n-----END CERTIFICATE-----\nmore"
        #expect(OpenSSL.certificate(in: text) == "QUJDRA==")
        #expect(OpenSSL.certificate(in: "-----BEGIN CERTIFICATE-----\nQUJD") == nil)
    }
}
