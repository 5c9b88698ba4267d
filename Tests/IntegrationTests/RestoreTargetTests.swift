import Hosts
import Lab
import PostgresModel
import SystemPackage
import TestSupport
import Testing

@Suite("A restore", .histories)
struct RestoreTargetTests {
    enum Target: String, CaseIterable, Sendable {
        case endOfWAL, immediate, restorePoint
        case transaction, beforeTransaction
        case position, beforePosition
        case moment, beforeMoment
        /// Nothing was written after these, so PostgreSQL alone would fail to find them.
        case idleMoment, lastPosition

        /// What is said on the command line, and how many of the six rows must be there.
        func expectation(_ history: History) -> (arguments: [String], rows: Int) {
            switch self {
            case .endOfWAL: ([], History.rows)
            case .immediate: (["--target-immediate"], 0)
            case .restorePoint: (["--target-name", History.restorePoint], 5)
            case .transaction: (["--target-xid", history.secondRow], 2)
            case .beforeTransaction: (["--target-xid", history.secondRow, "--target-exclusive"], 1)
            case .position: (["--target-lsn", "\(history.fourthCommit)"], 4)
            case .beforePosition: (["--target-lsn", "\(history.fourthCommit)", "--target-exclusive"], 3)
            case .moment: (["--target-time", history.fifthCommit], 5)
            case .beforeMoment: (["--target-time", history.fifthCommit, "--target-exclusive"], 4)
            case .idleMoment: (["--target-time", history.lastMoment], History.rows)
            case .lastPosition: (["--target-lsn", history.lastPosition], History.rows)
            }
        }
    }

    @Test("lands exactly on its target", arguments: TestMachine.majors, Target.allCases)
    func landsOnTarget(major: Int, target: Target) throws {
        let history = try Histories.of(major)
        let (arguments, rows) = target.expectation(history)
        let restored = try history.pgark.restore(to: "\(target)", arguments)
        try restored.recover()
        defer { restored.discard() }
        #expect(try restored.markers() == rows)
        #expect(try restored.timeline() == "2")
    }

    @Test("with the action pause waits at its target until it is told to go on", arguments: TestMachine.majors)
    func pauses(major: Int) throws {
        let history = try Histories.of(major)
        let restored = try history.pgark.restore(
            to: "paused", ["--target-name", History.restorePoint, "--target-action", "pause"])
        try restored.startBesideOriginal()
        defer { restored.discard() }
        try eventually("the recovery pauses") { try restored.value("SELECT pg_get_wal_replay_pause_state()") == "paused" }
        #expect(try restored.markers() == 5)
        try restored.sql("SELECT pg_wal_replay_resume()")
        try eventually("the recovery ends") { try restored.value("SELECT pg_is_in_recovery()") == "f" }
        #expect(try restored.markers() == 5)
    }

    @Test("with the action shutdown stops at its target and may go on from there", arguments: TestMachine.majors)
    func shutsDown(major: Int) throws {
        let history = try Histories.of(major)
        let restored = try history.pgark.restore(
            to: "shut-down", ["--target-lsn", "\(history.fourthCommit)", "--target-action", "shutdown"])
        // pg_ctl says that it could not start a server which ends again by itself.
        try? restored.startBesideOriginal()
        try eventually("the server stops") { !restored.instance.isRunning }
        #expect(try restored.controlData("Database cluster state") == "shut down in recovery")
        try restored.recover(settings: ["recovery_target_action": "promote"])
        defer { restored.discard() }
        #expect(try restored.markers() == 4)
    }

    @Test("is refused where its target lies beyond the stored WAL, and nothing is touched", arguments: TestMachine.majors)
    func refusesBeyondWAL(major: Int) throws {
        let history = try Histories.of(major)
        let place = history.site.directory.appending("never")
        for target in [["--target-lsn", "FF/0"], ["--target-time", "2999-01-01 00:00:00+00"]] {
            try history.pgark.fails(.targetUnreachable, 3, ["restore", "--to", place.string, "--yes"] + target)
            #expect(try history.site.isAbsent(place))
        }
    }

    @Test("is refused where its target lies before the first backup", arguments: TestMachine.majors)
    func refusesBeforeBackup(major: Int) throws {
        let history = try Histories.of(major)
        let place = history.site.directory.appending("never")
        for target in [["--target-lsn", "0/1000028"], ["--target-time", "2001-01-01 00:00:00+00"]] {
            try history.pgark.fails(.noSuitableBackup, 3, ["restore", "--to", place.string, "--yes"] + target)
            #expect(try history.site.isAbsent(place))
        }
    }

    @Test(
        "is refused where its target is nowhere in the WAL", arguments: TestMachine.majors,
        [["--target-name", "nowhere"], ["--target-xid", "123456789"]])
    func refusesUnknownTarget(major: Int, target: [String]) throws {
        let history = try Histories.of(major)
        let place = history.site.directory.appending("never")
        try history.pgark.fails(.targetUnreachable, 3, ["restore", "--to", place.string, "--yes"] + target)
        #expect(try history.site.isAbsent(place))
    }

    @Test("with --dry-run says what it would do and does nothing")
    func dryRun() throws {
        let history = try Histories.of(TestMachine.newest)
        let place = history.site.directory.appending("never")
        let plan = try history.pgark("restore", "--to", place.string, "--dry-run")
        #expect(plan.backup.string == history.backup)
        #expect(try history.site.isAbsent(place))
    }

    @Test("with --start leaves a running server")
    func starts() throws {
        let history = try Histories.of(TestMachine.newest)
        // The server that was backed up is stopped, so its port is free for the restored one.
        let place = history.site.directory.appending("started")
        let outcome = try history.pgark("restore", "--to", place.string, "--yes", "--start")
        let restored = try history.site.restored(in: place)
        defer { restored.discard() }
        #expect(outcome.started.bool == true)
        #expect(restored.instance.isRunning)
    }
}
