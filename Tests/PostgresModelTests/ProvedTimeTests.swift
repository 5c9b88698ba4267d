import PostgresModel
import Testing

@Suite("A server's messages prove")
struct ProvedTimeTests {
    private static func time(after messages: [(clock: Int64, isKeepalive: Bool)]) -> Double? {
        var proved = ProvedTime()
        for message in messages { proved.hear(Timestamp(seconds: message.clock), isKeepalive: message.isKeepalive) }
        return proved.time?.seconds
    }

    @Test("the moment of the message before, and by a keepalive directly behind data nothing new")
    func order() {
        #expect(Self.time(after: []) == nil)
        #expect(Self.time(after: [(10, false)]) == nil)
        #expect(Self.time(after: [(10, false), (11, false)]) == 10)
        #expect(Self.time(after: [(10, false), (11, true)]) == nil)
        #expect(Self.time(after: [(10, false), (11, true), (12, true)]) == 10)
        #expect(Self.time(after: [(10, true), (11, true)]) == 10)
        #expect(Self.time(after: [(10, true), (11, false), (12, true), (13, true)]) == 11)
    }

    @Test("an earlier moment again, when a clock that was ahead is set right")
    func clockGoesBack() {
        #expect(Self.time(after: [(10, true), (3610, true), (3611, true)]) == 3610)
        #expect(Self.time(after: [(10, true), (3610, true), (12, true), (13, true)]) == 12)
    }
}
