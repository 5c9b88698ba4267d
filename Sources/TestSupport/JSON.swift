import FoundationEssentials

/// A JSON document to look into: `document["backups"][0]["id"].string`. What is not there is `.null`.
@dynamicMemberLookup
package enum JSON: Sendable, Equatable, Decodable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    /// Parses a text that is exactly one document.
    package init(parsing text: String) throws {
        do { self = try JSONDecoder().decode(JSON.self, from: Data(text.utf8)) } catch {
            throw TestFailure("not one JSON document: \(text.isEmpty ? "nothing at all" : text)")
        }
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSON].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSON].self))
        }
    }

    package subscript(key: String) -> JSON { if case .object(let fields) = self { fields[key] ?? .null } else { .null } }
    package subscript(dynamicMember key: String) -> JSON { self[key] }
    package subscript(index: Int) -> JSON { array.indices.contains(index) ? array[index] : .null }

    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var double: Double? { if case .number(let value) = self { value } else { nil } }
    package var int: Int? { double.map { Int($0) } }
    package var array: [JSON] { if case .array(let values) = self { values } else { [] } }
    package var keys: Set<String> { if case .object(let fields) = self { Set(fields.keys) } else { [] } }
}
