import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("The recovery settings")
struct RecoverySettingsTests {
    @Test(
        "take out what the restore decides, and nothing else",
        arguments: [
            ("shared_buffers = '1GB'\n", "shared_buffers = '1GB'\n"), ("", ""), ("\n\nport = 1\n", "port = 1\n"),
            ("# restore_command = 'x'\n", "# restore_command = 'x'\n"),
            ("recovery_prefetch = 'off'\n", "recovery_prefetch = 'off'\n"),
            ("restore_command_x = 'y'\n", "restore_command_x = 'y'\n"),
            ("restore_command = 'x'\n", "# restore_command = 'x'  # taken out by pgark restore\n"),
            ("  Recovery_Target_Time='x'", "#   Recovery_Target_Time='x'  # taken out by pgark restore\n"),
            ("primary_conninfo 'host=a'\nport = 5\n", "# primary_conninfo 'host=a'  # taken out by pgark restore\nport = 5\n"),
            ("port = 5\r\nrestore_command = 'x'\r\n", "port = 5\r\n# restore_command = 'x'\r  # taken out by pgark restore\n"),
        ])
    func withoutDecided(text: String, expected: String) {
        #expect(Array(RecoverySettings.withoutDecided(text).utf8) == Array(expected.utf8))
    }

    @Test(
        "take out each of the settings that they may set",
        arguments: [
            "recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time", "recovery_target_xid",
            "restore_command",
            "recovery_target_inclusive", "recovery_target_timeline", "recovery_target_action", "primary_conninfo",
            "primary_slot_name",
            "recovery_end_command", "archive_cleanup_command",
        ])
    func decided(name: String) {
        #expect(RecoverySettings.withoutDecided("\(name) = 'x'\n").hasPrefix("# \(name)"))
    }

    @Test(
        "are quoted as postgresql.conf wants it",
        arguments: [
            ("plain", "plain"), ("it's", "it''s"), ("a\\b", "a\\\\b"), ("", ""), ("'", "''"),
            ("'\u{301}\\\u{301}", "''\u{301}\\\\\u{301}"), ("größe €", "größe €"),
        ])
    func quoted(value: String, expected: String) {
        #expect(Array(RecoverySettings.quoted(value).utf8) == Array(expected.utf8))
    }

    /// What is written into a directory that already has `old`: the settings' lines, and the signal files.
    static func written(_ target: RecoveryTarget, standby: RestoreJob.Standby? = nil, old: String? = nil, signals: [String] = [])
        throws -> (
            lines: [String], signals: [String]
        )
    {
        try withScratchDirectory { directory in
            let path = directory.appending("postgresql.auto.conf")
            if let old { try SmallFile.write(old, to: path, permissions: 0o640) }
            for name in signals { try SmallFile.write("", to: directory.appending(name)) }
            let record = BackupRecord.example()
            let planner = RestorePlanner(
                records: [record], ranges: [.init(timeline: .first, from: .zero, to: LSN("1/0")!, segments: 1)],
                histories: [.first: TimelineHistory(of: .first)], moments: [:], segmentSize: record.walSegmentSize,
                landmarks: NoWAL())
            try RecoverySettings(
                plan: try planner.plan(target, chosen: nil),
                settings: .init(restoreCommand: "\"/usr/bin/pgark\" wal get %f \"%p\"", standby: standby, threads: 1),
                destination: try RestoreDestination(directory: directory, mapping: [], record: record)
            ).write()
            #expect(try Directory.status(path)?.permissions == (old == nil ? 0o600 : 0o640))
            let text = try #require(try SmallFile.readText(path))
            return (
                text.split(separator: "\n").map(String.init),
                try #require(try Directory.names(in: directory)).filter { $0.hasSuffix(".signal") }
            )
        }
    }

    @Test("lead to the target, and clear every other one")
    func target() throws {
        let written = try Self.written(
            RecoveryTarget(point: .lsn(LSN("0/300000")!), isInclusive: false, timeline: .current, action: .pause),
            old: "port = 5\nrecovery_target_name = 'old'\n")
        #expect(written.signals == ["recovery.signal"])
        #expect(
            written.lines == [
                "port = 5", "# recovery_target_name = 'old'  # taken out by pgark restore",
                "# written by pgark restore of backup 20261122T150405Z",
                "restore_command = '\"/usr/bin/pgark\" wal get %f \"%p\"'", "archive_mode = 'off'",
                "recovery_target = ''", "recovery_target_name = ''", "recovery_target_time = ''", "recovery_target_xid = ''",
                "recovery_target_lsn = '0/300000'", "recovery_target_inclusive = 'false'", "recovery_target_timeline = '1'",
                "recovery_target_action = 'pause'",
            ])
    }

    @Test("of a standby name its primary and its slot, and no target")
    func standby() throws {
        let written = try Self.written(RecoveryTarget(), standby: .init(primaryConnection: "host=a user='it''s'", slot: "node2"))
        #expect(written.signals == ["standby.signal"])
        #expect(written.lines.contains("primary_conninfo = 'host=a user=''it''''s'''"))
        #expect(written.lines.contains("primary_slot_name = 'node2'"))
        #expect(!written.lines.contains { $0.hasPrefix("archive_mode") })
        #expect(written.lines.filter { $0.hasPrefix("recovery_target") }.allSatisfy { $0.hasSuffix(" = ''") })
    }

    @Test("replace the signal file that a backup of a standby brought")
    func signals() throws {
        #expect(try Self.written(RecoveryTarget(), signals: ["standby.signal"]).signals == ["recovery.signal"])
        let standby = RestoreJob.Standby(primaryConnection: "host=a", slot: nil)
        #expect(try Self.written(RecoveryTarget(), standby: standby, signals: ["recovery.signal"]).signals == ["standby.signal"])
    }
}

@Suite("A line of postgresql.conf")
struct ConfigurationLineTests {
    @Test(
        "has a name and a value, with or without an equals sign and quotes",
        arguments: [
            ("port = 5432", "port", "5432"), ("port=5432", "port", "5432"), ("port 5432 # remark", "port", "5432"),
            ("  Hba_File = '/etc/a b/hba'  # remark", "hba_file", "/etc/a b/hba"), ("include 'x.conf'", "include", "x.conf"),
            ("include_dir='conf.d'", "include_dir", "conf.d"), ("my.setting = on#off", "my.setting", "on"), ("port", "port", ""),
            ("port =", "port", ""),
            ("a = 'unterminated", "a", "unterminated"), ("\tport\t=\t5\r", "port", "5"),
        ])
    func reads(line: String, name: String, value: String) throws {
        let setting = try #require(RestoredConfiguration.Setting(line))
        #expect(setting.name == name)
        #expect(setting.value == value)
    }

    @Test("may be none", arguments: ["", "   ", "# port = 5", "= 5", "'x'", "\t#"])
    func none(line: String) {
        #expect(RestoredConfiguration.Setting(line) == nil)
    }
}
