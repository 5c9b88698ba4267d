import ArgumentParser
import CLI
import PostgresModel
import Testing

@Suite("The target of a restore, as typed")
struct TargetOptionsTests {
    static func target(_ arguments: [String]) throws -> RecoveryTarget { try TargetOptions.parse(arguments).recoveryTarget() }

    @Test(
        "is understood",
        arguments: [
            ([], RecoveryTarget()), (["--target-immediate"], RecoveryTarget(point: .immediate)),
            (["--target-time", "1970-01-01 01:00:00+01"], RecoveryTarget(point: .time(Timestamp(seconds: 0)))),
            (
                ["--target-lsn", "0/3000168", "--target-exclusive"],
                RecoveryTarget(point: .lsn(LSN("0/3000168")!), isInclusive: false)
            ),
            (["--target-xid", "747"], RecoveryTarget(point: .transaction("747"))),
            (["--target-name", "before it"], RecoveryTarget(point: .name("before it"))),
            (
                ["--target-timeline", "3", "--target-action", "pause", "--target-immediate"],
                RecoveryTarget(point: .immediate, timeline: .id(TimelineID(rawValue: 3)), action: .pause)
            ),
            (["--target-timeline", "current"], RecoveryTarget(timeline: .current)),
            (["--target-timeline", "latest"], RecoveryTarget()),
        ] as [([String], RecoveryTarget)])
    func reads(arguments: [String], target: RecoveryTarget) throws {
        #expect(try Self.target(arguments) == target)
    }

    @Test(
        "is refused where it makes no sense, and the message names what was typed",
        arguments: [
            (["--target-time", "yesterday"], "yesterday"), (["--target-time", "2026-02-30 10:00Z"], "2026-02-30"),
            (["--target-lsn", "3000168"], "3000168"),
            (["--target-lsn", "0/G"], "0/G"), (["--target-xid", "x"], "x"), (["--target-xid", "-1"], "-1"),
            (["--target-xid", "2"], "2"),
            (["--target-name", String(repeating: "é", count: 32)], "1 to 63 bytes"), (["--target-timeline", "0"], "0"),
            (["--target-timeline", "newest"], "newest"),
        ])
    func refuses(arguments: [String], part: String) throws {
        // A value that begins with a dash goes behind an equals sign.
        let joined = ["\(arguments[0])=\(arguments[1])"]
        let failure = try #require(throws: Failure.self) { try Self.target(joined) }
        #expect(failure.code == .usage && failure.message.contains(part))
    }

    @Test("without a zone is refused with what it could mean, and how to write it")
    func withoutZone() throws {
        let failure = try #require(throws: Failure.self) { try Self.target(["--target-time", "2026-11-22 15:04:05"]) }
        #expect(failure.code == .usage)
        #expect(failure.message == "could not read --target-time \"2026-11-22 15:04:05\": it has no time zone")
        #expect(
            failure.details.first?.hasPrefix("in UTC it would be 2026-11-22T15:04:05Z, in this machine's zone 2026-11-2") == true)
        #expect(failure.hint == "Write the zone: --target-time \"2026-11-22 15:04:05+00\"")
    }

    @Test("is one, not several")
    func several() throws {
        #expect(throws: (any Error).self) { try Self.target(["--target-lsn", "0/1", "--target-immediate"]) }
        #expect(throws: (any Error).self) { try Self.target(["--target-action", "wait"]) }
        #expect(throws: (any Error).self) { try Self.target(["--target-name", ""]) }
    }
}
