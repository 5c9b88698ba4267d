import PostgresModel
import Testing

@Suite("A backup label")
struct BackupLabelTests {
    static let head = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000080\n"

    @Test(
        "loses the lines that mark an incremental backup, and no other byte",
        arguments: [
            (
                head + "LABEL: x\nSTART TIMELINE: 1\nINCREMENTAL FROM LSN: 0/1000028\nINCREMENTAL FROM TLI: 1\n",
                head + "LABEL: x\nSTART TIMELINE: 1\n"
            ),
            (head + "LABEL: x\n", head + "LABEL: x\n"), ("", ""), ("\n\n", "\n\n"), ("no end", "no end"),
            ("INCREMENTAL FROM LSN: 0/1\nLABEL: x", "LABEL: x"), ("LABEL: x\nINCREMENTAL FROM TLI: 7", "LABEL: x"),
            // What only looks like one: another word, another place, a label that says so.
            ("INCREMENTAL FROM XID: 5\n", "INCREMENTAL FROM XID: 5\n"),
            (" INCREMENTAL FROM LSN: 0/1\n", " INCREMENTAL FROM LSN: 0/1\n"),
            ("LABEL: INCREMENTAL FROM LSN: 0/1\n", "LABEL: INCREMENTAL FROM LSN: 0/1\n"),
            ("incremental from lsn: 0/1\n", "incremental from lsn: 0/1\n"),
            ("LABEL: größe\r\nINCREMENTAL FROM TLI: 7\r\nx\r\n", "LABEL: größe\r\nx\r\n"),
        ])
    func withoutIncrement(text: String, expected: String) {
        #expect(BackupLabel.withoutIncrement(Array(text.utf8)) == Array(expected.utf8))
    }

    @Test("may have bytes that are no text, which stay")
    func bytes() {
        let label: [UInt8] = Array("LABEL: ".utf8) + [0xFF, 0xC3, 0x00, 0x0A]
        #expect(BackupLabel.withoutIncrement(label + Array("INCREMENTAL FROM LSN: 0/1\n".utf8)) == label)
    }
}
