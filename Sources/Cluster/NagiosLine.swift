package import PostgresModel

/// The one line and the exit status that Nagios, Icinga and their kin understand
/// (Monitoring Plugins Development Guidelines: "Plugin Output", "Plugin Return Codes").
package struct NagiosLine: Sendable, Equatable {
    package enum Status: Int32, Sendable {
        case ok = 0, warning = 1, critical = 2, unknown = 3

        var word: String { "\(self)".uppercased() }
    }

    package let status: Status
    package let text: String

    package init(cluster: String, results: [CheckResult]) {
        let failed = results.filter { $0.result == .failed }
        let warnings = results.filter { $0.result == .warning }
        status = !failed.isEmpty ? .critical : !warnings.isEmpty ? .warning : results.isEmpty ? .unknown : .ok
        let remarks = (failed + warnings).map { ($0.node.map { "\($0) " } ?? "") + "\($0.name.rawValue): \($0.message)" }
        let good = results.isEmpty ? "nothing was checked" : "\(counted(results.count, "check")) fine"
        text = Self.line(
            status, "\(cluster): " + (remarks.isEmpty ? good : remarks.joined(separator: "; ")),
            data: "failed=\(failed.count) warnings=\(warnings.count) checks=\(results.count)")
    }

    /// For what kept the checks from being made at all.
    package init(_ failure: Failure) {
        status = .unknown
        text = Self.line(status, failure.message, data: nil)
    }

    /// A bar begins the performance data and a line break ends the line, so neither may occur before.
    private static func line(_ status: Status, _ text: String, data: String?) -> String {
        let text = String(text.map { $0 == "|" ? " " : $0 }).onOneLine
        return "PGARK \(status.word) - \(text)" + (data.map { " | \($0)" } ?? "")
    }
}
