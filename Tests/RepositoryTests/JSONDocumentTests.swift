import PostgresModel
import TestSupport
import Testing

@testable import Repository

@Suite("JSON text")
struct JSONDocumentTests {
    private static func read<Value: JSONReadable>(_ text: String, as type: Value.Type = Value.self) throws -> Value {
        try JSONDocument(Array(text.utf8)).read()
    }

    @Test(
        "is read as what it says",
        arguments: [
            (#""""#, ""), (#""a""#, "a"), (" \t\r\n\"a\" \n", "a"), (#""größe 😀""#, "größe 😀"),
            (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u0041\u00e4\u4E2D""#, "Aä中"), (#""\ud83d\ude00""#, "😀"),
            (#""a\\""#, "a\\"),
        ])
    func string(text: String, value: String) throws {
        #expect(try Self.read(text) == value)
    }

    @Test(
        "has integers and no others in their place",
        arguments: [
            ("0", 0), ("-0", 0), ("12", 12), ("-12", -12), ("9223372036854775807", .max), ("-9223372036854775808", .min),
            ("9223372036854775808", nil), ("1.0", nil), ("1e3", nil), ("\"1\"", nil), ("null", nil), ("true", nil), ("[1]", nil),
        ] as [(String, Int?)])
    func integer(text: String, value: Int?) {
        #expect((try? Self.read(text, as: Int.self)) == value)
    }

    @Test(
        "has numbers, all of them finite",
        arguments: [("0.5", 0.5), ("-1E+2", -100), ("12", 12), ("1e-7", 1e-7), ("1e999", nil), ("\"1\"", nil)]
            as [(String, Double?)])
    func number(text: String, value: Double?) {
        #expect((try? Self.read(text, as: Double.self)) == value)
    }

    @Test(
        "has true and false", arguments: [("true", true), ("false", false), ("0", nil), ("\"true\"", nil)] as [(String, Bool?)])
    func bool(text: String, value: Bool?) {
        #expect((try? Self.read(text, as: Bool.self)) == value)
    }

    @Test(
        "has arrays, also of arrays",
        arguments: [("[]", []), ("[ ]", []), ("[[]]", [[]]), ("[[1,2] , [] ,[3]]", [[1, 2], [], [3]])])
    func array(text: String, value: [[Int]]) throws {
        #expect(try Self.read(text) == value)
    }

    @Test(
        "is refused where it is not JSON",
        arguments: [
            "", " ", "\"", "\"a", "\"a\\\"", #""\x""#, #""\u12""#, #""\u123g""#, #""\ud83d""#, #""\ud83dx""#, #""\ud83d\u0041""#,
            #""\ude00""#, "\"a\nb\"", "\"\u{0}\"", "tru", "truex", "True", "nul", "+1", "01", "-", "1.", ".5", "1e", "1e+", "0x1",
            "NaN",
            "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}", "{1:1}", "{\"a\":1 \"b\":2}", "}", "1 2", "{}x", "[]]", "// 1", "'a'", "\u{FEFF}1",
            // Keys twice, in order and out of order, and keys with escapes.
            #"{"a":1,"a":2}"#, #"{"b":1,"a":2,"b":3}"#, #"{"":1,"":2}"#, #"{"\u0061":1}"#,
            // More levels than any record has.
            String(repeating: "[", count: 33) + String(repeating: "]", count: 33), String(repeating: "[", count: 100_000),
        ])
    func refused(text: String) {
        #expect(throws: JSONDamage.self) { try JSONDocument(Array(text.utf8)) }
    }

    @Test(
        "is refused where it is not UTF-8", arguments: [[0x80], [0xC3], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xFF]] as [[UInt8]])
    func notUTF8(bytes: [UInt8]) {
        let quote = UInt8(ascii: "\"")
        #expect(throws: JSONDamage.self) { try JSONDocument([quote] + bytes + [quote]) }
        #expect(throws: JSONDamage.self) { try JSONDocument(bytes) }
    }

    // MARK: Objects

    private struct Example: JSONReadable {
        enum Key: String, CodingKey { case first, second, other = "an_other" }
        let first: Int
        let second: String?
        let other: [Double]

        init(_ json: JSONValue) throws {
            let fields = try json.fields(Key.self)
            (first, second, other) = try (fields[.first], fields[ifAny: .second], fields[.other])
        }
    }

    @Test(
        "has objects whose fields come in any order, among unknown ones",
        arguments: [
            #"{"an_other":[1,2.5],"first":7,"second":"x"}"#, #"{"second":"x","first":7,"an_other":[1,2.5]}"#,
            #"{"a":{"first":8,"b":[{}]},"an_other":[1,2.5],"first":7,"fires":[],"second":"x","z":{"first":9}}"#,
        ])
    func object(text: String) throws {
        let example: Example = try Self.read(text)
        #expect(example.first == 7 && example.second == "x" && example.other == [1, 2.5])
    }

    @Test(
        "has fields that may be missing or null",
        arguments: [#"{"an_other":[],"first":7}"#, #"{"an_other":[],"first":7,"second":null}"#])
    func optional(text: String) throws {
        #expect(try Self.read(text, as: Example.self).second == nil)
    }

    @Test(
        "says what is wrong, and where",
        arguments: [
            (#"{"an_other":[]}"#, "the field first is missing"),
            (#"{"an_other":[],"first":null}"#, "the value at byte 23 is not a number"),
            (#"{"an_other":1,"first":2}"#, "the value at byte 12 is not an array"),
            ("[]", "the value at byte 0 is not an object"),
            (#"{"an_other":[],"first":7,"second":8}"#, "the value at byte 34 is not a string"),
        ])
    func wrongObject(text: String, reason: String) throws {
        let damage = try #require(throws: JSONDamage.self) { try Self.read(text, as: Example.self) }
        #expect(damage.description == reason)
    }

    // MARK: Anything

    /// What we take for JSON, Foundation takes for JSON; and nothing ends the program.
    @Test("that was damaged at random is refused, or is JSON still", arguments: Seed.some(10))
    func fuzz(seed: Seed) throws {
        var random = seed.generator
        // No e: an exponent could make a number that a double does not hold, which only we take for JSON.
        let pieces = Array(#"{}[],:"\/bnu00d8truefalsnl-.019 ä"#.utf8).filter { $0 != UInt8(ascii: "e") }
        let start = Array(#"{"a":[1,-2.5,true,false,null],"b":{"c":"\"\u00e4\ud83d\ude00","ä":""},"d":[[],{}]}"#.utf8)
        var accepted = 0
        for _ in 0..<2000 {
            var text = start
            for _ in 0...random.below(3) {
                let place = random.below(text.count)
                switch random.below(3) {
                case 0: text[place] = pieces[random.below(pieces.count)]
                case 1: text.remove(at: place)
                default: text.insert(pieces[random.below(pieces.count)], at: place)
                }
            }
            guard (try? JSONDocument(text)) != nil else { continue }
            accepted += 1
            #expect(throws: Never.self, "\(seed): \(String(decoding: text, as: UTF8.self))") {
                try JSON(parsing: String(decoding: text, as: UTF8.self))
            }
        }
        #expect(accepted > 0)
    }
}
