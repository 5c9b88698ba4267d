@testable import Cluster

/// As much of JSON Schema (draft 2020-12) as docs/pgark.schema.json uses. A schema is read as YAML, of which JSON is a part; a
/// keyword that is not known here is an error, so that none goes unchecked.
struct SchemaValidator {
    let root: YAMLNode

    init(_ text: String) throws { root = try YAMLDocument.root(of: text)! }

    private static let remarks: Set = ["$schema", "$defs", "title", "description", "default", "examples"]

    /// What is wrong with a value, each with the place of it.
    func problems(_ value: YAMLNode) -> [String] { problems(value, root, "") }

    func resolved(_ schema: YAMLNode) -> YAMLNode {
        guard let reference = schema["$ref"]?.text else { return schema }
        return reference.split(separator: "/").dropFirst().reduce(root) { $0[String($1)]! }
    }

    private func problems(_ value: YAMLNode, _ schema: YAMLNode, _ path: String) -> [String] {
        schema.pairs!.flatMap { key, rule in
            Self.remarks.contains(key.text!) ? [] : broken(key.text!, rule, schema, value, path).map { "\(path): \($0)" }
        }
    }

    private func fits(_ value: YAMLNode, _ schema: YAMLNode) -> Bool { problems(value, schema, "").isEmpty }

    private func broken(_ keyword: String, _ rule: YAMLNode, _ schema: YAMLNode, _ value: YAMLNode, _ path: String) -> [String] {
        func unless(_ isRight: Bool, _ what: String) -> [String] { isRight ? [] : [what] }
        let number = value.isPlain ? value.text.flatMap { Double($0) } : nil
        switch keyword {
        case "$ref": return problems(value, resolved(schema), path)
        case "type":
            let types = rule.elements?.map { $0.text! } ?? [rule.text!]
            return unless(!value.types.isDisjoint(with: types), "is no \(types.joined(separator: " or "))")
        case "enum": return unless(rule.elements!.contains { $0.text == value.text }, "is none of those allowed")
        case "pattern":
            guard value.types.contains("string"), let text = value.text else { return [] }
            return unless((try? Regex(rule.text!)).map { text.contains($0) } ?? false, "does not look like \(rule.text!)")
        case "minLength": return unless(value.text.map { $0.count >= Int(rule.text!)! } ?? true, "is too short")
        case "minimum": return unless(number.map { $0 >= Double(rule.text!)! } ?? true, "is too small")
        case "maximum": return unless(number.map { $0 <= Double(rule.text!)! } ?? true, "is too large")
        case "items": return (value.elements ?? []).flatMap { problems($0, rule, path + "[]") }
        case "oneOf": return unless(rule.elements!.count { fits(value, $0) } == 1, "is not exactly one of those allowed")
        case "not": return unless(!fits(value, rule), "is what it must not be")
        case "required": return rule.elements!.filter { !value.has($0.text!) }.map { "lacks \($0.text!)" }
        case "dependentRequired":
            return rule.pairs!.flatMap { key, needed in
                value.has(key.text!) ? needed.elements!.filter { !value.has($0.text!) }.map { "lacks \($0.text!)" } : []
            }
        case "minProperties": return unless((value.pairs?.count ?? 1) >= Int(rule.text!)!, "has too few keys")
        case "propertyNames": return (value.pairs ?? []).flatMap { problems($0.key, rule, "\(path).\($0.key.text!)") }
        case "properties":
            return (value.pairs ?? []).flatMap { key, value in
                rule[key.text!].map { problems(value, $0, "\(path).\(key.text!)") } ?? []
            }
        case "additionalProperties":
            let others = (value.pairs ?? []).filter { schema["properties"]?.has($0.key.text!) != true }
            if rule.text == "false" { return others.map { "knows no \($0.key.text!)" } }
            return others.flatMap { problems($0.value, rule, "\(path).\($0.key.text!)") }
        default: return ["the test knows no \(keyword)"]
        }
    }
}

extension YAMLNode {
    subscript(_ key: String) -> YAMLNode? { pairs?.first { $0.key.text == key }?.value }
    func has(_ key: String) -> Bool { self[key] != nil }

    /// What JSON would call it, as YAML 1.2 reads it.
    var types: Set<String> {
        if pairs != nil { return ["object"] }
        if elements != nil { return ["array"] }
        guard isPlain, let text else { return ["string"] }
        if isNull { return ["null"] }
        if Int(text) != nil { return ["integer", "number"] }
        if Double(text) != nil { return ["number"] }
        return ["true", "false"].contains(text) ? ["boolean"] : ["string"]
    }

    /// The same value, written in one line.
    var line: String {
        if let pairs { return "{ " + pairs.map { "\($0.key.line): \($0.value.line)" }.joined(separator: ", ") + " }" }
        if let elements { return "[ " + elements.map(\.line).joined(separator: ", ") + " ]" }
        return isPlain ? text! : "\"" + text!.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}
