import Storage
import TestSupport
import Testing

@Suite("CRC-32C")
struct ChecksumTests {
    /// The check value of the algorithm's catalogue, and the vectors of RFC 3720, B.4.
    @Test(
        "has the known answers",
        arguments: [
            (Array("123456789".utf8), 0xE306_9283), ([], 0), (Array(repeating: 0, count: 32), 0x8A91_36AA),
            (Array(repeating: 0xFF, count: 32), 0x62A8_AB43), (Array(0..<32), 0x46DD_794E),
            (Array((0..<32).reversed()), 0x113F_DB5C),
        ] as [([UInt8], UInt32)])
    func knownAnswers(bytes: [UInt8], value: UInt32) {
        #expect(CRC32C(bytes).value == value)
    }

    @Test("of bytes that come in pieces is that of the whole, wherever they lie", arguments: Seed.some(10))
    func pieces(seed: Seed) {
        var random = seed.generator
        let bytes = random.bytes(Int.random(in: 0...5000, using: &random))
        var sum = CRC32C()
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...300, using: &random))
                sum.add(UnsafeRawBufferPointer(rebasing: piece))
                rest = rest.dropFirst(piece.count)
            }
        }
        #expect(sum.value == CRC32C(bytes).value)
        #expect(sum.value == Self.bitByBit(bytes))
    }

    /// The definition, one bit after the other.
    static func bitByBit(_ bytes: [UInt8]) -> UInt32 {
        var sum = ~UInt32(0)
        for byte in bytes {
            sum ^= UInt32(byte)
            for _ in 0..<8 { sum = sum & 1 == 1 ? (sum >> 1) ^ 0x82F6_3B78 : sum >> 1 }
        }
        return ~sum
    }
}
