@testable import Cluster
import PostgresModel
import SystemPackage
import Testing

@Suite("An edit of a cluster file")
struct ClusterFileEditTests {
    private static let place = ClusterFile.Placement(
        host: "10.0.0.13", port: 5433, ssh: "db3", data: "/data", upstream: "node1", delaySeconds: 3600)
    private static let line = "node3: { host: 10.0.0.13, port: 5433, ssh: db3, data: /data, upstream: node1, delay: 3600s }"

    private func file(_ text: String) throws -> ClusterFile { try ClusterFile.parse(text: text, path: "/etc/shop.yaml") }

    /// Different ways of writing the same, and where the new line stands in each.
    private static let files = [
        "cluster: shop # ours\nnodes:\n  node1: { host: 10.0.0.11 } # the big one\n  node2: { host: 10.0.0.12 }\n>\n# where\nrepository: { path: /repo }\n",
        "cluster: shop\nrepository: { path: /repo }\nnodes:\n    node1:\n        host: 10.0.0.11\n    # small\n    node2:\n        host: 10.0.0.12\n        port: 5433\n>",
        "cluster: shop\nnodes:\n  node1: { host: 10.0.0.11 }\n  node2: {\n    host: 10.0.0.12 }\n>\n\n\nrepository: { path: /repo }",
    ]

    @Test("adds a node and takes it out again, and leaves the rest as it was written", arguments: files)
    func addsAndRemoves(template: String) throws {
        let old = template.replacing("\n>", with: "")
        let new = try ClusterFileEdit(file(old)).adding("node3", Self.place)
        let indent = String(repeating: " ", count: template.contains("    node1:") ? 4 : 2)
        #expect(new.text == template.replacing(">", with: indent + Self.line))
        #expect(new.nodes.last?.placement == Self.place)
        #expect(try ClusterFileEdit(new).removing("node3").text == old)
    }

    @Test("removes a node in the midst with all its lines")
    func removesFirst() throws {
        let text =
            "cluster: shop\nnodes:\n  node1:\n    host: 10.0.0.11\n  node2: { host: 10.0.0.12 }\nrepository: { path: /repo }\n"
        let new = try ClusterFileEdit(file(text)).removing("node1")
        #expect(new.text == "cluster: shop\nnodes:\n  node2: { host: 10.0.0.12 }\nrepository: { path: /repo }\n")
    }

    @Test(
        "is refused, with what to write, where the nodes have no lines of their own, and where nothing would be left",
        arguments: [
            "nodes: { node1: { host: 10.0.0.11 }, node2: { host: 10.0.0.12 } }", "nodes:\n  { node1: { host: 10.0.0.11 } }",
        ])
    func refused(nodes: String) throws {
        let file = try file("cluster: shop\n\(nodes)\nrepository: { path: /repo }\n")
        do {
            _ = try ClusterFileEdit(file).adding("node3", Self.place)
            Issue.record("it was written somewhere")
        } catch let failure as Failure {
            #expect(failure.code == .configuration && failure.hint?.contains(Self.line) == true, "\(failure)")
        }
        #expect(throws: Failure.self) { try ClusterFileEdit(file).removing("node1") }
    }
}
