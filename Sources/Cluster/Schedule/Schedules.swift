/// Who does what when, where the cluster file does not say.
package enum Schedules {
    /// At night, and not when everybody's jobs begin.
    package static let backup = known("0 1 * * *")
    /// Hourly, at a minute at which few others begin something.
    package static let maintain = known("17 * * * *")

    private static func known(_ text: String) -> CronExpression {
        guard let expression = try? CronExpression(text) else { preconditionFailure("\(text) is no schedule") }
        return expression
    }
}

extension ClusterFile.RepositorySettings.Service {
    /// Who it is on that host, where that is left to what is there.
    func resolved(on host: HostFacts) -> Self {
        guard self == .automatic else { return self }
        return host.hasSystemd ? .systemd : host.hasCron ? .cron : .none
    }
}
