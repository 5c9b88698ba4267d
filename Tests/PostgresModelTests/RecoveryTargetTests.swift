import PostgresModel
import Testing

@Suite("A recovery target")
struct RecoveryTargetTests {
    static let inclusive = "recovery_target_inclusive=true"

    @Test(
        "is told to PostgreSQL in its own settings",
        arguments: [
            (RecoveryTarget(), [inclusive, "recovery_target_timeline=latest", "recovery_target_action=promote"]),
            (
                RecoveryTarget(point: .time(Timestamp(seconds: 1_795_359_845)), timeline: .current, action: .pause),
                [
                    "recovery_target_time=2026-11-22 15:04:05.000000+00", inclusive, "recovery_target_timeline=current",
                    "recovery_target_action=pause",
                ]
            ),
            (
                RecoveryTarget(point: .lsn(LSN("0/3000168")!), isInclusive: false, timeline: .id(TimelineID(rawValue: 3))),
                [
                    "recovery_target_lsn=0/3000168", "recovery_target_inclusive=false", "recovery_target_timeline=3",
                    "recovery_target_action=promote",
                ]
            ),
            (
                RecoveryTarget(point: .transaction("747"), action: .shutdown),
                ["recovery_target_xid=747", inclusive, "recovery_target_timeline=latest", "recovery_target_action=shutdown"]
            ),
            (
                RecoveryTarget(point: .name("before it's late")),
                [
                    "recovery_target_name=before it's late", inclusive, "recovery_target_timeline=latest",
                    "recovery_target_action=promote",
                ]
            ),
            (
                RecoveryTarget(point: .immediate),
                ["recovery_target=immediate", inclusive, "recovery_target_timeline=latest", "recovery_target_action=promote"]
            ),
        ])
    func settings(target: RecoveryTarget, expected: [String]) {
        #expect(target.settings.map { "\($0.name)=\($0.value)" } == expected)
    }

    @Test(
        "is told to a person in words",
        arguments: [
            (RecoveryTarget(), "the end of WAL"), (RecoveryTarget(point: .immediate), "the end of the backup"),
            (RecoveryTarget(point: .lsn(LSN("0/1")!), isInclusive: false), "just before LSN 0/1"),
            (RecoveryTarget(point: .time(Timestamp(seconds: 0))), "1970-01-01T00:00:00Z"),
            (RecoveryTarget(point: .transaction("5"), isInclusive: false), "just before transaction 5"),
            (RecoveryTarget(point: .name("x")), "restore point \"x\""),
        ])
    func description(target: RecoveryTarget, text: String) {
        #expect(target.description == text)
    }
}
