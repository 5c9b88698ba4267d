@testable import Cluster
import PostgresModel
import TestSupport
import Testing

@Suite("A schedule")
struct CronExpressionTests {
    /// Sunday, 2026-11-22 15:04:05 UTC.
    private static let now = time("2026-11-22 15:04:05Z")

    private static func time(_ text: String) -> Timestamp {
        guard case .instant(let time)? = TimeText(text) else { fatalError("\(text) is no time") }
        return time
    }

    // MARK: What is read

    @Test(
        "comes next when cron would begin it",
        arguments: [
            ("* * * * *", "2026-11-22 15:05Z"), ("0 1 * * *", "2026-11-23 01:00Z"), ("@daily", "2026-11-23 00:00Z"),
            ("@HOURLY", "2026-11-22 16:00Z"), ("@midnight", "2026-11-23 00:00Z"), ("@weekly", "2026-11-29 00:00Z"),
            ("@monthly", "2026-12-01 00:00Z"), ("@yearly", "2027-01-01 00:00Z"), ("@annually", "2027-01-01 00:00Z"),
            ("5 15 * * *", "2026-11-22 15:05Z"), ("4 15 * * *", "2026-11-23 15:04Z"), ("*/20 * * * *", "2026-11-22 15:20Z"),
            ("1-59/20 * * * *", "2026-11-22 15:21Z"), ("10,20,40-50/5 * * * *", "2026-11-22 15:10Z"),
            ("0 1 * * mon-fri", "2026-11-23 01:00Z"), ("0 1 * * SAT,Sun", "2026-11-28 01:00Z"),
            ("0 1 * * 7", "2026-11-29 01:00Z"),
            ("0 1 * * 0", "2026-11-29 01:00Z"), ("0 1 * * 5-7", "2026-11-27 01:00Z"), ("0 1 * feb *", "2027-02-01 01:00Z"),
            ("0 1 29 2 *", "2028-02-29 01:00Z"), ("0 1 31 * *", "2026-12-31 01:00Z"),
            // Two fields of days: either is enough, unless one of them begins with a star.
            ("0 1 24 * 5", "2026-11-24 01:00Z"), ("0 1 30 * 5", "2026-11-27 01:00Z"), ("0 1 */10 * 2", "2026-12-01 01:00Z"),
            ("0 1 1 * */6", "2027-05-01 01:00Z"),
        ])
    func next(text: String, expected: String) throws {
        #expect(try CronExpression(text).next(after: Self.now, offset: { _ in 0 }) == Self.time(expected))
    }

    @Test(
        "that cannot be read says why",
        arguments: [
            ("", "it has 0 fields"), ("0 1 * *", "it has 4 fields"), ("0 0 1 * * *", "it has 6 fields"),
            ("60 * * * *", "the minute \"60\" is not a number from 0 to 59"), ("0 24 * * *", "the hour \"24\""),
            ("0 0 0 * *", "the day \"0\""), ("0 0 1 13 *", "the month \"13\""), ("0 0 * * 8", "the weekday \"8\""),
            ("0 0 * * monday", "nor a name such as Mon"), ("0 0 1 foo *", "the month \"foo\""),
            ("0 mon * * *", "the hour \"mon\""),
            ("5-1 * * * *", "ends before it begins"), ("0 0 * * sat-mon", "ends before it begins"),
            ("*/0 * * * *", "the step \"0\""),
            ("*/60 * * * *", "the step \"60\""), ("5/15 * * * *", "a step needs a range: 5-59/15"),
            ("1, * * * *", "the minute \"\""),
            ("-5 * * * *", "the minute \"\""), ("1-2-3 * * * *", "the minute \"2-3\""), ("*-5 * * * *", "the minute \"*\""),
            ("*/x * * * *", "the step \"x\""), ("+5 * * * *", "the minute \"+5\""),
            ("99999999999999999999 * * * *", "the minute"),
            ("0 0 30 2 *", "there never is such a day"), ("0 0 31 4,6,9,11 *", "there never is such a day"),
            ("@reboot", "\"@reboot\" is none of @annually"), ("@", "is none of"),
        ])
    func refused(text: String, reason: String) {
        do throws(CronExpression.Problem) {
            _ = try CronExpression(text)
            Issue.record("\(text) was read")
        } catch {
            #expect(error.reason.contains(reason), "\(error.reason)")
        }
    }

    @Test(
        "is written for any cron, and said for a person",
        arguments: [
            ("0 1 * * *", "0 1 * * *", "daily at 01:00"), ("@daily", "0 0 * * *", "daily at 00:00"),
            ("@hourly", "0 * * * *", "hourly at minute 0"), ("30 3 * * sun,Wed", "30 3 * * 0,3", "on Sun, Wed at 03:30"),
            ("0  1\t* jan-mar/2 mon-fri", "0 1 * 1-3/2 1-5", "0 1 * jan-mar/2 mon-fri"),
            ("*/5 * * * *", "*/5 * * * *", "*/5 * * * *"),
            ("0 1 1 * 1", "0 1 1 * 1", "0 1 1 * 1"), ("0 1 1 * *", "0 1 1 * *", "0 1 1 * *"),
        ])
    func written(text: String, line: String, description: String) throws {
        let expression = try CronExpression(text)
        #expect(expression.line == line && expression.description == description)
    }

    // MARK: Zones

    /// Central Europe in 2026: the clock goes from 02:00 to 03:00 on March 29, and from 03:00 to 02:00 on October 25, both at 01:00 UTC.
    private static func berlin(_ time: Timestamp) -> Int {
        time >= Self.time("2026-03-29 01:00Z") && time < Self.time("2026-10-25 01:00Z") ? 7200 : 3600
    }

    @Test(
        "goes by the zone's clock, and comes once on a day with a change of it",
        arguments: [
            ("2026-01-10 12:00Z", "2026-01-11 01:30Z"), ("2026-07-10 12:00Z", "2026-07-11 00:30Z"),
            // 02:30 is skipped: one hour more, as the clock was put forward.
            ("2026-03-28 12:00Z", "2026-03-29 01:30Z"), ("2026-03-29 01:30Z", "2026-03-30 00:30Z"),
            // 02:30 is at 00:30 and at 01:30 UTC: the first one counts, the second one does not.
            ("2026-10-24 12:00Z", "2026-10-25 00:30Z"), ("2026-10-25 00:30Z", "2026-10-26 01:30Z"),
            ("2026-10-25 01:10Z", "2026-10-26 01:30Z"),
        ])
    func zone(after: String, expected: String) throws {
        let next = try CronExpression("30 2 * * *").next(after: Self.time(after), offset: Self.berlin)
        #expect(next == Self.time(expected), "\(next.map { "\($0)" } ?? "never")")
    }

    @Test(
        "goes by the new time after a change of the clock on the same day",
        arguments: [("2026-03-28 23:30Z", "2026-03-29 10:00Z"), ("2026-10-24 22:30Z", "2026-10-25 11:00Z")])
    func change(after: String, expected: String) throws {
        let next = try CronExpression("0 12 * * *").next(after: Self.time(after), offset: Self.berlin)
        #expect(next == Self.time(expected), "\(next.map { "\($0)" } ?? "never")")
    }

    // MARK: Two ways to say the same

    /// What a minute must be, said once more and plainly, to be compared with `next`, which jumps.
    private static func fits(_ expression: CronExpression, _ time: Timestamp) -> Bool {
        let civil = CivilTime(time, offsetSeconds: 0)
        let weekday = Int((CivilTime.dayNumber(civil.year, civil.month, civil.day) + 4) % 7)
        let isDay = expression.days.values.contains(civil.day), isWeekday = expression.weekdays.values.contains(weekday)
        return expression.minutes.values.contains(civil.minute) && expression.hours.values.contains(civil.hour)
            && expression.months.values.contains(civil.month)
            && (expression.eitherDayFits ? isDay || isWeekday : isDay && isWeekday)
    }

    @Test("comes at every minute that fits and at no other", arguments: Seed.some(20))
    func everyMinute(seed: Seed) throws {
        var random = seed.generator
        let expression = RandomSchedule.make(&random)
        let begin = Timestamp(seconds: 1_767_225_600 + Int64(random.below(4 * 365)) * 86400), minutes = 40 * 1440
        let expected = (1...minutes).map { Timestamp(seconds: Int64(begin.seconds) + Int64($0) * 60) }
            .filter { Self.fits(expression, $0) }
        var found: [Timestamp] = [], last = begin
        while let next = expression.next(after: last, offset: { _ in 0 }),
            next <= Timestamp(seconds: Int64(begin.seconds) + Int64(minutes) * 60)
        {
            found.append(next)
            last = next
            if found.count > 3000 { break }
        }
        #expect(found == Array(expected.prefix(found.count > 3000 ? 3001 : expected.count)), "\(expression.text)")
    }
}

/// Schedules of all forms.
enum RandomSchedule {
    static func make(_ random: inout SeededGenerator) -> CronExpression {
        while true {
            let text = [
                field(0...59, &random), field(0...23, &random), field(1...31, &random), field(1...12, &random),
                field(0...7, &random),
            ].joined(separator: " ")
            if let expression = try? CronExpression(text) { return expression }  // others never come: February 30
        }
    }

    private static func field(_ range: ClosedRange<Int>, _ random: inout SeededGenerator) -> String {
        if random.below(3) == 0 { return "*" }
        return (0...random.below(3)).map { _ in element(range, &random) }.joined(separator: ",")
    }

    private static func element(_ range: ClosedRange<Int>, _ random: inout SeededGenerator) -> String {
        let ends = [Int.random(in: range, using: &random), Int.random(in: range, using: &random)].sorted()
        let step = "/\(1 + random.below(range.upperBound))"
        return switch random.below(6) {
        case 0: "*\(step)"
        case 1: "\(ends[0])-\(ends[1])\(step)"
        case 2: "\(ends[0])-\(ends[1])"
        default: "\(ends[0])"
        }
    }
}
