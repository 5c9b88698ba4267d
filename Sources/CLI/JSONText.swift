import PostgresModel

/// Writes `Encodable` values as JSON the way a person reads it: indented, an object's keys sorted. What comes out is, byte
/// for byte, what Foundation's encoder makes, in a fraction of the time (docs/decisions/0017-our-own-json.md).
///
/// Containers are nested by encoding values, as the `encode(to:)` of the compiler does, never by hand; and keys are names of
/// fields, in which nothing needs an escape.
package enum JSONText {
    /// With `snakeCase` the key `endLSN` becomes `end_lsn`. Throws `EncodingError` for a number that JSON does not have.
    package static func bytes(of value: some Encodable, snakeCase: Bool = false) throws -> [UInt8] {
        var writer = JSONWriter(snakeCase: snakeCase)
        try withUnsafeMutablePointer(to: &writer) { try JSONEncoding(writer: $0).write(value) }
        return writer.text
    }
}

/// What was written so far: values one behind the other, and of what is not at its end yet, which parts are its own.
private struct JSONWriter {
    private(set) var text: [UInt8] = []
    /// The value that is being written, last, and the containers that it is in.
    private var open: [Unfinished] = []
    /// Those of all objects that are open.
    private var fields: [Field] = []
    private var keys: JSONKeys
    /// An object, while its fields are put into order.
    private var scratch: [UInt8] = []

    enum Kind { case scalar, array, object }

    private struct Unfinished {
        var kind: Kind?
        /// Where its text begins.
        let begin: Int
        let firstField: Int
        var isEmpty = true
    }

    private struct Field {
        let key: Int
        let value: Range<Int>
    }

    init(snakeCase: Bool) { keys = JSONKeys(snakeCase: snakeCase) }

    mutating func begin() { open.append(Unfinished(begin: text.count, firstField: fields.count)) }

    /// Says what the value is. An object may be said to be one again, by what adds to its fields.
    mutating func become(_ kind: Kind) {
        let last = open.count - 1
        precondition(open[last].kind == nil || (open[last].kind == .object && kind == .object), "a value is of one kind")
        open[last].kind = kind
        if kind == .array { text.append(UInt8(ascii: "[")) }
    }

    mutating func end() {
        let value = open.removeLast()
        switch value.kind {
        case .scalar: break
        case .array: endArray(value)
        case .object, nil: endObject(value)
        }
    }

    // MARK: Containers

    mutating func beginElement() {
        let last = open.count - 1
        if !open[last].isEmpty { text.append(UInt8(ascii: ",")) }
        open[last].isEmpty = false
        Self.newLine(open.count, &text)
    }

    private mutating func endArray(_ array: Unfinished) {
        if array.isEmpty { text.append(UInt8(ascii: "\n")) }
        Self.newLine(open.count, &text)
        text.append(UInt8(ascii: "]"))
    }

    func beginField() -> Int { text.count }

    mutating func endField(_ key: String, _ begin: Int) {
        fields.append(Field(key: keys.index(of: key), value: begin..<text.count))
    }

    private mutating func endObject(_ object: Unfinished) {
        scratch.removeAll(keepingCapacity: true)
        scratch.append(UInt8(ascii: "{"))
        fields[object.firstField...].sort { keys.isOrdered($0.key, $1.key) }
        for index in object.firstField..<fields.count {
            if index > object.firstField { scratch.append(UInt8(ascii: ",")) }
            Self.newLine(open.count + 1, &scratch)
            scratch += keys.printed(fields[index].key)
            scratch += text[fields[index].value]
        }
        if object.firstField == fields.count { scratch.append(UInt8(ascii: "\n")) }
        Self.newLine(open.count, &scratch)
        scratch.append(UInt8(ascii: "}"))
        fields.removeSubrange(object.firstField...)
        if object.begin == 0 { return swap(&text, &scratch) }  // all that there is, and that may be long
        text.removeSubrange(object.begin...)
        text += scratch
    }

    private static func newLine(_ level: Int, _ text: inout [UInt8]) {
        text.append(UInt8(ascii: "\n"))
        text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * level))
    }

    // MARK: Scalars

    mutating func scalar(_ literal: String) {
        become(.scalar)
        text += literal.utf8
    }

    mutating func scalar(quoting string: String) {
        become(.scalar)
        var string = string
        string.withUTF8 { bytes in
            text.append(UInt8(ascii: "\""))
            let isPlain = bytes.allSatisfy { $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
            if isPlain { text.append(contentsOf: bytes) } else { for byte in bytes { escape(byte) } }
            text.append(UInt8(ascii: "\""))
        }
    }

    private mutating func escape(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
        case 0x08: text += "\\b".utf8
        case 0x09: text += "\\t".utf8
        case 0x0A: text += "\\n".utf8
        case 0x0C: text += "\\f".utf8
        case 0x0D: text += "\\r".utf8
        case 0..<0x20: text += "\\u00\(byte < 0x10 ? "0" : "")\(String(byte, radix: 16))".utf8
        default: text.append(byte)
        }
    }
}

/// The keys that occurred, each converted once.
private struct JSONKeys {
    private let snakeCase: Bool
    private var indexes: [String: Int] = [:]
    private var keys: [Key] = []
    /// All of them, with their quotes and the colon.
    private var text: [UInt8] = []
    /// The key that came last.
    private var last = 0

    private struct Key {
        let name: String
        /// The first eight letters as a number that is ordered as they are.
        let order: UInt64
        let place: Range<Int>
        /// The key that came after it, the last time: it will again, for most objects are like one before.
        var follower = 0
    }

    init(snakeCase: Bool) { self.snakeCase = snakeCase }

    mutating func index(of key: String) -> Int {
        if last < keys.count, keys[keys[last].follower].name == key {
            last = keys[last].follower
        } else {
            let index = indexes[key] ?? add(key)
            keys[last].follower = index
            last = index
        }
        return last
    }

    private mutating func add(_ key: String) -> Int {
        precondition(key.utf8.allSatisfy { (0x23...0x7E).contains($0) && $0 != UInt8(ascii: "\\") }, "\(key) is no field's name")
        let name = snakeCase ? Self.snakeCase(key) : Array(key.utf8)
        let begin = text.count
        text += [UInt8(ascii: "\"")] + name + "\" : ".utf8
        let order = (0..<8).reduce(0) { $0 << 8 | ($1 < name.count ? UInt64(name[$1]) : 0) }
        keys.append(Key(name: key, order: order, place: begin..<text.count))
        indexes[key] = keys.count - 1
        return keys.count - 1
    }

    func isOrdered(_ a: Int, _ b: Int) -> Bool {
        let (a, b) = (keys[a], keys[b])
        return a.order != b.order ? a.order < b.order : text[a.place].lexicographicallyPrecedes(text[b.place])
    }

    func printed(_ index: Int) -> ArraySlice<UInt8> { text[keys[index].place] }

    /// An underscore before each word: before a capital, but of several in a row only before the first, and before the last
    /// if a small letter follows it.
    private static func snakeCase(_ key: String) -> [UInt8] {
        let letters = Array(key.utf8)
        let capital = UInt8(ascii: "A")...UInt8(ascii: "Z"), small = UInt8(ascii: "a")...UInt8(ascii: "z")
        var result: [UInt8] = []
        var isAmongCapitals = false
        for (index, letter) in letters.enumerated() {
            if capital.contains(letter) {
                let beginsWord = index + 1 < letters.count && small.contains(letters[index + 1])
                if index > 0, !isAmongCapitals || beginsWord { result.append(UInt8(ascii: "_")) }
                isAmongCapitals = index > 0
            } else if small.contains(letter) {
                isAmongCapitals = false
            }
            result.append(capital.contains(letter) ? letter | 0x20 : letter)
        }
        return result
    }
}

// MARK: What `encode(to:)` sees

/// The value that is being written. One word without a reference, because each field makes one. The pointer lives as long
/// as `JSONText.bytes` runs, which is as long as an encoder may be used.
private struct JSONEncoding: Encoder, SingleValueEncodingContainer {
    let writer: UnsafeMutablePointer<JSONWriter>

    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    /// Writes another value, within this one where it is a container.
    func write(_ value: some Encodable) throws {
        writer.pointee.begin()
        try value.encode(to: self)
        writer.pointee.end()
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        writer.pointee.become(.object)
        return KeyedEncodingContainer(JSONObject(value: self))
    }
    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        writer.pointee.become(.array)
        return JSONArray(value: self)
    }
    func singleValueContainer() -> any SingleValueEncodingContainer { self }

    func encodeNil() { writer.pointee.scalar("null") }
    func encode(_ value: Bool) { writer.pointee.scalar(value ? "true" : "false") }
    func encode(_ value: String) { writer.pointee.scalar(quoting: value) }
    func encode<Number: BinaryInteger & Encodable>(_ value: Number) { writer.pointee.scalar(String(value)) }
    func encode<Number: BinaryFloatingPoint & LosslessStringConvertible & Encodable>(_ value: Number) throws {
        guard value.isFinite else {
            throw EncodingError.invalidValue(value, .init(codingPath: [], debugDescription: "JSON has no \(value)"))
        }
        let text = value.description
        writer.pointee.scalar(text.hasSuffix(".0") ? String(text.dropLast(2)) : text)
    }
    /// A value that stands for this one.
    func encode<Value: Encodable>(_ value: Value) throws { try value.encode(to: self) }
}

private struct JSONObject<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let value: JSONEncoding

    var codingPath: [any CodingKey] { [] }

    func encodeNil(forKey key: Key) throws { try encode(nil as Bool?, forKey: key) }
    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        let begin = self.value.writer.pointee.beginField()
        try self.value.write(value)
        self.value.writer.pointee.endField(key.stringValue, begin)
    }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested> {
        preconditionFailure(nestedByHand)
    }
    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { preconditionFailure(nestedByHand) }
    func superEncoder() -> any Encoder { preconditionFailure(nestedByHand) }
    func superEncoder(forKey key: Key) -> any Encoder { preconditionFailure(nestedByHand) }
}

private struct JSONArray: UnkeyedEncodingContainer {
    private let value: JSONEncoding
    private(set) var count = 0

    init(value: JSONEncoding) { self.value = value }

    var codingPath: [any CodingKey] { [] }

    mutating func encodeNil() throws { try encode(nil as Bool?) }
    mutating func encode<Value: Encodable>(_ value: Value) throws {
        count += 1
        self.value.writer.pointee.beginElement()
        try self.value.write(value)
    }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        preconditionFailure(nestedByHand)
    }
    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { preconditionFailure(nestedByHand) }
    func superEncoder() -> any Encoder { preconditionFailure(nestedByHand) }
}

private let nestedByHand = "containers are nested by encoding values"

extension KeyedEncodingContainer {
    /// What the compiler's `encode(to:)` calls for a field that is `@Nullable`: without the detour by a container for one
    /// value, of which a long listing would have very many.
    mutating func encode<Value>(_ value: Nullable<Value>, forKey key: Key) throws {
        if let value = value.wrappedValue { try encode(value, forKey: key) } else { try encodeNil(forKey: key) }
    }
}
