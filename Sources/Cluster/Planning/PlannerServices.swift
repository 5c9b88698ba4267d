import Hosts
import PostgresModel
import SystemPackage

/// Who keeps the receiver running on the repository's host, and does there what is due.
extension Planner {
    /// `isRenewed`: this plan changes the program or the cluster file, which a receiver has read long ago.
    mutating func planServices(_ host: HostFacts, _ found: RepositoryHostFacts, isRenewed: Bool) {
        let service = file.repository.service.resolved(on: host)
        let texts = ServiceFiles(file).texts(for: service)
        let removed = removeServices(found, wanted: texts)
        let changed = writeServices(found, texts)
        let needsRestart = isRenewed || found.receiverIsOutdated
        switch service {
        case .systemd: enableUnits(found, changed: changed, texts, needsRestart: needsRestart)
        case .cron, .none, .automatic:
            let isRunning = found.receiverIsRunning && !removed.contains(ServiceNames(file.name).receive)
            if !isRunning || needsRestart { startReceiver(isRunning, by: service) }
        }
        if service == .none { remarkUnscheduled() }
    }

    private func isOurs(_ text: String) -> Bool { text.hasPrefix(ServiceNames.mark) }

    private func change(_ kind: Plan.Change.Kind, _ object: String, from: String? = nil, to: String?) -> Plan.Change {
        .init(action: kind, node: Self.repository, object: object, from: from, to: to)
    }

    // MARK: Files

    /// What we wrote once and is not wanted any more. Returns the units among it.
    private mutating func removeServices(_ found: RepositoryHostFacts, wanted: [String: String]) -> Set<String> {
        let names = ServiceNames(file.name)
        let leftover = found.serviceFiles.filter { wanted[$0.key] == nil && isOurs($0.value) }
        let units = names.units.filter { leftover[ServiceNames.path(ofUnit: $0).string] != nil }
        if !units.isEmpty { addStep(.removeUnits(units), units.map { change(.remove, $0, to: nil) }) }
        if leftover[names.cron.string] != nil {
            addStep(.removeFile(names.cron.string), [change(.remove, "\(names.cron)", to: nil)])
        }
        return Set(units)
    }

    /// Returns the names of those that it writes.
    private mutating func writeServices(_ found: RepositoryHostFacts, _ texts: [String: String]) -> Set<String> {
        var written: Set<String> = []
        for path in ServiceNames(file.name).paths.map(\.string) {
            guard let text = texts[path], found.serviceFiles[path] != text else { continue }
            let before = found.serviceFiles[path]
            if let before, !isOurs(before) {
                block(
                    Self.repository, "\(path) is there, and pgark did not write it",
                    hint: "Move it away: mv \(path) \(path).before-pgark")
                continue
            }
            addStep(
                .writeFile(path: path, text: text, account: "root", permissions: 0o644),
                [change(before == nil ? .create : .change, path, from: before.map { _ in "another" }, to: purpose(of: path))])
            written.insert(FilePath(path).lastComponent?.string ?? path)
        }
        return written
    }

    private func purpose(of path: String) -> String {
        let names = ServiceNames(file.name)
        if path == names.cron.string {
            return ([Self.receiver] + ServiceFiles(file).jobs.map { "\($0.command) \($0.schedule)" }).joined(separator: ", ")
        }
        if path == ServiceNames.path(ofUnit: names.receive).string { return "keeps the WAL receiver running" }
        let job = ServiceFiles(file).jobs.first { path.contains("-\($0.command).") }
        guard let job else { return "" }
        return path.hasSuffix(".timer") ? "\(job.command) \(job.schedule)" : "runs pgark \(job.command)"
    }

    // MARK: systemd

    private mutating func enableUnits(
        _ found: RepositoryHostFacts, changed: Set<String>, _ texts: [String: String], needsRestart: Bool
    ) {
        let names = ServiceNames(file.name)
        let isSupervised = found.units[names.receive]?.isActive == true
        if found.receiverIsRunning, !isSupervised {
            addStep(
                .stopReceiver(repository: file.repository.path.string, cluster: file.name),
                [change(.change, Self.receiver, from: "in the background", to: "by systemd")])
        }
        func mayBeEnabled(_ name: String) -> Bool {
            let path = ServiceNames.path(ofUnit: name).string
            return changed.contains(name) || found.serviceFiles[path] == texts[path]
        }
        func isSettled(_ name: String, with service: String) -> Bool {
            guard let unit = found.units[name], found.units[service]?.needsReload != true else { return false }
            return unit.isActive && unit.isEnabled && !unit.needsReload && !changed.contains(name) && !changed.contains(service)
        }
        var enabled: [String] = [], changes: [Plan.Change] = []
        if mayBeEnabled(names.receive),
            needsRestart || !found.receiverIsRunning || !isSettled(names.receive, with: names.receive)
        {
            enabled.append(names.receive)
            if !found.receiverIsRunning || isSupervised { changes.append(receiverChange(isRunning: isSupervised)) }
        }
        for job in ServiceFiles(file).jobs {
            let timer = names.timer(job.command)
            guard mayBeEnabled(timer), !isSettled(timer, with: names.service(job.command)) else { continue }
            enabled.append(timer)
            changes.append(
                change(found.units[timer]?.isActive == true ? .change : .create, timer, to: "active: \(job.schedule)"))
        }
        if !enabled.isEmpty { addStep(.enableUnits(enabled), changes) }
    }

    // MARK: The receiver

    private func receiverChange(isRunning: Bool) -> Plan.Change {
        isRunning
            ? change(.change, Self.receiver, from: "with a program or a cluster file of before", to: "started again")
            : change(.create, Self.receiver, to: "running")
    }

    private mutating func startReceiver(_ isRunning: Bool, by service: ClusterFile.RepositorySettings.Service) {
        let files = ServiceFiles(file)
        let start = ReceiverStart(
            repository: file.repository.path.string, cluster: file.name, account: file.repositoryAccount,
            command: service == .cron ? ["/bin/bash", "-c", files.receiverCommand] : files.backgroundCommand,
            log: service == .cron ? nil : ServiceNames(file.name).log.string)
        addStep(.startReceiver(start), [receiverChange(isRunning: isRunning)])
    }

    private mutating func remarkUnscheduled() {
        let jobs = ServiceFiles(file).jobs.map { "\"\($0.schedule.line)\" pgark \($0.command) --scheduled" }
        plan.remarks.append(
            "on the repository's host neither systemd nor cron is to do anything: nobody starts the WAL receiver after a reboot "
                + "(pgark apply does), and what follows is yours to run: " + jobs.joined(separator: ", "))
    }

    private mutating func addStep(_ action: HostAction, _ changes: [Plan.Change]) {
        add(Self.repository, action, changes, needs: [Self.repository])
    }
}

extension RepositoryHostFacts {
    /// Clocks of files and of processes are read apart, and process times are in ticks of 10 ms.
    private static let clockSeconds = 0.05

    /// What the receiver read when it began has changed since.
    var receiverIsOutdated: Bool {
        guard let receiverStarted, let receiverInputsChanged else { return false }
        return receiverStarted + Self.clockSeconds < receiverInputsChanged
    }
}
