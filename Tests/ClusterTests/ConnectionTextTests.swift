import Cluster
import Testing

@Suite struct ConnectionTextTests {
    @Test(arguments: [
        ("host=a port=5433 user=me", "a", "5433"), ("host = 'a b' user=me", "a b", "5432"), (#"host='it\'s'"#, "it's", "5432"),
        ("postgresql://me@a:5433/db", "a", "5433"), ("postgres://me:x@[::1]:5433/db", "::1", "5433"),
        ("postgresql://%2Frun%2Fpg/db?port=5434", "/run/pg", "5434"), ("postgresql:///db?host=a&port=1", "a", "1"),
        ("postgresql://a,b:5433/db", "a,b", "5432,5433"), ("host=a host=b", "b", "5432"),
        ("hostaddr=10.0.0.1", "10.0.0.1", "5432"),
    ])
    func hostAndPortAreReadAsLibpqReadsThem(_ text: String, _ host: String, _ port: String) {
        let connection = ConnectionText(text)
        #expect(connection.host == host)
        #expect(connection.port == port)
    }

    @Test(arguments: ["", "service=x", "=", "host", "postgresql://", "postgresql:///?", "host='", "user=a%"])
    func aTextThatNamesNoHostHasNone(_ text: String) {
        #expect(ConnectionText(text).host?.isEmpty != false)
    }
}
