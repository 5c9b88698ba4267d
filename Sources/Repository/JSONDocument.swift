/// JSON text (RFC 8259), read strictly. One pass checks the whole of it and notes where each value lies; values are made
/// from there.
///
/// Refused are bytes that are not UTF-8, a key that comes twice or is written with escapes, more levels than any record of
/// ours has, and anything behind the value.
struct JSONDocument {
    private let bytes: [UInt8]
    private let nodes: [JSONNode]

    /// Throws `JSONDamage`.
    init(_ bytes: [UInt8]) throws {
        self.bytes = bytes
        nodes = try bytes.withUnsafeBufferPointer { bytes in
            var scanner = JSONScanner(bytes)
            try scanner.scan()
            return scanner.nodes
        }
    }

    func read<Value: JSONReadable>(_ type: Value.Type = Value.self) throws -> Value { try withOutermost { try Value($0) } }

    /// Where in the text the content of a string lies, without its quotes: of the one that the outermost object has under
    /// this key. Nil where there is none.
    func place(ofString key: String) -> Range<Int>? {
        withOutermost { value in
            guard let node = value.field(key)?.node, node.kind == .string else { return nil }
            return node.place
        }
    }

    private func withOutermost<Result>(_ body: (JSONValue) throws -> Result) rethrows -> Result {
        try bytes.withUnsafeBufferPointer { bytes in
            // There is at least one node, and a byte of it.
            try nodes.withUnsafeBufferPointer { try body(JSONValue(bytes: bytes.baseAddress!, nodes: $0.baseAddress!, index: 0)) }
        }
    }
}

/// Why a text is not JSON, or not the JSON that it should be.
struct JSONDamage: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// One value. It may be used as long as `JSONDocument.read` runs, for so long live what the pointers lead to.
struct JSONValue {
    private let bytes: UnsafePointer<UInt8>
    private let nodes: UnsafePointer<JSONNode>
    private let index: Int

    fileprivate init(bytes: UnsafePointer<UInt8>, nodes: UnsafePointer<JSONNode>, index: Int) {
        self.bytes = bytes
        self.nodes = nodes
        self.index = index
    }

    fileprivate var node: JSONNode { nodes[index] }
    private func value(at index: Int) -> JSONValue { JSONValue(bytes: bytes, nodes: nodes, index: index) }
    private var text: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: bytes + Int(node.begin), count: Int(node.end - node.begin))
    }

    func isNot(_ what: String) -> JSONDamage { JSONDamage("the value at byte \(node.begin) is not \(what)") }

    /// What was made of this value, if it could be.
    func required<Value>(_ what: String, _ value: Value?) throws -> Value {
        guard let value else { throw isNot(what) }
        return value
    }

    var isNull: Bool { node.kind == .null }

    func bool() throws -> Bool {
        guard node.kind == .bool else { throw isNot("true or false") }
        return text.first == UInt8(ascii: "t")
    }

    func string() throws -> String {
        switch node.kind {
        case .string: return String(decoding: text, as: UTF8.self)
        case .escapedString: return JSONScanner.unescaped(text)!  // the scanner has tried
        default: throw isNot("a string")
        }
    }

    /// What the number is written as.
    func number() throws -> String {
        guard node.kind == .number else { throw isNot("a number") }
        return String(decoding: text, as: UTF8.self)
    }

    func elements<Element>(_ read: (JSONValue) throws -> Element) throws -> [Element] {
        guard node.kind == .array else { throw isNot("an array") }
        var elements: [Element] = []
        var next = index + 1
        while next < node.next {
            let element = value(at: next)
            elements.append(try read(element))
            next = Int(element.node.next)
        }
        return elements
    }

    /// The value that an object has under this key.
    func field(_ key: String) -> JSONValue? {
        guard node.kind == .object else { return nil }
        var key = key
        return key.withUTF8 { key in
            let count = UInt32(key.count), end = node.next
            var next = UInt32(index + 1)
            while next < end {
                let found = nodes[Int(next)]
                if found.end - found.begin == count, value(at: Int(next)).text.elementsEqual(key) {
                    return value(at: Int(next) + 1)
                }
                next = found.next
            }
            return nil
        }
    }

    /// The fields of an object under the keys of `Key`.
    func fields<Key: CodingKey>(_ keys: Key.Type) throws -> JSONFields<Key> {
        guard node.kind == .object else { throw isNot("an object") }
        return JSONFields(object: self)
    }
}

/// An object's fields: `fields[.name]` is of the type that it is needed as, or throws.
struct JSONFields<Key: CodingKey> {
    fileprivate let object: JSONValue

    subscript<Value: JSONReadable>(key: Key) -> Value {
        get throws {
            guard let value = object.field(key.stringValue) else { throw JSONDamage("the field \(key.stringValue) is missing") }
            return try Value(value)
        }
    }

    /// Nil where the field is missing or null.
    subscript<Value: JSONReadable>(ifAny key: Key) -> Value? {
        get throws {
            guard let value = object.field(key.stringValue), !value.isNull else { return nil }
            return try Value(value)
        }
    }
}
