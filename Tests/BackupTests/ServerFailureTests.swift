@testable import Postgres
import PostgresModel
import Testing

/// A server speaks the language of its lc_messages.
@Suite("What a server says")
struct ServerFailureTests {
    @Test(
        "of WAL that it has no longer is understood in any language",
        arguments: [
            "requested WAL segment 000000010000000000000003 has already been removed",
            "das angeforderte WAL-Segment 000000010000000000000003 wurde bereits entfernt",
            "要求された WAL セグメント000000010000000000000003はすでに削除されています",
        ])
    func goneWAL(message: String) {
        #expect(ServerFailure.failure(message: message, state: "58P01", details: [], hint: nil).code == .walGap)
    }

    @Test(
        "of other files is no gap",
        arguments: [
            "could not open file \"pg_wal/00000002.history\": No such file or directory",
            "konnte Datei »base/5/16384« nicht öffnen: Datei oder Verzeichnis nicht gefunden",
        ])
    func otherFile(message: String) {
        #expect(ServerFailure.failure(message: message, state: "58P01", details: [], hint: nil).code == .serverError)
    }
}
