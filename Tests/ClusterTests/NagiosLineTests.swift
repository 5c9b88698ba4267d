@testable import Cluster
import PostgresModel
import Testing

@Suite struct NagiosLineTests {
    private let good = CheckResult.ok(.clock, "node1", "fine")
    private let warning = CheckResult.warning(.role, "node1", "a superuser", hint: "x")
    private let failed = CheckResult.failed(.receiver, nil, "no process | no\nWAL", hint: "x")

    @Test func theWorstResultDecides() {
        #expect(NagiosLine(cluster: "shop", results: [good]).status == .ok)
        #expect(NagiosLine(cluster: "shop", results: [good, warning]).status == .warning)
        #expect(NagiosLine(cluster: "shop", results: [warning, failed, good]).status == .critical)
        #expect(NagiosLine(cluster: "shop", results: []).status == .unknown)
        #expect(NagiosLine(Failure(.configuration, "could not")).status.rawValue == 3)
    }

    @Test func itIsOneLineWithOneBarAndTheFailuresFirst() {
        let line = NagiosLine(cluster: "shop", results: [good, warning, failed])
        #expect(
            line.text
                == "PGARK CRITICAL - shop: receiver: no process no WAL; node1 role: a superuser | failed=1 warnings=1 checks=3")
        #expect(
            NagiosLine(cluster: "shop", results: [good]).text
                == "PGARK OK - shop: 1 check fine | failed=0 warnings=0 checks=1")
        #expect(NagiosLine(Failure(.configuration, "could not")).text == "PGARK UNKNOWN - could not")
    }
}
