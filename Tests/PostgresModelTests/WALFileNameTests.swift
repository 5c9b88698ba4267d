import PostgresModel
import Testing

@Suite("The name of a file that a server archives")
struct WALFileNameTests {
    @Test(
        "says what it is",
        arguments: [
            ("000000010000000400000080", .segment),
            ("000000010000000400000080.partial", .partial(segment: "000000010000000400000080")),
            ("0000000A.history", .history(TimelineID(rawValue: 10))),
            ("000000010000000400000080.00000028.backup", .backupHistory(segment: "000000010000000400000080")),
        ] as [(String, WALFileName)])
    func known(name: String, kind: WALFileName) { #expect(WALFileName(name) == kind) }

    @Test(
        "is none where anything about it is different",
        arguments: [
            "", "00000001000000040000008", "0000000100000004000000800", "00000001000000040000008g", "0000000a.history",
            "00000000.history", "000000010.history", "000000010000000400000080.zst", "000000010000000400000080.backup",
            "000000010000000400000080.28.backup", "000000010000000400000080.partial.zst", "RECOVERYXLOG", ".partial",
        ])
    func unknown(name: String) { #expect(WALFileName(name) == nil) }
}
