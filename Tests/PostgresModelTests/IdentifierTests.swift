import FoundationEssentials
import PostgresModel
import Testing

@Suite("A system identifier")
struct SystemIdentifierTests {
    @Test("is text in JSON, because readers lose digits of such a number")
    func json() throws {
        let identifier = SystemIdentifier(rawValue: UInt64.max)
        #expect(try JSONEncoder().encode([identifier]) == Data("[\"18446744073709551615\"]".utf8))
        #expect(try JSONDecoder().decode([SystemIdentifier].self, from: Data("[\"18446744073709551615\"]".utf8)) == [identifier])
    }

    @Test("is refused where it is no positive number", arguments: ["", "0", "-1", "x", "18446744073709551616"])
    func refuses(text: String) {
        #expect(SystemIdentifier(text) == nil)
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([SystemIdentifier].self, from: Data("[\"\(text)\"]".utf8))
        }
    }
}

@Suite("A server's version")
struct ServerVersionTests {
    @Test("has a major and a minor number", arguments: [(180_004, 18, 4, "18.4"), (150_000, 15, 0, "15.0")])
    func parts(number: Int, major: Int, minor: Int, text: String) {
        let version = ServerVersion(number: number)
        #expect((version.major, version.minor, version.description) == (major, minor, text))
    }

    @Test("sorts by age")
    func order() {
        #expect(ServerVersion(number: 150_012) < ServerVersion(number: 160_000))
    }
}
