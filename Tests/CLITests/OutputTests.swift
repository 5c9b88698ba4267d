import ArgumentParser
import CLI
import PostgresModel
import TestSupport
import Testing

@Suite("What the program prints")
struct OutputTests {
    @Test("has columns padded to their widest cell, and nothing behind the last one")
    func table() {
        #expect(
            Output.table(["id", "size", "note"], [["a", "1.5 GiB", "x"], ["long id", "1 B", ""]])
                == "id       size     note\na        1.5 GiB  x\nlong id  1 B      ")
    }

    @Test("has columns whose paint takes no room")
    func paint() {
        #expect(
            Output.table(["a", "b"], [["\u{1B}[31mred\u{1B}[0m", "1"], ["plain", "2"]])
                == "a      b\n\u{1B}[31mred\u{1B}[0m    1\nplain  2")
    }

    @Test("has no columns of letters that are counted twice")
    func letters() {
        #expect(Output.table(["größe", "b"], [["e\u{301}", "1"]]) == "größe  b\ne\u{301}      1")
    }

    @Test("may be a table without rows")
    func emptyTable() {
        #expect(Output.table(["a", "b"], []) == "a  b")
    }

    @Test(
        "tells durations in units that a person can take in",
        arguments: [
            (0, "0.0 s"), (0.04, "0.0 s"), (9.94, "9.9 s"), (10, "10 s"), (59.6, "60 s"), (119.4, "119 s"), (120, "2 min 0 s"),
            (3661, "61 min 1 s"),
            (7199, "119 min 59 s"), (7200, "2 h 0 min"), (90_061, "25 h 1 min"),
        ])
    func duration(seconds: Double, text: String) {
        #expect(Output.duration(seconds) == text)
    }

    @Test("as JSON has the schema's number, snake case and UTC")
    func json() throws {
        struct Document: Encodable { let endLSN: LSN, beginTime: Timestamp, dataBytes: Int }
        let bytes = try Output.encoded(Document(endLSN: LSN("0/3000168")!, beginTime: Timestamp(seconds: 0), dataBytes: 5))
        #expect(
            String(decoding: bytes, as: UTF8.self) == """
                {
                  "begin_time" : "1970-01-01T00:00:00Z",
                  "data_bytes" : 5,
                  "end_lsn" : "0/3000168",
                  "schema" : 1
                }

                """)
    }
}

@Suite("The command line")
struct CommandLineTests {
    @Test(
        "may have the options of every command before it",
        arguments: [
            ("--config f wal get A p", "wal get --config f A p"), ("--json list", "list --json"),
            ("--config=f --json --cluster c show latest", "show --config=f --json --cluster c latest"),
            ("list --json", "list --json"), ("--no-color lab tour --keep", "lab tour --no-color --keep"), ("--help", "--help"),
            ("--version", "--version"),
            ("--unknown list", "--unknown list"), ("--json --unknown list", "--json --unknown list"), ("--config", "--config"),
            ("", ""), ("--json", "--json"),
            ("--config wal wal status", "wal status --config wal"), ("--json nonsense", "--json nonsense"),
        ])
    func moved(typed: String, meant: String) {
        let words = typed.split(separator: " ").map(String.init)
        #expect(GlobalOptions.moved(behindCommandOf: words) == meant.split(separator: " ").map(String.init))
    }

    /// PostgreSQL takes 1 to 125 for the end of the archive: only proved absence may say that.
    @Test("of wal get ends every failure by a status that PostgreSQL does not take for absence", arguments: Failure.Code.allCases)
    func walGetStatus(code: Failure.Code) {
        for line in ["wal get A p", "wal get --config f A p", "wal get"] {
            let status = PgarkCommand.exitStatus(of: code, line.split(separator: " ").map(String.init))
            #expect(status > 125 && status <= 255)
        }
    }

    @Test("of any other command ends a failure by its code's own status", arguments: Failure.Code.allCases)
    func otherStatus(code: Failure.Code) {
        for line in ["wal status", "get wal", "restore --to wal", "list", ""] {
            #expect(PgarkCommand.exitStatus(of: code, line.split(separator: " ").map(String.init)) == code.exitStatus)
        }
    }

    @Test(
        "of restore_command keeps a path in one piece, for the shell and for PostgreSQL",
        arguments: [
            ("/usr/bin/pgark", "\"/usr/bin/pgark\""), ("/a b/c", "\"/a b/c\""), ("/a\"b", "\"/a\\\"b\""),
            ("/a$b`c\\d", "\"/a\\$b\\`c\\\\d\""),
            ("/100%/f", "\"/100%%/f\""), ("/it's", "\"/it's\""), ("/a\"\u{301}", "\"/a\\\"\u{301}\""),
        ])
    func escaped(path: String, expected: String) {
        #expect(Array(RestoreCommandLine.escaped(path).utf8) == Array(expected.utf8))
    }
}
