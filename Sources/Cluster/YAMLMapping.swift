/// Where something stands in a file; both count from 1, columns in Unicode scalars.
struct Position: Sendable, Equatable, Comparable, CustomStringConvertible {
    var line: Int
    var column: Int

    static let begin = Position(line: 1, column: 1)

    static func < (a: Position, b: Position) -> Bool { (a.line, a.column) < (b.line, b.column) }
    var description: String { "\(line):\(column)" }
}

/// Everything that is wrong with a file, gathered so that a person learns of all of it at once.
struct Problems {
    struct Problem: Equatable {
        let position: Position
        let reason: String
    }

    private(set) var list: [Problem] = []

    mutating func add(_ position: Position, _ reason: String) { list.append(Problem(position: position, reason: reason)) }
}

/// A value together with its place, for the remarks that are made about it later.
struct Located<Value> {
    let value: Value
    let position: Position
}

/// One mapping of a YAML file, read key by key. What is not as it should be becomes a problem and reads as nil, so
/// that reading goes on.
struct YAMLMapping {
    /// Its keys lead to it from the top of the file: "repository", empty at the top.
    let path: String
    let position: Position
    /// In the order of the file, each key once.
    private(set) var entries: [(key: Located<String>, value: YAMLNode)] = []
    /// Keys that were there already.
    private var repeated: [Located<String>] = []

    /// Nil, and a problem, where `node` is not a mapping. `example` shows how one is written.
    init?(_ node: YAMLNode, path: String, example: String, _ problems: inout Problems) {
        guard let pairs = node.pairs else {
            let what = path.isEmpty ? "the file" : "\"\(path)\""
            problems.add(node.position, "\(what) must be a mapping of keys and values, such as \(example)")
            return nil
        }
        self.path = path
        position = node.position
        for (key, value) in pairs {
            let key = Located(value: key.text ?? "", position: key.position)
            if has(key.value) { repeated.append(key) } else { entries.append((key, value)) }
        }
    }

    private subscript(_ key: String) -> YAMLNode? { entries.first { $0.key.value == key }?.value }
    func has(_ key: String) -> Bool { self[key] != nil }
    func isMapping(_ key: String) -> Bool { self[key]?.pairs != nil }
    func position(of key: String) -> Position { entries.first { $0.key.value == key }?.key.position ?? position }
    private func name(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// Adds a problem for each key beside `known`. Those of `planned` are keys of a later version.
    func checkKeys(known: [String], planned: [String] = [], _ problems: inout Problems) {
        for key in repeated { problems.add(key.position, "\"\(name(key.value))\" is given twice") }
        for (key, _) in entries where !known.contains(key.value) {
            if planned.contains(key.value) {
                problems.add(key.position, "\"\(name(key.value))\" is not supported by this version of pgark; remove it")
            } else {
                let suggestion = Suggestion.text(for: key.value, among: known)
                problems.add(
                    key.position,
                    "unknown key \"\(name(key.value))\"\(suggestion); known are \(known.joined(separator: ", "))")
            }
        }
    }

    func mapping(_ key: String, example: String, _ problems: inout Problems) -> YAMLMapping? {
        self[key].flatMap { YAMLMapping($0, path: name(key), example: example, &problems) }
    }

    /// Adds a problem where the key is missing.
    func requiredMapping(_ key: String, example: String, _ problems: inout Problems) -> YAMLMapping? {
        if !has(key) { problems.add(position, "\"\(name(key))\" is missing; write \(example)") }
        return mapping(key, example: example, &problems)
    }

    func text(_ key: String, _ problems: inout Problems) -> Located<String>? {
        guard let value = self[key] else { return nil }
        guard let text = value.text, !value.isNull, !text.isEmpty else {
            problems.add(value.position, "\"\(name(key))\" must be one value")
            return nil
        }
        return Located(value: text, position: value.position)
    }

    func requiredText(_ key: String, example: String, _ problems: inout Problems) -> Located<String>? {
        if !has(key) { problems.add(position, "\"\(name(key))\" is missing; write \(example)") }
        return text(key, &problems)
    }

    /// A list of values, each one line.
    func texts(_ key: String, example: String, _ problems: inout Problems) -> [String] {
        guard let value = self[key] else { return [] }
        guard let elements = value.elements else {
            problems.add(value.position, "\"\(name(key))\" must be a list, such as \(example)")
            return []
        }
        return elements.compactMap { element in
            if let text = element.text, !text.contains("\n"), !text.isEmpty { return text }
            problems.add(element.position, "an element of \"\(name(key))\" must be one line")
            return nil
        }
    }

    /// A value that `parse` understands; `expected` says what those look like.
    func value<Value>(
        _ key: String, expected: String, _ problems: inout Problems, _ parse: (String) -> Value?
    ) -> Value? {
        guard let text = text(key, &problems) else { return nil }
        if let value = parse(text.value) { return value }
        problems.add(text.position, "\"\(name(key))\" must be \(expected), not \"\(text.value)\"")
        return nil
    }
}
