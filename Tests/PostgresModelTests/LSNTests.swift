import FoundationEssentials
import PostgresModel
import TestSupport
import Testing

@Suite("An LSN")
struct LSNTests {
    @Test(
        "is read from two hexadecimal halves",
        arguments: [
            ("0/0", 0), ("0/3000168", 0x300_0168), ("16/B374D848", 0x16_B374_D848), ("16/b374d848", 0x16_B374_D848),
            ("00000016/00000001", 0x16_0000_0001), ("FFFFFFFF/FFFFFFFF", UInt64.max),
        ])
    func reads(text: String, value: UInt64) {
        #expect(LSN(text)?.rawValue == value)
    }

    @Test(
        "is refused where the text is another thing",
        arguments: [
            "", "/", "0", "0/", "/0", "0/0/0", "0/+1", "0/-1", " 0/1", "0/1 ", "0x1/0", "0/123456789", "123456789/0",
            "0/000000001", "000000001/0", "0/G",
            "0\\0",
            "0/٣", "é/0",
        ])
    func refuses(text: String) {
        #expect(LSN(text) == nil)
    }

    @Test(
        "is printed as PostgreSQL prints it", arguments: [(0, "0/0"), (0x16_00FF, "0/1600FF"), (UInt64.max, "FFFFFFFF/FFFFFFFF")])
    func prints(value: UInt64, text: String) {
        #expect(LSN(rawValue: value).description == text)
    }

    @Test("comes back from its own text and from JSON", arguments: Seed.some(20))
    func roundTrip(seed: Seed) throws {
        var random = seed.generator
        for _ in 0..<100 {
            let lsn = LSN(rawValue: random.next() >> UInt64.random(in: 0..<64, using: &random))
            #expect(LSN(lsn.description) == lsn)
            #expect(try JSONDecoder().decode([LSN].self, from: JSONEncoder().encode([lsn])) == [lsn])
        }
    }

    @Test("is not read from JSON that holds another text")
    func refusesJSON() {
        #expect(throws: DecodingError.self) { try JSONDecoder().decode([LSN].self, from: Data("[\"0-1\"]".utf8)) }
    }

    @Test("minus another is the number of bytes between them, with its sign")
    func distance() {
        let earlier = LSN(rawValue: 0xFF_FFFF_FFFF)
        let later = LSN(rawValue: 0x100_0000_0004)
        #expect(later - earlier == 5)
        #expect(earlier - later == -5)
        #expect(earlier + 5 == later)
        #expect(earlier < later)
    }
}
