import PostgresModel
import TestSupport
import Testing

@Suite("A relation's file")
struct RelationFileTests {
    @Test(
        "holds checksummed pages from this block of its fork on, where it holds any",
        arguments: [
            ("base/5/1259", 0), ("base/5/1259.1", 131_072), ("base/5/1259.12", 1_572_864), ("base/5/1259_fsm", 0),
            ("base/5/1259_vm", 0),
            ("base/5/1259_init", 0), ("base/5/1259_vm.1", 131_072), ("global/1262", 0),
            ("pg_tblspc/16384/PG_15_202209061/5/16385", 0),
            ("pg_tblspc/16384/PG_15_202209061/5/16385.2", 262_144), ("base/5/1259.32767", 4_294_836_224),
            ("base/5/1259.32768", nil), ("base/5/1259.4294967296", nil),
            ("base/5/PG_VERSION", nil), ("base/5/pg_filenode.map", nil), ("base/5/pg_internal.init", nil),
            ("global/pg_control", nil),
            ("base/5/t3_16384", nil), ("base/pgsql_tmp/pgsql_tmp12.0", nil), ("base/5/1259_old", nil),
            ("base/5/1259_fsm_vm", nil),
            ("base/5/1259.", nil), ("base/5/1259.1.2", nil), ("base/5/1259.x", nil), ("base/5/.1", nil), ("base/5/_vm", nil),
            ("pg_xact/0000", nil), ("pg_wal/000000010000000000000001", nil), ("backup_label", nil), ("1259", nil), ("", nil),
            ("base", nil),
            ("pg_multixact/offsets/0000", nil), ("base/5/١٢", nil),
        ] as [(String, UInt32?)])
    func firstBlock(path: String, block: UInt32?) {
        #expect(RelationFile.firstBlock(ofPath: path) == block)
    }

    @Test("has other block numbers where the server was built with smaller files")
    func smallFiles() {
        #expect(RelationFile.firstBlock(ofPath: "base/5/1259.3", blocksPerFile: 16) == 48)
    }

    @Test(
        "is sent as its changes under this name, and under no other",
        arguments: [
            ("base/5/INCREMENTAL.1259", "base/5/1259"), ("base/5/INCREMENTAL.1259.1", "base/5/1259.1"),
            ("base/5/INCREMENTAL.1259_vm", "base/5/1259_vm"), ("base/5/INCREMENTAL.1259_fsm.2", "base/5/1259_fsm.2"),
            ("global/INCREMENTAL.1262", "global/1262"),
            ("pg_tblspc/16384/PG_18_202506291/5/INCREMENTAL.16385_init", "pg_tblspc/16384/PG_18_202506291/5/16385_init"),
            ("base/5/1259", nil), ("base/5/INCREMENTAL.PG_VERSION", nil), ("base/5/INCREMENTAL.", nil), ("INCREMENTAL.1259", nil),
            ("base/5/INCREMENTAL.pg_filenode.map", nil), ("base/5/INCREMENTAL.t3_16384", nil), ("pg_xact/INCREMENTAL.0000", nil),
            ("base/INCREMENTAL.5/1259", nil), ("base/5/incremental.1259", nil), ("base/5/INCREMENTAL1259", nil),
            ("base/5/INCREMENTAL.INCREMENTAL.1259", nil), ("base/5/xINCREMENTAL.1259", nil), ("", nil), ("/", nil),
        ])
    func increments(path: String, file: String?) {
        #expect(RelationFile.isIncrement(ofPath: path) == (file != nil))
        if let file { #expect(RelationFile.path(ofIncrement: path) == file) }
    }

    /// Two pages of an index that initdb 15 wrote with checksums; what is not listed is zero.
    static let realPages: [[UInt8]] = [
        page([
            0x0004: "20ed4501d6c800004800f01ff01f0420",
            0x0018: "623105000400000001",
            0x0028: "01",
            0x003E: "f0bf01",
            0x1FFC: "08",
        ]),
        page([
            0x0004: "60ed4501322c00001c00e01ff01f0420",
            0x0018: "e09f20",
            0x1FE4: "01001000f734",
            0x1FFC: "03",
        ]),
    ]

    static func page(_ parts: [Int: String]) -> [UInt8] {
        var page = [UInt8](repeating: 0, count: RelationFile.pageSize)
        for (offset, hex) in parts {
            let bytes = [UInt8](hex: hex)
            page.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
        }
        return page
    }

    static func check(_ page: [UInt8], block: UInt32, begin: String = "FFFFFFFF/0") -> RelationFile.PageState {
        page.raw { RelationFile.check($0, block: block, backupBegin: LSN(begin)!) }
    }

    @Test("that a server wrote has valid pages", arguments: [0, 1])
    func real(block: Int) {
        #expect(Self.check(Self.realPages[block], block: UInt32(block)) == .valid)
    }

    /// The values were computed by another implementation of pg_checksum_page, which agrees with what initdb wrote.
    @Test(
        "has the checksum that PostgreSQL computes for each block number",
        arguments: [(0, 0xCF27), (1, 0xCF28), (131_071, 0xDED7), (131_072, 0xCF25), (4_294_967_294, 0x30D9)] as [(UInt32, UInt16)]
    )
    func knownAnswers(block: UInt32, checksum: UInt16) {
        var page = (0..<8192).map { i in UInt8(truncatingIfNeeded: (i * i * 7 + i * 31 + 13) >> 3) }
        page.replaceSubrange(0..<8, with: [UInt8].littleEndian(UInt32(0)) + .littleEndian(UInt32(0x100_0000)))
        page.replaceSubrange(14..<16, with: [UInt8].littleEndian(UInt16(8000)))
        page.replaceSubrange(8..<10, with: [UInt8].littleEndian(checksum))
        #expect(Self.check(page, block: block) == .valid)
        #expect(Self.check(page, block: block ^ 1) == .bad)
    }

    /// The checksum has 16 bits, so about one change in 65,535 goes unseen: more than two of 510 do not.
    @Test("has a bad page where a byte of it is another", arguments: [0, 1], Seed.some(3))
    func damaged(block: Int, seed: Seed) {
        var random = seed.generator
        var unseen: [Int] = []
        for place in Array(0..<8) + Array(8..<10) + (0..<500).map({ _ in Int.random(in: 16..<8192, using: &random) }) {
            var page = Self.realPages[block]
            page[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            if Self.check(page, block: UInt32(block)) != .bad { unseen.append(place) }
        }
        #expect(unseen.count <= 2, "bytes \(unseen)")
    }

    @Test("has a bad page where a page lies in another block's place")
    func misplaced() {
        #expect(Self.check(Self.realPages[0], block: 1) == .bad)
    }

    @Test("has new pages, which have no checksum")
    func new() {
        #expect(Self.check([UInt8](repeating: 0, count: 8192), block: 7) == .new)
    }

    @Test(
        "has pages that changed since the backup began, whose checksum proves nothing",
        arguments: [("0/145ED1F", RelationFile.PageState.valid), ("0/145ED20", .valid), ("0/145ED21", .bad), ("1/0", .bad)])
    func changed(begin: String, state: RelationFile.PageState) {
        var page = Self.realPages[0]
        page[5000] ^= 1
        #expect(Self.check(page, block: 0, begin: begin) == state)
    }
}
