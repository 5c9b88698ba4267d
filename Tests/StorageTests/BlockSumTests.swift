import Storage
import TestSupport
import Testing

@Suite("A block's sum")
struct BlockSumTests {
    static func sum(_ bytes: [UInt8]) -> BlockSum { bytes.withUnsafeBytes { BlockSum($0) } }

    /// What xxHash's own test (tests/sanity_test.c) hashes: the top bytes of a sequence of products.
    static let sanity: [UInt8] = {
        var state: UInt64 = 2_654_435_761
        return (0..<2367).map { _ in
            defer { state &*= 11_400_714_785_074_694_797 }
            return UInt8(state >> 56)
        }
    }()

    /// The lengths take each of XXH3's ways once.
    @Test(
        "has the hashes that xxHash lists for XXH3 with 64 bits and the seed 0",
        arguments: [
            (0, 0x2D06_8005_38D3_94C2), (1, 0xC44B_DFF4_074E_ECDB), (6, 0x27B5_6A84_CD2D_7325), (12, 0xA713_DAF0_DFBB_77E7),
            (24, 0xA3FE_70BF_9D35_10EB), (48, 0x397D_A259_ECBA_1F11), (80, 0xBCDE_FBBB_2C47_C90A), (195, 0xCD94_217E_E362_EC3A),
            (403, 0xCDEB_804D_65C6_DEA4), (512, 0x617E_4959_9013_CB6B), (2048, 0xDD59_E2C3_A5F0_38E0),
            (2240, 0x6E73_A905_39CF_2948), (2367, 0xCB37_AEB9_E5D3_61ED),
        ] as [(Int, UInt64)])
    func knownAnswers(count: Int, hash: UInt64) {
        #expect(Self.sum(Array(Self.sanity[..<count])).hash == hash)
    }

    @Test("has the CRC-32C of the block, and both change with any byte", arguments: Seed.some(3))
    func changes(seed: Seed) {
        var random = seed.generator
        let block = random.bytes(8192)
        let sum = Self.sum(block)
        #expect(sum.crc == CRC32C(block).value && sum == Self.sum(block))
        for place in [0, 8191] + (0..<200).map({ _ in random.below(8192) }) {
            var other = block
            other[place] ^= 1 << UInt8(random.below(8))
            #expect(Self.sum(other).crc != sum.crc && Self.sum(other).hash != sum.hash, "byte \(place)")
        }
    }

    @Test("differs where only one of its two parts does")
    func equality() {
        let sum = BlockSum(crc: 1, hash: 2)
        #expect(sum != BlockSum(crc: 1, hash: 3) && sum != BlockSum(crc: 3, hash: 2) && sum == BlockSum(crc: 1, hash: 2))
    }
}
