import CLI
import FoundationEssentials
import PostgresModel
import TestSupport
import Testing

/// Foundation's encoder is the judge: what we print is what it would print.
@Suite("Printed JSON")
struct JSONTextTests {
    private static func expected(_ value: some Encodable, snakeCase: Bool = false) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        if snakeCase { encoder.keyEncodingStrategy = .convertToSnakeCase }
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    private static func printed(_ value: some Encodable, snakeCase: Bool = false) throws -> String {
        String(decoding: try JSONText.bytes(of: value, snakeCase: snakeCase), as: UTF8.self)
    }

    private struct Numbers: Encodable {
        let a = 0, b = Int.min, c = UInt64.max, d: Int8 = -3, e = 0.1, f = 5.0, g = 1e20, h = 1e-7, i = -0.0, j = Float(0.1)
        let k = Double.greatestFiniteMagnitude, l = Double.leastNonzeroMagnitude, m = 123_456_789.125
    }

    private struct Shapes: Encodable {
        struct Empty: Encodable {}
        struct Nothing: Encodable { func encode(to encoder: any Encoder) throws {} }
        let empty = Empty(), nothing = Nothing(), array: [Int] = [], arrays: [[Int]] = [[], [1], [1, 2]], missing: Int? = nil
        let optionals: [Int?] = [1, nil], keyed = ["b": 1, "a": 2], truths = [true, false]
        @Nullable var null: LSN?
        @Nullable var value = LSN("0/1")
        let both = [Both(), Both()]
    }

    /// Adds to the fields of its content, as `Output` does.
    private struct Both: Encodable {
        enum Key: CodingKey { case zero }
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(0, forKey: .zero)
            try Shapes.Empty().encode(to: encoder)
            try Content().encode(to: encoder)
        }
        struct Content: Encodable { let a = 1, z = 2 }
    }

    @Test("has numbers, empty and nested values as Foundation prints them")
    func fixed() throws {
        #expect(try Self.printed(Numbers()) == Self.expected(Numbers()))
        #expect(try Self.printed(Shapes()) == Self.expected(Shapes()))
        #expect(try Self.printed([Shapes(), Shapes()]) == Self.expected([Shapes(), Shapes()]))
    }

    @Test("escapes what has to be escaped, and nothing else")
    func escapes() throws {
        let all = (0...0x2030).compactMap { Unicode.Scalar($0) }.map { String($0) } + ["😀", "e\u{301}", ""]
        #expect(try Self.printed(all) == Self.expected(all))
        #expect(try Self.printed([all.joined()]) == Self.expected([all.joined()]))
    }

    /// Words of small letters and abbreviations, as our own names are made.
    @Test("has keys in snake case, as Foundation converts them", arguments: Seed.some(4))
    func keys(seed: Seed) throws {
        var random = seed.generator
        struct Name: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }
        struct Document: Encodable {
            let names: [String]
            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: Name.self)
                for name in names { try container.encode(1, forKey: Name(stringValue: name)) }
            }
        }
        let fixed = ["endLSN", "walBytes", "crc32c", "WAL", "fromLSNOfPage", "a", "aB", "id", "end_lsn", "bytes2Read"]
        let made = (0..<200).map { _ in
            let words = (0..<random.below(3)).map { _ in
                random.below(2) == 0
                    ? random.text(1...1, of: "ABYZ") + random.text(1...4, of: "abyz") : random.text(1...4, of: "ABYZ")
            }
            return random.text(1...4, of: "abyz") + words.joined()
        }
        for name in fixed + made {
            let document = Document(names: [name])
            #expect(try Self.printed(document, snakeCase: true) == Self.expected(document, snakeCase: true), "\(seed)")
        }
    }

    @Test("has an object's fields in the order of their names, whatever order they come in", arguments: Seed.some(4))
    func order(seed: Seed) throws {
        var random = seed.generator
        for _ in 0..<50 {
            // Names with long beginnings in common, so that the first letters do not decide.
            let documents = (0..<3).map { _ in
                Dictionary(
                    (0..<random.below(12)).map { _ in
                        (random.text(0...1, of: "ab") + "common_begin" + random.text(0...3, of: "ab_"), 1)
                    }
                ) { first, _ in first }
            }
            #expect(try Self.printed(documents) == Self.expected(documents), "\(seed)")
        }
    }

    @Test("has no number that JSON does not have", arguments: [Double.nan, .infinity, -.infinity])
    func notFinite(value: Double) {
        #expect(throws: EncodingError.self) { try JSONText.bytes(of: [value]) }
    }
}
