import PostgresModel

/// Where one value or key lies in the text. An object's node is followed by its keys, each with its value behind it; an
/// array's by its elements.
struct JSONNode {
    enum Kind { case null, bool, number, string, escapedString, array, object }

    let kind: Kind
    /// Without the quotes of a string.
    let begin: UInt32
    var end: UInt32
    /// The index of what follows: the first node that is not part of this value, or of this key's value.
    var next: UInt32

    var place: Range<Int> { Int(begin)..<Int(end) }
}

/// Checks a JSON text and finds its values.
struct JSONScanner {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var position = 0
    private var isASCII = true
    private(set) var nodes: [JSONNode] = []

    /// The stack's limit as much as the format's: each level is a call.
    private static let mostLevels = 32

    /// The bytes are looked at as long as `scan` runs.
    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    mutating func scan() throws {
        guard bytes.count <= UInt32.max else { throw JSONDamage("it is too long") }
        nodes.reserveCapacity(bytes.count / 8)
        try value(level: 0)
        guard next() == nil else { throw unexpected() }
        guard isASCII || String(validating: bytes, as: UTF8.self) != nil else { throw JSONDamage("it is not UTF-8") }
    }

    private mutating func value(level: Int) throws {
        guard level < Self.mostLevels else { throw JSONDamage("it has too many levels") }
        switch next() {
        case UInt8(ascii: "\""): try string()
        case UInt8(ascii: "{"): try object(level)
        case UInt8(ascii: "["): try array(level)
        case UInt8(ascii: "t"): try word("true", .bool)
        case UInt8(ascii: "f"): try word("false", .bool)
        case UInt8(ascii: "n"): try word("null", .null)
        default: try number()
        }
    }

    private mutating func object(_ level: Int) throws {
        let index = begin(.object)
        var last: Range<Int>?
        var isSorted = true
        if !skip("}") {
            repeat {
                guard next() == UInt8(ascii: "\"") else { throw unexpected() }
                try string()
                let key = nodes.count - 1
                let place = nodes[key].place
                guard nodes[key].kind == .string else { throw JSONDamage("the key at byte \(place.lowerBound) has escapes") }
                if let last, isSorted { isSorted = bytes[last].lexicographicallyPrecedes(bytes[place]) }
                last = place
                guard skip(":") else { throw unexpected() }
                try value(level: level + 1)
                nodes[key].next = UInt32(nodes.count)
            } while skip(",")
            guard skip("}") else { throw unexpected() }
        }
        end(index)
        // Ours are sorted, and then none comes twice.
        if !isSorted { try requireDifferentKeys(index) }
    }

    private func requireDifferentKeys(_ object: Int) throws {
        var keys: Set<[UInt8]> = []
        var index = object + 1
        while index < nodes[object].next {
            guard keys.insert(Array(bytes[nodes[index].place])).inserted else {
                throw JSONDamage("the key at byte \(nodes[index].begin) is there twice")
            }
            index = Int(nodes[index].next)
        }
    }

    private mutating func array(_ level: Int) throws {
        let index = begin(.array)
        if !skip("]") {
            repeat { try value(level: level + 1) } while skip(",")
            guard skip("]") else { throw unexpected() }
        }
        end(index)
    }

    private mutating func begin(_ kind: JSONNode.Kind) -> Int {
        nodes.append(JSONNode(kind: kind, begin: UInt32(position), end: 0, next: 0))
        position += 1
        return nodes.count - 1
    }

    private mutating func end(_ index: Int) {
        nodes[index].end = UInt32(position)
        nodes[index].next = UInt32(nodes.count)
    }

    private mutating func string() throws {
        let begin = position + 1
        var end = begin
        var hasEscapes = false
        while end < bytes.count, bytes[end] != UInt8(ascii: "\"") {
            let byte = bytes[end]
            if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                end += 1  // and over what follows it, which may be a quote
            } else if byte >= 0x80 {
                isASCII = false
            } else if byte < 0x20 {
                throw JSONDamage("byte \(end) does not belong there")
            }
            end += 1
        }
        guard end < bytes.count else { throw JSONDamage("it ends within a string") }
        position = end
        add(hasEscapes ? .escapedString : .string, begin)
        position += 1
        if hasEscapes, Self.unescaped(UnsafeBufferPointer(rebasing: bytes[begin..<end])) == nil {
            throw JSONDamage("the string at byte \(begin) has an escape that is none")
        }
    }

    private mutating func word(_ word: StaticString, _ kind: JSONNode.Kind) throws {
        let begin = position
        for i in 0..<word.utf8CodeUnitCount {
            guard position < bytes.count, bytes[position] == word.utf8Start[i] else { throw unexpected() }
            position += 1
        }
        add(kind, begin)
    }

    /// A minus, digits that do not begin with a superfluous zero, a fraction, an exponent.
    private mutating func number() throws {
        let begin = position
        _ = has("-")
        if !has("0") { try digits() }
        if has(".") { try digits() }
        if has("e") || has("E") {
            _ = has("+") || has("-")
            try digits()
        }
        add(.number, begin)
    }

    private mutating func digits() throws {
        let begin = position
        while position < bytes.count, (0x30...0x39).contains(bytes[position]) { position += 1 }
        guard position > begin else { throw unexpected() }
    }

    private mutating func add(_ kind: JSONNode.Kind, _ begin: Int) {
        nodes.append(JSONNode(kind: kind, begin: UInt32(begin), end: UInt32(position), next: UInt32(nodes.count + 1)))
    }

    private mutating func has(_ character: Unicode.Scalar) -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool { next() != nil && has(character) }

    /// The byte behind white space, which stays to be taken; nil at the end.
    private mutating func next() -> UInt8? {
        var place = position
        defer { position = place }
        while place < bytes.count {
            switch bytes[place] {
            case 0x20, 0x0A, 0x0D, 0x09: place += 1
            default: return bytes[place]
            }
        }
        return nil
    }

    private func unexpected() -> JSONDamage {
        JSONDamage(position < bytes.count ? "byte \(position) does not belong there" : "it ends too early")
    }

    // MARK: Escapes

    /// What a string with escapes means; nil where one of them means nothing.
    static func unescaped(_ text: UnsafeBufferPointer<UInt8>) -> String? {
        var rest = text[...]
        var result: [UInt8] = []
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                result.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "u"):
                guard let scalar = scalar(&rest), let bytes = UTF8.encode(scalar) else { return nil }
                result.append(contentsOf: bytes)
            case UInt8(ascii: "b"): result.append(0x08)
            case UInt8(ascii: "f"): result.append(0x0C)
            case UInt8(ascii: "n"): result.append(0x0A)
            case UInt8(ascii: "r"): result.append(0x0D)
            case UInt8(ascii: "t"): result.append(0x09)
            case let byte? where [UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/")].contains(byte): result.append(byte)
            default: return nil
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The character of one `\u`, or of the two that a surrogate pair takes.
    private static func scalar(_ rest: inout Slice<UnsafeBufferPointer<UInt8>>) -> Unicode.Scalar? {
        guard let first = unit(&rest) else { return nil }
        guard UTF16.isLeadSurrogate(first) else { return Unicode.Scalar(first) }
        guard rest.popFirst() == UInt8(ascii: "\\"), rest.popFirst() == UInt8(ascii: "u"), let second = unit(&rest),
            UTF16.isTrailSurrogate(second)
        else { return nil }
        return UTF16.decode(UTF16.EncodedScalar([first, second]))
    }

    private static func unit(_ rest: inout Slice<UnsafeBufferPointer<UInt8>>) -> UInt16? {
        let digits = rest.prefix(4)
        guard digits.count == 4, digits.allSatisfy(\.isHexDigit) else { return nil }
        rest.removeFirst(4)
        return UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
    }
}
