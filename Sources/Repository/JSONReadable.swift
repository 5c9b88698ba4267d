import PostgresModel

/// What can be read from JSON: a record field by field, each by its key.
///
/// By hand and not by the compiler's `Decodable`: that takes twice as long at best, and a listing reads as many records as
/// there are backups (docs/decisions/0017-our-own-json.md).
protocol JSONReadable {
    init(_ json: JSONValue) throws
}

extension String: JSONReadable {
    init(_ json: JSONValue) throws { self = try json.string() }
}

extension Bool: JSONReadable {
    init(_ json: JSONValue) throws { self = try json.bool() }
}

extension Int: JSONReadable {
    /// Digits: neither `1.0` nor `1e3`.
    init(_ json: JSONValue) throws { self = try json.required("an integer", Int(json.number())) }
}

extension Double: JSONReadable {
    init(_ json: JSONValue) throws {
        let value = try json.required("a number", Double(json.number()))
        self = try json.required("a finite number", value.isFinite ? value : nil)
    }
}

extension Array: JSONReadable where Element: JSONReadable {
    init(_ json: JSONValue) throws { self = try json.elements { try Element($0) } }
}

/// Enumerations by their words.
extension JSONReadable where Self: RawRepresentable, RawValue == String {
    init(_ json: JSONValue) throws { self = try json.required("one of its words", Self(rawValue: json.string())) }
}

extension LSN: JSONReadable {
    init(_ json: JSONValue) throws { self = try json.required("an LSN", LSN(json.string())) }
}

extension Timestamp: JSONReadable {
    init(_ json: JSONValue) throws {
        guard case .instant(let value)? = try TimeText(json.string()) else { throw json.isNot("a time") }
        self = value
    }
}

extension TimelineID: JSONReadable {
    init(_ json: JSONValue) throws { self = try json.required("a timeline", TimelineID(json.number())) }
}

extension SystemIdentifier: JSONReadable {
    init(_ json: JSONValue) throws { self = try json.required("a system identifier", SystemIdentifier(json.string())) }
}

extension WALSegmentSize: JSONReadable {
    init(_ json: JSONValue) throws { self = try json.required("a WAL segment size", WALSegmentSize(bytes: Int(json))) }
}
