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

    @Test("of one thing behind another follows from the checksums of both", arguments: Seed.some(20))
    func joined(seed: Seed) {
        var random = seed.generator
        let parts = (0..<4).map { _ in random.bytes([0, 1, 8192, random.below(20_000)].randomElement(using: &random)!) }
        var whole: [UInt8] = []
        var sum: UInt32 = 0
        for part in parts {
            sum = CRC32C.joined(sum, CRC32C(part).value, count: part.count)
            whole += part
            #expect(sum == CRC32C(whole).value, "\(parts.map(\.count))")
        }
    }

    /// Each bit of the length is a factor of its own.
    @Test("is carried over any number of bytes", arguments: 0...23)
    func shifted(bit: Int) {
        let first = Array("123456789".utf8)
        for count in [1 << bit, (1 << bit) - 1] {
            let behind = [UInt8](repeating: 0xA5, count: count)
            let sum = CRC32C.joined(CRC32C(first).value, CRC32C(behind).value, count: count)
            #expect(sum == CRC32C(first + behind).value, "\(count) bytes")
        }
    }

    @Test("is the XOR of its parts', in any order", arguments: Seed.some(5))
    func parts(seed: Seed) {
        var random = seed.generator
        let bytes = random.bytes(50_000)
        var cuts = (0..<10).map { _ in random.below(bytes.count) } + [0, bytes.count]
        cuts.sort()
        let pieces = zip(cuts, cuts.dropFirst()).map { $0..<$1 }.shuffled(using: &random)
        let sum = pieces.reduce(UInt32(0)) {
            $0 ^ CRC32C.shifted(CRC32C(Array(bytes[$1])).value, by: bytes.count - $1.upperBound)
        }
        #expect(sum == CRC32C(bytes).value)
    }

    @Test("is carried over more bytes than anybody writes")
    func far() {
        let value = CRC32C(Array("123456789".utf8)).value
        #expect(CRC32C.shifted(value, by: 0) == value)
        #expect(CRC32C.shifted(0, by: 5) == 0)
        for bit in 24..<62 {
            let half = CRC32C.shifted(value, by: 1 << (bit - 1))
            #expect(CRC32C.shifted(half, by: 1 << (bit - 1)) == CRC32C.shifted(value, by: 1 << bit), "2^\(bit) bytes")
        }
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
