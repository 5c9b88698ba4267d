@testable import Repository
import TestSupport
import Testing

@Suite("The list of packs of a new backup")
struct PackTableTests {
    @Test("has them in the order of their first use, and none that is not used")
    func order() {
        var table = PackTable(reference: ["a", "b", "c", "d"]) { "new-\($0)" }
        #expect(table.names == [])
        #expect([2, 0, 2, 0].map { table.number(ofReferred: $0) } == [0, 1, 0, 1])
        #expect([0, 0, 1].map { table.number(ofOwn: $0) } == [2, 2, 3])
        #expect(table.number(ofReferred: 3) == 4)
        #expect(table.number(ofOwn: 0) == 2)
        #expect(table.names == ["c", "a", "new-0", "new-1", "d"])
    }

    @Test("is dense, whatever is used when", arguments: Seed.some(10))
    func dense(seed: Seed) {
        var random = seed.generator
        let reference = (0..<20).map { "old-\($0)" }
        var table = PackTable(reference: reference) { "new-\($0)" }
        var own = 0
        for _ in 0..<100 {
            let (number, name): (Int, String)
            if Bool.random(using: &random) {
                let pack = random.below(15)
                (number, name) = (table.number(ofReferred: pack), reference[pack])
            } else {
                own = min(own + random.below(2), 10)
                (number, name) = (table.number(ofOwn: own), "new-\(own)")
            }
            #expect(table.names.indices.contains(number) && table.names[number] == name)
        }
        #expect(Set(table.names).count == table.names.count && !table.names.contains("old-17"))
    }
}

@Suite("Extents")
struct ExtentTests {
    static func random(_ random: inout SeededGenerator) -> [Extent] {
        (0..<(1 + random.below(30))).map { _ in
            let block = random.below(64)
            return Extent(
                blocks: 1 + random.below(64 - block), pack: random.below(3), frame: random.below(4), block: block)
        }
    }

    /// Block by block.
    static func flat(_ extents: [Extent]) -> [Extent] {
        extents.flatMap { extent in (0..<extent.blocks).map { extent.part($0..<($0 + 1)) } }
    }

    @Test("are one where they continue each other, and only there")
    func merging() {
        var extents: [Extent] = []
        for (blocks, pack, frame, block) in [
            (2, 0, 0, 0), (1, 0, 0, 2), (0, 5, 5, 5), (3, 0, 0, 3), (1, 0, 1, 6), (1, 1, 1, 7), (1, 1, 1, 9), (1, 1, 1, 9),
            (1, 1, 1, 10),
        ] {
            extents.extend(Extent(blocks: blocks, pack: pack, frame: frame, block: block))
        }
        let expected = [(6, 0, 0, 0), (1, 0, 1, 6), (1, 1, 1, 7), (1, 1, 1, 9), (2, 1, 1, 9)]
        #expect(extents == expected.map { Extent(blocks: $0.0, pack: $0.1, frame: $0.2, block: $0.3) })
    }

    @Test("have every block of theirs, found by walking forward with steps of any length", arguments: Seed.some(10))
    func cursor(seed: Seed) {
        var random = seed.generator
        let extents = Self.random(&random)
        let flat = Self.flat(extents)
        var cursor = ExtentCursor(extents)
        var block = 0
        while block < flat.count + 10 {
            #expect(cursor.location(of: block) == (block < flat.count ? flat[block] : nil), "block \(block)")
            block += random.below(1 + random.below(100))
            if random.below(5) == 0 { block += 1 }
        }
    }

    @Test("have every range of theirs, cut off where they end", arguments: Seed.some(10))
    func ranges(seed: Seed) {
        var random = seed.generator
        let extents = Self.random(&random)
        let flat = Self.flat(extents)
        var cursor = ExtentCursor(extents)
        var begin = 0
        while begin < flat.count + 50 {
            let end = begin + random.below(150)
            var found: [Extent] = []
            cursor.extents(of: begin..<end) { found.append($0) }
            #expect(Self.flat(found) == Array(flat[min(begin, flat.count)..<min(end, flat.count)]), "\(begin)..<\(end)")
            begin = end + random.below(3)
        }
    }
}
