import PostgresModel
import Storage

/// Changes of a cluster file that leave everything else in it as a person wrote it, comments included.
package struct ClusterFileEdit {
    private let file: ClusterFile

    package init(_ file: ClusterFile) { self.file = file }

    /// The file with one more node, the last one.
    package func adding(_ node: String, _ place: ClusterFile.Placement) throws -> ClusterFile {
        let line = "\(node): \(place.yaml)"
        guard let (lines, keys) = try block() else {
            throw refusal("add node \"\(node)\"", "Add this to \"nodes\" yourself: \(line)")
        }
        let indent = String(repeating: " ", count: keys[0].position.column - 1)
        var text = lines
        text.insert(indent + line, at: end(of: keys.count - 1, keys, lines))
        return try checked(text, "add node \"\(node)\"", "Add this to \"nodes\" yourself: \(line)") { new in
            new.nodes.map(\.name) == file.nodes.map(\.name) + [node] && new.nodes.last?.placement == place
        }
    }

    /// The file without one of its nodes.
    package func removing(_ node: String) throws -> ClusterFile {
        let hint = "Remove it from \"nodes\" yourself, then: pgark apply"
        guard let (lines, keys) = try block(), let index = keys.firstIndex(where: { $0.value == node }) else {
            throw refusal("remove node \"\(node)\"", hint)
        }
        var text = lines
        text.removeSubrange(keys[index].position.line - 1..<end(of: index, keys, lines))
        return try checked(text, "remove node \"\(node)\"", hint) { new in
            new.nodes.map(\.name) == file.nodes.map(\.name).filter { $0 != node }
        }
    }

    // MARK: Lines

    /// The lines of the file, and the names of the nodes with their places; nil where they do not have lines of their own.
    private func block() throws -> ([String], [Located<String>])? {
        let nodes = try YAMLDocument.root(of: file.text)?.pairs?.first { $0.key.text == "nodes" }
        guard let nodes, let pairs = nodes.value.pairs, !pairs.isEmpty else { return nil }
        let written = file.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let start = nodes.value.position
        if written[start.line - 1].unicodeScalars.dropFirst(start.column - 1).first == "{" { return nil }
        let keys = pairs.map { Located(value: $0.key.text ?? "", position: $0.key.position) }
        let lines = ([nodes.key.position] + keys.map(\.position)).map(\.line)
        guard zip(lines, lines.dropFirst()).allSatisfy({ $0 < $1 }) else { return nil }
        return (written, keys)
    }

    /// Behind the last line of a node: before the next one's, or before what is written less far to the right.
    private func end(of index: Int, _ keys: [Located<String>], _ lines: [String]) -> Int {
        if index + 1 < keys.count { return keys[index + 1].position.line - 1 }
        let column = keys[index].position.column - 1
        var end = keys[index].position.line
        for number in end..<lines.count {
            let line = lines[number], indent = line.prefix { $0 == " " }.count
            if indent == line.count || line.dropFirst(indent).hasPrefix("#") { continue }
            if indent <= column { break }
            end = number + 1
        }
        return end
    }

    /// What was written must be read as what was meant.
    private func checked(_ lines: [String], _ verb: String, _ hint: String, _ isMeant: (ClusterFile) -> Bool) throws
        -> ClusterFile
    {
        var new = try ClusterFile.parse(text: lines.joined(separator: "\n"), path: file.path)
        guard isMeant(new) else { throw refusal(verb, hint) }
        for (index, node) in new.nodes.enumerated() {
            // A passfile beside the file belongs to its connections.
            if let old = file.nodes.first(where: { $0.name == node.name }) { new.nodes[index] = old }
        }
        return new
    }

    private func refusal(_ verb: String, _ hint: String) -> Failure {
        Failure(
            .configuration, "could not \(verb) in \(file.path): the nodes are not written as lines of their own", hint: hint)
    }
}
