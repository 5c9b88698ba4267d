@testable import Cluster
import Glibc
import PostgresModel
import Storage
import SystemPackage
import Testing

/// docs/pgark.schema.json says what the parser takes: no key more and none less, and the same of what stands behind a key.
@Suite("The schema of cluster files")
struct ClusterFileSchemaTests {
    private let schema: SchemaValidator

    init() throws { schema = try SchemaValidator(ClusterFileSchema.text) }

    /// A cluster file with one more value, at a path of keys.
    private struct Sample {
        var tree: [(path: [String], value: String)] = [
            (["cluster"], "shop"), (["nodes", "node1", "host"], "10.0.0.11"), (["nodes", "node2", "host"], "10.0.0.12"),
            (["repository", "path"], "/repo"),
        ]

        mutating func set(_ path: [String], _ value: String) {
            tree.removeAll { $0.path.starts(with: path) }
            // One node is either set up or only protected.
            if path.last == "connection" { tree.removeAll { $0.path.starts(with: path.dropLast()) } }
            tree.append((path, value))
        }

        func text(_ prefix: [String] = []) -> String {
            if let leaf = tree.first(where: { $0.path == prefix }) { return leaf.value }
            var keys: [String] = []
            for (path, _) in tree where path.starts(with: prefix) && !keys.contains(path[prefix.count]) {
                keys.append(path[prefix.count])
            }
            return "{ " + keys.map { "\($0): \(text(prefix + [$0]))" }.joined(separator: ", ") + " }"
        }
    }

    private func parserProblems(_ text: String) -> [String] {
        do {
            _ = try ClusterFile.parse(text: text, path: "/etc/pgark/shop.yaml")
            return []
        } catch let failure as Failure { return failure.details } catch { return ["\(error)"] }
    }

    private func schemaProblems(_ text: String) throws -> [String] { schema.problems(try YAMLDocument.root(of: text)!) }

    /// Every mapping whose keys are known, and every value, by the keys that lead to it.
    private func walk(_ found: (_ path: [String], _ schema: YAMLNode, _ isMapping: Bool) throws -> Void) rethrows {
        func visit(_ path: [String], _ node: YAMLNode) throws {
            let whole = schema.resolved(node)
            if let properties = whole["properties"] {
                try found(path, whole, true)
                for (key, value) in properties.pairs! { try visit(path + [key.text!], value) }
            } else if path == ["nodes"] {
                try visit(path + ["node2"], whole["additionalProperties"]!)
            } else {
                try found(path, node, false)
            }
        }
        try visit([], schema.root)
    }

    @Test("knows the keys that the parser knows, everywhere")
    func keys() throws {
        var count = 0
        walk { path, mapping, isMapping in
            guard isMapping else { return }
            var sample = Sample()
            sample.set(path + ["zzz"], "1")
            let complaint = parserProblems(sample.text()).first { $0.contains("unknown key") && $0.contains("zzz\"") } ?? ""
            let known = complaint.split(separator: "known are ").last?.split(separator: ", ").map(String.init) ?? []
            #expect(
                Set(known) == Set(mapping["properties"]!.pairs!.map { $0.key.text! }),
                "at \"\(path.joined(separator: "."))\" the parser said: \(complaint)")
            count += 1
        }
        #expect(count >= 7)
    }

    @Test("has an example for every key, which both take, and both refuse what makes no sense there")
    func values() throws {
        var refused = 0
        try walk { path, value, isMapping in
            guard !isMapping else { return }
            let name = path.joined(separator: ".")
            let examples = try #require(value["examples"]?.elements, "no example of \(name)")
            for example in examples {
                var sample = Sample()
                sample.set(path, example.line)
                #expect(parserProblems(sample.text()) == [], "\(name)")
                #expect(try schemaProblems(sample.text()) == [], "\(name)")
            }
            for wrong in ["\"?? no\"", "-1", "[ [ 1 ] ]", "{ a: { b: 1 } }"] {
                var sample = Sample()
                sample.set(path, wrong)
                let (parser, ours) = (parserProblems(sample.text()), try schemaProblems(sample.text()))
                // A number is text to the parser; an editor may well complain of a name that is one.
                guard wrong != "-1" || !parser.isEmpty else { continue }
                #expect(parser.isEmpty == ours.isEmpty, "\(name): \(wrong): the parser says \(parser), the schema \(ours)")
                refused += parser.isEmpty ? 0 : 1
            }
        }
        #expect(refused > 40)
    }

    @Test(
        "and the parser agree on whole nodes",
        arguments: [
            ("{ host: a, connection: \"host=b\" }", false), ("{}", false), ("{ port: 5433 }", false),
            ("{ connection: \"host=b\", data: /srv }", false), ("{ connection: \"host=b\", port: 5433 }", false),
            ("{ connection: \"host=b\" }", true), ("{ host: b, port: 5433, slot: x }", true), ("{ host: b, port: 0 }", false),
            ("{ host: b, slot: \"X y\" }", false), ("{ connection: \"host=b\", slot: x }", false),
        ])
    func nodes(node: String, isRight: Bool) throws {
        let text = "{ cluster: shop, nodes: { node1: \(node) }, repository: { path: /repo } }"
        #expect(parserProblems(text).isEmpty == isRight)
        #expect(try schemaProblems(text).isEmpty == isRight)
    }

    @Test("takes every example of the documents")
    func documents() throws {
        let root = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
        let names = try #require(try Directory.names(in: root.appending("docs"))).filter { $0.hasSuffix(".md") }.map {
            "docs/\($0)"
        }
        var whole = 0, parts = 0
        for name in names + ["README.md"] {
            let text = try #require(try SmallFile.readText(root.appending(name)))
            for block in text.split(separator: "```").filter({ $0.hasPrefix("yaml\n") }).map({ String($0.dropFirst(5)) }) {
                let isWhole = block.hasPrefix("cluster:")
                let missing = ["lacks cluster", "lacks nodes", "lacks repository"]
                let problems = try schemaProblems(block).filter { problem in
                    isWhole || !missing.contains { problem == ": \($0)" }
                }
                #expect(problems == [], "\(name):\n\(block)")
                if isWhole { #expect(parserProblems(block) == [], "\(name):\n\(block)") }
                whole += isWhole ? 1 : 0
                parts += isWhole ? 0 : 1
            }
        }
        #expect(whole >= 2 && parts >= 1)
    }
}
