import Storage
import TestSupport
import Testing

@Suite("SHA-256")
struct SHA256Tests {
    static func digest(_ pieces: [[UInt8]]) throws -> String {
        let digest = try SHA256()
        for piece in pieces { piece.withUnsafeBytes { digest.add($0) } }
        return digest.hexadecimal()
    }

    /// FIPS 180-4's examples, and the digest of nothing.
    @Test(
        "has the known answers",
        arguments: [
            ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
            ("a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ])
    func knownAnswers(text: String, times: Int, expected: String) throws {
        #expect(try Self.digest([Array(String(repeating: text, count: times).utf8)]) == expected)
    }

    @Test("of bytes that come in pieces is that of the whole", arguments: Seed.some(5))
    func pieces(seed: Seed) throws {
        var random = seed.generator
        let pieces = (0..<20).map { _ in random.bytes(random.below(300)) }
        #expect(try Self.digest(pieces) == Self.digest([pieces.flatMap(\.self)]))
    }
}
