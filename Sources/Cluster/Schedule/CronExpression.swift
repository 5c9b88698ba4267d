package import PostgresModel

/// When something is done again and again, as cron says it: minute, hour, day of the month, month, day of the week.
///
/// It means what it means to Vixie cron (crontab(5)), which Debian's cron and cronie are: where neither field of days begins with
/// "*", a day fits that fits one of them; else one that fits both.
package struct CronExpression: Sendable, Equatable {
    /// As it was written.
    package let text: String
    /// As every cron reads it: five fields, numbers only.
    package let line: String
    let minutes: Field
    let hours: Field
    let days: Field
    let months: Field
    /// Sunday is 0.
    let weekdays: Field

    struct Field: Sendable, Equatable {
        var values: Set<Int>
        /// It begins with "*", whatever follows.
        var isStarred: Bool

        var sorted: [Int] { values.sorted() }
    }

    /// Either field of days is enough.
    var eitherDayFits: Bool { !days.isStarred && !weekdays.isStarred }

    // MARK: The next time

    /// February 29 on one given weekday comes every 28 years, and once after 40.
    private static let horizonDays = 366 * 41

    /// The first moment after `time`; nil where there is none. `offset` is the zone: seconds east of Greenwich at a moment.
    ///
    /// A time of day that a change of the clock skips is as much later as the clock was put forward; one that comes twice counts once.
    package func next(after time: Timestamp, offset: (Timestamp) -> Int) -> Timestamp? {
        let begin = CivilTime(time, offsetSeconds: offset(time))
        let firstDay = CivilTime.dayNumber(begin.year, begin.month, begin.day)
        for day in firstDay..<firstDay + Int64(Self.horizonDays) where fits(day: day) {
            for hour in hours.sorted where day > firstDay || hour >= begin.hour {
                for minute in minutes.sorted {
                    let local = Timestamp(seconds: day * 86400 + Int64(hour * 3600 + minute * 60))
                    let moment = Self.moment(local, offset: offset)
                    if moment > time { return moment }
                }
            }
        }
        return nil
    }

    /// Days count from 1970-01-01, which was a Thursday.
    private func fits(day number: Int64) -> Bool {
        let (_, month, day) = CivilTime.civil(fromDayNumber: number)
        guard months.values.contains(month) else { return false }
        let weekday = Int((number % 7 + 11) % 7)
        let (isDay, isWeekday) = (days.values.contains(day), weekdays.values.contains(weekday))
        return eitherDayFits ? isDay || isWeekday : isDay && isWeekday
    }

    /// When the clocks of the zone show `local`, which is given as if it were UTC.
    private static func moment(_ local: Timestamp, offset: (Timestamp) -> Int) -> Timestamp {
        // A zone changes its offset at most once within two days.
        let (before, after) = (offset(local - 86400.0), offset(local - -86400.0))
        let candidates = [max(before, after), min(before, after)].map { local - Double($0) }
        return candidates.first { offset($0) == Int(local - $0) } ?? local - Double(before)
    }
}

extension CronExpression: CustomStringConvertible {
    /// "daily at 01:00", "hourly at minute 17", or as it was written.
    package var description: String {
        guard minutes.values.count == 1, !minutes.isStarred, months.isStarred, months.values.count == 12, days.isStarred,
            days.values.count == 31, let minute = minutes.values.first
        else { return text }
        let isEveryDay = weekdays.values.count == 7
        if hours.values.count == 24, isEveryDay { return "hourly at minute \(minute)" }
        guard hours.values.count == 1, let hour = hours.values.first else { return text }
        let clock = "at \(twoDigits(hour)):\(twoDigits(minute))"
        if isEveryDay { return "daily \(clock)" }
        return "on \(weekdays.sorted.map { CronExpression.weekdayNames[$0] }.joined(separator: ", ")) \(clock)"
    }

    static let weekdayNames = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    static let monthNames = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
}

func twoDigits(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
