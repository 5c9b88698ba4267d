@testable import Cluster
import Postgres
import PostgresModel
import Repository
import SystemPackage
import Testing

@Suite struct CheckTests {
    /// One thing that is wrong, and the one remark that it must bring.
    struct Case: Sendable, CustomTestStringConvertible {
        let what: String
        let name: CheckName
        let outcome: CheckResult.Outcome
        let node: String?
        let part: String
        let damage: @Sendable (inout Example) -> Void

        init(
            _ what: String, _ name: CheckName, _ outcome: CheckResult.Outcome, _ node: String?, _ part: String,
            _ damage: @escaping @Sendable (inout Example) -> Void
        ) {
            self.what = what
            self.name = name
            self.outcome = outcome
            self.node = node
            self.part = part
            self.damage = damage
        }

        var testDescription: String { what }
    }

    @Test func whereAllIsWellEveryCheckIsOKAndAlmostAllAreMade() throws {
        let example = try Example()
        #expect(example.remarks == [])
        let made = Set(example.results.map(\.name))
        #expect(Set(CheckName.allCases).subtracting(made) == [.archiving, .standbyDelay])  // there is nothing to judge
        #expect(example.results.allSatisfy { $0.hint == nil })
    }

    @Test(arguments: serverCases + slotCases + standbyCases + clusterCases + repositoryCases + backupCases)
    func oneFaultBringsOneRemarkWithItsRemedy(_ fault: Case) throws {
        try expectOneRemark(Example(), fault)
    }

    private func expectOneRemark(_ example: Example, _ fault: Case) throws {
        var example = example
        fault.damage(&example)
        let remarks = example.remarks
        #expect(remarks.map(\.name) == [fault.name], "\(remarks)")
        let remark = try #require(remarks.first)
        #expect(remark.result == fault.outcome)
        #expect(remark.node == fault.node)
        #expect("\(remark.message) / \(remark.hint ?? "")".contains(fault.part), "\(remark)")
        #expect(remark.hint?.isEmpty == false)
    }

    // MARK: Schedules

    /// The example's newest backup began 61 minutes before `now`, which is 2027-01-15 08:00 UTC.
    private func scheduled(_ schedule: String?, ageHours: Double, change: (inout Example) -> Void = { _ in }) throws
        -> CheckResult?
    {
        var example = try Example()
        if let schedule {
            example.file.backup.schedule = schedule == "none" ? nil : try CronExpression(schedule)
            example.file.backup.scheduleIsGiven = true
        }
        example.facts.backups[0].content!.beginTime = Example.now - ageHours * 3600
        change(&example)
        return example.results.first { $0.name == .backupSchedule }
    }

    @Test(
        arguments: [
            (nil, 7.0, .ok), (nil, 7.5, .warning), (nil, 31.0, .warning), (nil, 31.5, .failed), ("30 6 * * *", 24.0, .warning),
            ("30 7 * * *", 24.0, .ok), ("0 * * * *", 1.5, .ok), ("0 * * * *", 2.5, .warning), ("0 * * * *", 3.5, .failed),
            ("0 1 * * 0", 24.0 * 5, .ok), ("0 1 * * 0", 24.0 * 6, .warning), ("0 1 * * 0", 24.0 * 13, .failed),
            ("none", 1000.0, nil),
        ] as [(String?, Double, CheckResult.Outcome?)])
    func aBackupThatItsScheduleMissesIsSaid(_ schedule: String?, _ ageHours: Double, _ outcome: CheckResult.Outcome?) throws {
        #expect(try scheduled(schedule, ageHours: ageHours)?.result == outcome)
    }

    @Test func aScheduleIsJudgedFromItsBeginAndWhereThereIsOne() throws {
        // Nobody wrote it down, and nothing of ours runs here.
        #expect(try scheduled(nil, ageHours: 100) { $0.facts.scheduledSince = nil } == nil)
        #expect(try scheduled("0 1 * * *", ageHours: 100) { $0.facts.scheduledSince = nil }?.result == .failed)
        #expect(try scheduled("0 1 * * *", ageHours: 100) { $0.facts.scheduledSince = Example.now - 3600.0 }?.result == .ok)
        let running = RepositoryFacts.Backup(id: "20270115T075000Z", status: .running)
        #expect(try scheduled("0 1 * * *", ageHours: 24) { $0.facts.backups.insert(running, at: 0) }?.result == .ok)
        #expect(try scheduled("0 1 * * *", ageHours: 24)?.result == .warning)
        // The host's clock is what counts: nine hours east it is 17:00, and 16:30 has been half an hour ago.
        #expect(try scheduled("30 16 * * *", ageHours: 23) { $0.zone = 9 * 3600 }?.result == .ok)
        #expect(try scheduled("30 16 * * *", ageHours: 23)?.result == .warning)
    }

    @Test(
        arguments: [
            (1.0, 30.0, .ok), (23.9, 30.0, .ok), (24.1, 30.0, .warning), (nil, 0.5, .ok), (nil, 2.0, .warning),
        ] as [(Double?, Double, CheckResult.Outcome)])
    func housekeepingThatDoesNotHappenIsSaid(_ hours: Double?, _ scheduledDays: Double, _ outcome: CheckResult.Outcome) throws {
        var example = try Example()
        example.facts.maintained = hours.map { Example.now - $0 * 3600 }
        example.facts.scheduledSince = Example.now - scheduledDays * 86400
        #expect(example.results.first { $0.name == .maintenance }?.result == outcome)
    }

    @Test func housekeepingOfOnesOwnIsWatchedWhereItHasSomethingToDo() throws {
        var example = try Example()
        example.facts.scheduledSince = nil
        example.facts.maintained = Example.now - 2 * 86400.0
        #expect(!example.results.contains { $0.name == .maintenance })
        example.file.backup.retention = RetentionPolicy(redundancy: 2)
        #expect(example.results.first { $0.name == .maintenance }?.result == .warning)
    }

    static let serverCases: [Case] = [
        Case("an old server", .version, .failed, "node1", "14.9") { $0.primary.version = ServerVersion(number: 140_009) },
        Case("no HBA line for replication", .replicationConnection, .failed, "node1", "host replication pgark") {
            $0.primary.replicationFailure = Failure(.authenticationFailed, "no pg_hba.conf entry")
        },
        Case("a superuser", .role, .warning, "node1", "superuser") { $0.primary.role.isSuperuser = true },
        Case("no REPLICATION", .role, .failed, "node1", "ALTER ROLE pgark REPLICATION;") { $0.primary.role.mayReplicate = false },
        Case("a role with a strange name", .role, .failed, "node1", "ALTER ROLE \"My\"\"Role\" REPLICATION;") {
            $0.primary.role.name = "My\"Role"
            $0.primary.role.mayReplicate = false
        },
        Case("no pg_monitor", .monitoring, .warning, "node1", "GRANT pg_monitor TO pgark;") { $0.primary.role.isMonitor = false },
        Case("wal_level", .walLevel, .failed, "node1", "wal_level = 'replica'") {
            $0.primary.settings.values["wal_level"] = "minimal"
        },
        Case("one WAL sender left", .walSenders, .warning, "node1", "2 of 3") {
            $0.primary.settings.values["max_wal_senders"] = "3"
        },
        Case("no WAL sender left", .walSenders, .failed, "node1", "2 of 2") {
            $0.primary.settings.values["max_wal_senders"] = "2"
        },
        Case("no slot left", .replicationSlots, .warning, "node1", "2 of 2") {
            $0.primary.settings.values["max_replication_slots"] = "2"
        },
        Case("no checksums", .dataChecksums, .warning, "node1", "pg_checksums --enable -D /data") {
            $0.primary.settings.values["data_checksums"] = "off"
        },
        Case("no summaries", .summarizeWAL, .warning, "node1", "summarize_wal = on") {
            $0.primary.settings.values["summarize_wal"] = "off"
        },
        Case("a failing archive_command", .archiving, .warning, "node1", "000000010000000000000003") {
            $0.primary.settings.values["archive_mode"] = "on"
            $0.primary.archiver = .init(lastFailedWAL: "000000010000000000000003", isFailing: true)
        },
        Case("a clock ahead", .clock, .warning, "node1", "3.00 s ahead") { $0.primary.clock.aheadSeconds = 3 },
        Case("a clock behind", .clock, .warning, "node2", "3.00 s behind") { $0.standby?.clock.aheadSeconds = -3 },
        Case("configuration elsewhere", .configurationFiles, .warning, "node1", "GRANT pg_read_server_files TO pgark;") {
            $0.primary.settings.values["hba_file"] = "/etc/postgresql/pg_hba.conf"
        },
        Case("an included file elsewhere", .configurationFiles, .warning, "node1", "/etc/extra.conf") {
            $0.primary.settingFiles = ["/data/postgresql.conf", "/etc/extra.conf"]
        },
        Case("included files out of sight", .configurationFiles, .warning, "node1", "pg_show_all_file_settings() TO pgark;") {
            $0.primary.role.listsFileSettings = false
        },
        Case("configuration out of sight", .configurationFiles, .warning, "node1", "GRANT pg_read_all_settings TO pgark;") {
            $0.primary.settings.values["data_directory"] = nil
        },
    ]

    static let slotCases: [Case] = [
        Case("a spare slot that is missing", .replicationSlots, .warning, "node2", "pgark is not there") {
            $0.standby?.slots.removeLast()
        },
        Case("a slot that was idle for too long", .slotBudget, .failed, "node1", "(idle_timeout)") {
            $0.primary.slots[1].walStatus = "lost"
            $0.primary.slots[1].invalidation = "idle_timeout"
        },
        Case("the receiver's slot that holds WAL on a standby", .slotBudget, .warning, "node2", "streams from another node") {
            $0.standby?.slots[1] = Example.slot("pgark", process: nil, application: nil)
        },
        Case("a slot of the old primary's on a standby", .slotBudget, .warning, "node2", "node1 streams from another node") {
            $0.standby?.slots[0] = Example.slot("node1", process: nil, application: nil)
        },
        Case("no slot", .slot, .failed, "node1", "pgark wal receive") { $0.primary.slots.removeFirst() },
        Case("no slot, where apply sees to it", .slot, .failed, "node1", "pgark apply") {
            $0.primary.slots.removeFirst()
            $0.facts.isSetUp = true
        },
        Case("a lost slot", .slotBudget, .failed, "node1", "pgark rejoin node2") {
            $0.primary.slots[1].walStatus = "lost"
        },
        Case("a slot about to be lost", .slotBudget, .failed, "node1", "about to lose") {
            $0.primary.slots[1].walStatus = "unreserved"
        },
        Case("a slot used by somebody else", .slot, .failed, "node1", "used by \"pg_receivewal\"") {
            $0.primary.slots[0].activeApplication = "pg_receivewal"
        },
        Case("a slot whose user is out of sight", .slot, .warning, "node1", "GRANT pg_monitor") {
            $0.primary.slots[0].activeApplication = nil
        },
        Case("a slot whose reader is another pgark", .slot, .failed, "node1", "another one's reader") {
            $0.facts.receiver.receivedLSN = LSN("0/4000000")
        },
        Case("a slot over its budget", .slotBudget, .failed, "node1", "2.0 GiB of 1.0 GiB") {
            $0.primary.slots[1].retained = ByteCount(2 << 30)
        },
        Case("a slot near its budget", .slotBudget, .warning, "node1", "holds back 900 MiB of 1.0 GiB") {
            $0.primary.slots[1].retained = ByteCount(900 << 20)
        },
        Case("a slot over the file's budget", .slotBudget, .failed, "node1", "1.0 GiB of 512 MiB") {
            $0.file.replication.slotBudget = ByteCount(512 << 20)
            $0.standby?.settings.values["max_slot_wal_keep_size"] = "512"
            $0.primary.settings.values["max_slot_wal_keep_size"] = "512"
            $0.primary.slots[1].retained = ByteCount(1 << 30)
        },
        Case("no limit", .slotBudget, .warning, "node1", "max_slot_wal_keep_size = '20GB'") {
            $0.primary.settings.values["max_slot_wal_keep_size"] = "-1"
        },
        Case("a limit above the file's budget", .slotBudget, .warning, "node1", "max_slot_wal_keep_size = '512MB'") {
            $0.file.replication.slotBudget = ByteCount(512 << 20)
            $0.standby?.settings.values["max_slot_wal_keep_size"] = "512"
        },
        Case("a limit below the file's budget", .slotBudget, .warning, "node1", "at 1.0 GiB, before its budget of 2.0 GiB") {
            $0.file.replication.slotBudget = ByteCount(2 << 30)
            $0.standby?.settings.values["max_slot_wal_keep_size"] = "2048"
        },
        Case("a budget that will end", .slotBudget, .warning, "node1", "100 MiB of 1.0 GiB, at 1.0 MiB/s for 15 min more") {
            $0.primary.walBytesPerSecond = 1_048_576
            $0.primary.slots.append(Example.slot("old", process: nil, application: nil))
            $0.primary.slots[2].retained = ByteCount(100 << 20)
        },
        Case("a slot that nobody reads", .slotBudget, .warning, "node1", "slot old holds back 1.0 MiB and nobody reads it") {
            $0.primary.slots.append(Example.slot("old", process: nil, application: nil))
        },
    ]

    static let standbyCases: [Case] = [
        Case("a server that is down", .connection, .failed, "node2", "no server runs there") { $0.standby = nil },
        Case("a host that is down", .connection, .failed, "node2", "its host does not answer: could not connect: timeout expired")
        {
            $0.standby = nil
            $0.standbyFailure = Failure(.serverUnreachable, "could not connect: timeout expired")
        },
        Case("a standby that is away while its slot holds WAL", .connection, .failed, "node2", "To start it: pgark apply") {
            $0.standby = nil
            $0.primary.slots[1] = Example.slot("node2", process: nil, application: nil)
        },
        Case("no WAL receiver", .streaming, .failed, "node2", "stands still / See what differs") {
            $0.standby?.walReceiver = nil
        },
        Case("a WAL receiver that waits", .streaming, .failed, "node2", "waiting from node1") {
            $0.standby?.walReceiver?.status = "waiting"
        },
        Case("no slot on a standby", .standbySlot, .failed, "node2", "pgark apply") { $0.standby?.walReceiver?.slot = nil },
        Case("a standby on another's slot", .standbySlot, .failed, "node2", "through other, which is not its slot") {
            $0.standby?.walReceiver?.slot = "other"
        },
        Case("a standby's slot that is not in use", .standbySlot, .failed, "node2", "not active on node1") {
            $0.primary.slots[1] = Example.spare("node2")
        },
        Case("a standby whose slot is gone", .streaming, .failed, "node2", "node2 is not there on node1 / pgark apply") {
            $0.standby?.walReceiver = nil
            $0.primary.slots.remove(at: 1)
        },
        Case("a paused replay", .standbyLag, .warning, "node2", "SELECT pg_wal_replay_resume();") {
            $0.standby?.positions.replayed = LSN("0/4000000")
            $0.standby?.positions.isReplayPaused = true
        },
        Case(
            "a delay that nobody declared", .standbyDelay, .warning, "node2",
            "delayed by 30 min; the cluster file says not at all"
        ) {
            $0.standby?.settings.values["recovery_min_apply_delay"] = "1800000"
        },
        Case("a late standby", .standbyLag, .warning, "node2", "16.0 MiB, 90.0 s behind") {
            $0.standby?.positions.replayed = LSN("0/4000000")
            $0.primary.walSenders[1].replayLagSeconds = 90
        },
        Case("a very late standby", .standbyLag, .failed, "node2", "900.0 s behind") {
            $0.standby?.positions.replayed = LSN("0/4000000")
            $0.primary.walSenders[1].replayLagSeconds = 900
        },
    ]

    static let clusterCases: [Case] = [
        Case("two systems", .systemIdentifier, .failed, nil, "node2 is 5") {
            $0.standby?.systemIdentifier = SystemIdentifier(rawValue: 5)
        },
        Case("a repository of another system", .systemIdentifier, .failed, nil, "the repository is 5") {
            $0.facts.systemIdentifier = SystemIdentifier(rawValue: 5)
        },
        Case("a standby on another timeline", .timeline, .failed, nil, "node2 is on timeline 2") {
            $0.standby?.timeline = TimelineID(rawValue: 2)
        },
        Case("a standby that was left behind", .timeline, .failed, nil, "which left 1 at 0/5000000: it does not follow") {
            $0.becomeSecondTimeline(leftAt: "0/5000000")
        },
        Case("a standby that has what the primary never had", .timeline, .failed, nil, "1.0 MiB beyond 0/4F00000") {
            $0.becomeSecondTimeline(leftAt: "0/4F00000")
        },
        Case("a repository ahead of the primary", .timeline, .failed, nil, "restored to an older state") {
            $0.facts.receiver.timeline = TimelineID(rawValue: 2)
        },
    ]

    @Test func aDelayedStandbyBehindACascadeIsAllWellAsDeclared() throws {
        let example = try Example.cascading()
        #expect(example.remarks == [])
        let made = example.results.filter { $0.node == "node3" }
        #expect(made.first { $0.name == .streaming }?.message == "streams from node2")
        #expect(made.first { $0.name == .standbySlot }?.message == "streams through node3, active on node2")
        #expect(made.first { $0.name == .standbyDelay }?.message == "60 min, as declared")
        #expect(made.first { $0.name == .standbyLag }?.message == "16.0 MiB, 3590.0 s behind, of which 60 min on purpose")
    }

    @Test(arguments: cascadeCases)
    func oneFaultOfACascadeBringsOneRemarkWithItsRemedy(_ fault: Case) throws {
        try expectOneRemark(Example.cascading(), fault)
    }

    static let cascadeCases: [Case] = [
        Case("later than its delay", .standbyLag, .warning, "node3", "3700.0 s behind") {
            $0.standby?.walSenders[0].replayLagSeconds = 3700
        },
        Case("much later than its delay", .standbyLag, .failed, "node3", "5000.0 s behind") {
            $0.standby?.walSenders[0].replayLagSeconds = 5000
        },
        Case(
            "no delay where one is declared", .standbyDelay, .warning, "node3", "is not delayed; the cluster file says by 60 min"
        ) {
            $0.third?.settings.values["recovery_min_apply_delay"] = "0"
            $0.standby?.walSenders[0].replayLagSeconds = 1
        },
        Case("another upstream", .streaming, .warning, "node3", "streams from node1; the cluster file says from node2") {
            $0.third?.walReceiver?.senderHost = "a"
            $0.primary.slots[2] = Example.slot("node3", process: 13, application: "node3")
            $0.primary.walSenders.append($0.standby!.walSenders[0])
            $0.standby?.slots[2] = Example.spare("node3")
        },
        Case("a restart while it holds back", .streaming, .warning, "node3", "until it has replayed what it has, 60 min late") {
            $0.third?.walReceiver = nil
            $0.third?.positions.received = nil
            $0.third?.uptimeSeconds = 3000
            $0.standby?.slots[2] = Example.slot("node3", process: nil, application: nil)
        },
        Case("no receiver long after a restart", .streaming, .failed, "node3", "stands still") {
            $0.third?.walReceiver = nil
            $0.third?.positions.received = nil
            $0.third?.uptimeSeconds = 4000
            $0.standby?.slots[2] = Example.slot("node3", process: nil, application: nil)
        },
        Case("its upstream restarted while it holds back", .streaming, .warning, "node3", "Nothing is to be done") {
            $0.third?.walReceiver = nil
            $0.standby?.slots[2] = Example.slot("node3", process: nil, application: nil)
        },
        Case("a slot gone from its upstream", .streaming, .failed, "node3", "node3 is not there on node2 / pgark apply") {
            $0.third?.walReceiver = nil
            $0.third?.positions.replayed = Example.end
            $0.standby?.slots.removeLast()
        },
    ]

    /// While it replays what it holds back it asks for nothing new.
    @Test func aDelayedStandbyThatWaitsForTheEndOfATimelineIsSaidToComeByItself() throws {
        var example = try Example.cascading()
        example.becomeSecondTimeline(leftAt: "0/5000000")
        example.standby?.timeline = TimelineID(rawValue: 2)
        example.standby?.history = example.primary.history
        example.third?.walReceiver?.status = "waiting"
        example.standby?.slots[2] = Example.slot("node3", process: nil, application: nil)
        let remarks = example.remarks
        #expect(remarks.map(\.name) == [.streaming] && remarks[0].result == .warning, "\(remarks)")
        #expect(remarks[0].message.contains("until it has replayed the end of timeline 1, 60 min late on purpose"))
    }

    /// What was sent and not replayed was not measured: an idle night says nothing of a delay.
    @Test func theAgeOfTheLastCommitIsNoLagOfADelayedStandby() throws {
        var example = try Example.cascading()
        example.standby?.walSenders[0].replayLagSeconds = nil
        example.third?.positions.replayedAgeSeconds = 50_000
        #expect(example.remarks == [])
        #expect(example.view.nodeStatuses[2].lagSeconds == nil)
    }

    /// It has all that its upstream has, which is little.
    @Test func aCascadedStandbyIsAsLateAsItsUpstreamToo() throws {
        var example = try Example.cascading()
        example.standby?.positions.replayed = LSN("0/4000000")
        example.standby?.walSenders[0].replayLagSeconds = 3600
        example.primary.walSenders[1].replayLagSeconds = 20
        example.primary.walSenders[1].flushLagSeconds = 7
        #expect(example.view.nodeStatuses[2].lagSeconds == 3607)
    }

    static let repositoryCases: [Case] = [
        Case("a repository that cannot be read", .repository, .failed, nil, "cannot") {
            $0.facts.failure = Failure(.repositoryUnreachable, "cannot")
        },
        Case("a repository that cannot be written", .repository, .failed, nil, "chown") { $0.facts.isWritable = false },
        Case("little space", .freeSpace, .warning, nil, "5 %") { $0.facts.free = ByteCount(5 << 30) },
        Case("almost no space", .freeSpace, .failed, nil, "1 %") { $0.facts.free = ByteCount(1 << 30) },
        Case("no space for another backup", .freeSpace, .warning, nil, "the data directory has 80.0 GiB") {
            $0.facts.backups[0].content?.dataBytes = ByteCount(80 << 30)
        },
        Case("a receiver far behind", .walLag, .warning, nil, "behind the server") {
            $0.primary.positions.current = LSN("0/F000000")
            $0.standby?.positions.replayed = LSN("0/F000000")
        },
        Case("a gap before the newest backup", .walContiguity, .warning, nil, "0/1800000 to 0/2000000") {
            $0.facts.gaps = [.init(timeline: .first, fromLSN: LSN("0/1800000")!, toLSN: LSN("0/2000000")!)]
            $0.facts.backups.append(Example.backup("20270114T080000Z", ageSeconds: 90_000, begin: "0/1000028", end: "0/1000120"))
        },
        Case("a gap after the newest backup", .walContiguity, .failed, nil, "Take a new backup") {
            $0.facts.gaps = [.init(timeline: .first, fromLSN: LSN("0/3000000")!, toLSN: LSN("0/4000000")!)]
        },
        Case("a backup without its WAL", .walContiguity, .failed, nil, "pgark delete 20270115T080000Z") {
            $0.facts.backups[0].content?.isRestorable = false
        },
    ]

    static let backupCases: [Case] = [
        Case("no backup", .redundancy, .failed, nil, "0 complete backups, 1 needed") {
            $0.facts.backups = []
        },
        Case("too few backups", .redundancy, .failed, nil, "1 complete backup, 2 needed") {
            $0.file.backup.minimumRedundancy = 2
        },
        Case("an old backup", .backupAge, .failed, nil, "60 min old, more than 30 min") {
            $0.file.backup.maximumAgeSeconds = 1800
        },
        Case("damaged pages", .backupHealth, .failed, nil, "2 pages") { $0.facts.backups[0].content?.badPages = 2 },
        Case("a backup without configuration", .configurationFiles, .warning, nil, "/etc/x: denied") {
            $0.facts.backups[0].content?.configurationMissing = ["/etc/x: denied"]
        },
        Case("a failed backup", .failedBackups, .warning, nil, "20270115T090000Z") {
            $0.facts.backups.insert(.init(id: "20270115T090000Z", status: .failed), at: 0)
        },
    ]

    @Test func aRepositoryThatDoesNotExistYetSaysHowItComesToBe() throws {
        var example = try Example()
        example.facts = RepositoryFacts(path: "/repo")
        example.primary.slots.removeFirst()
        #expect(example.remarks.map(\.name) == [.repository, .receiver, .slot, .redundancy])
    }

    @Test func anIdleSlotOfOursIsAFailureOfTheReceiverAndOfTheSlot() throws {
        var example = try Example()
        example.facts.receiver.isRunning = false
        example.primary.slots[0] = Example.slot("pgark", process: nil, application: nil)
        #expect(example.remarks.map(\.name) == [.receiver, .slot])
        #expect(example.remarks.allSatisfy { $0.hint?.contains("drop") == false })
    }

    @Test func twoPrimariesAreAFailureThatNamesBoth() throws {
        var example = try Example()
        example.standby?.isInRecovery = false
        let remark = try #require(example.remarks.first { $0.name == .primary })
        #expect(remark.result == .failed)
        #expect(remark.message.contains("node1 (timeline 1) and node2 (timeline 1)"))
        #expect(remark.hint?.contains("pgark rejoin NODE") == true)
    }

    @Test func aClusterOfStandbysOnlyIsAWarningAndWithSilentNodesAFailure() throws {
        var example = try Example()
        example.primary.isInRecovery = true
        #expect(example.results.first { $0.name == .primary }?.result == .warning)
        example.standby = nil
        #expect(example.results.first { $0.name == .primary }?.result == .failed)
    }

    @Test func aRoleWithNothingButReplicationGetsWarningsAndNoFailures() throws {
        var example = try Example()
        example.primary.role = .init(name: "bare", mayReplicate: true)
        example.primary.settings.values["data_directory"] = nil
        example.primary.slots[0].activeApplication = nil
        example.standby?.role = .init(name: "bare", mayReplicate: true)
        example.standby?.settings.values["data_directory"] = nil
        example.standby?.walReceiver = .init()
        #expect(example.remarks.allSatisfy { $0.result == .warning }, "\(example.remarks)")
        #expect(example.remarks.allSatisfy { $0.hint?.contains("GRANT") == true })
    }

    @Test func configurationElsewhereIsFineWhereTheRoleMayReadIt() throws {
        var example = try Example()
        example.primary.settings.values["hba_file"] = "/etc/postgresql/pg_hba.conf"
        example.primary.role.readsServerFiles = true
        example.primary.role.executesReadFile = true
        #expect(example.remarks == [])
    }

    @Test func namesPickTheChecks() throws {
        let example = try Example()
        #expect(Set(Checks(example.view).results(of: [.clock, .slot]).map(\.name)) == [.clock, .slot])
    }
}

extension Example {
    /// The primary and the repository are on timeline 2, which left the first at a position; nobody else heard of it.
    mutating func becomeSecondTimeline(leftAt position: String) {
        let second = TimelineID(rawValue: 2)
        primary.timeline = second
        primary.history = TimelineHistory(of: second, ancestors: [.init(timeline: .first, end: LSN(position)!)])
        facts.receiver.timeline = second
    }
}
