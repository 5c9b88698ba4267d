import PostgresModel
import Repository

/// Whether what should happen by itself does happen.
struct ScheduleChecks {
    let view: ClusterView

    private var facts: RepositoryFacts { view.repository }

    var results: [CheckResult] {
        guard facts.failure == nil else { return [] }
        return [backup, maintenance].compactMap { $0 }
    }

    // MARK: Backups

    /// What nobody wrote down and `apply` has not set up is nobody's schedule.
    private var schedule: CronExpression? {
        view.file.backup.scheduleIsGiven || facts.scheduledSince != nil ? view.file.backup.schedule : nil
    }

    private var backup: CheckResult? {
        guard let schedule, let newest = facts.completeBackups.first else { return nil }  // `redundancy` says that there is none
        // What was due before there was a schedule was not missed.
        let begin = max(newest.content.beginTime, facts.scheduledSince ?? newest.content.beginTime)
        let due = dueTimes(schedule, after: begin)
        let missed = due.count { view.time - $0 > CheckLimits.scheduleMargin }
        let age = BackupChecks.span(max(0, view.time - newest.content.beginTime))
        let fact = "scheduled \(schedule), the newest began \(age) ago"
        let isRunning = facts.backups.contains { $0.status == .running }
        if missed == 0 || missed == 1 && isRunning { return .ok(.backupSchedule, nil, fact) }
        let hint = "See why: journalctl -t pgark, or: grep pgark /var/log/syslog; then: pgark backup"
        let late = "\(fact); one was due at \(due[0].shortText)"
        return missed == 1
            ? .warning(.backupSchedule, nil, late, hint: hint)
            : .failed(.backupSchedule, nil, "\(late), and another after it", hint: hint)
    }

    /// The first two.
    private func dueTimes(_ schedule: CronExpression, after time: Timestamp) -> [Timestamp] {
        guard let first = schedule.next(after: time, offset: view.zone) else { return [] }
        return [first] + [schedule.next(after: first, offset: view.zone)].compactMap { $0 }
    }

    // MARK: Housekeeping

    private var maintenance: CheckResult? {
        let keepsAll = view.file.backup.retention.windowSeconds == nil && view.file.backup.retention.redundancy == nil
        // Somebody who runs it by a timer of his own wants to know as well.
        guard facts.scheduledSince != nil || facts.maintained != nil && !keepsAll else { return nil }
        guard let last = [facts.scheduledSince, facts.maintained].compactMap({ $0 }).max() else { return nil }
        let fact =
            facts.maintained.map { "the last round ended \(BackupChecks.span(max(0, view.time - $0))) ago" }
            ?? "no round ended yet"
        if view.time - last <= CheckLimits.maintenanceSeconds { return .ok(.maintenance, nil, fact) }
        return .warning(
            .maintenance, nil, "\(fact): what retention no longer needs stays, and a backup that is due is not taken",
            hint: "See what stands in its way: pgark maintain")
    }
}
