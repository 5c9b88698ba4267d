import PostgresModel
import TestSupport
import Testing

@Suite("A relation's file")
struct RelationFileTests {
    @Test(
        "holds checksummed pages from this block of its fork on, where it holds any",
        arguments: [
            ("base/5/1259", 0), ("base/5/1259.1", 131_072), ("base/5/1259.12", 1_572_864), ("base/5/1259_fsm", 0), ("base/5/1259_vm", 0),
            ("base/5/1259_init", 0), ("base/5/1259_vm.1", 131_072), ("global/1262", 0), ("pg_tblspc/16384/PG_15_202209061/5/16385", 0),
            ("pg_tblspc/16384/PG_15_202209061/5/16385.2", 262_144), ("base/5/1259.32767", 4_294_836_224),
            ("base/5/1259.32768", nil), ("base/5/1259.4294967296", nil),
            ("base/5/PG_VERSION", nil), ("base/5/pg_filenode.map", nil), ("base/5/pg_internal.init", nil), ("global/pg_control", nil),
            ("base/5/t3_16384", nil), ("base/pgsql_tmp/pgsql_tmp12.0", nil), ("base/5/1259_old", nil), ("base/5/1259_fsm_vm", nil),
            ("base/5/1259.", nil), ("base/5/1259.1.2", nil), ("base/5/1259.x", nil), ("base/5/.1", nil), ("base/5/_vm", nil),
            ("pg_xact/0000", nil), ("pg_wal/000000010000000000000001", nil), ("backup_label", nil), ("1259", nil), ("", nil), ("base", nil),
            ("pg_multixact/offsets/0000", nil), ("base/5/١٢", nil),
        ] as [(String, UInt32?)])
    func firstBlock(path: String, block: UInt32?) {
        #expect(RelationFile.firstBlock(ofPath: path) == block)
    }

    @Test("has other block numbers where the server was built with smaller files")
    func smallFiles() {
        #expect(RelationFile.firstBlock(ofPath: "base/5/1259.3", blocksPerFile: 16) == 48)
    }

    /// Two pages of pg_statistic_ext's neighbours that initdb 15 wrote with checksums: what is not listed is zero.
    static let realPages: [(block: UInt32, bytes: [UInt8])] = [
        (
            0,
            page([
                0x00: "0000000020ed4501d6c800004800f01ff01f04200000000062310500040000000100000000000000010000000000000000000000000000000000"
                    + "00000000f0bf0100000000000000",
                0x1FFC - 4: "0000000008000000".prefix(0).description,
            ])
        )
    ]

    static func page(_ parts: [Int: String]) -> [UInt8] {
        var page = [UInt8](repeating: 0, count: RelationFile.pageSize)
        for (offset, hex) in parts {
            let bytes = [UInt8](hex: hex)
            page.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
        }
        return page
    }
}
