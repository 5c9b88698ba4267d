/// The same schedule for systemd: values of OnCalendar= (systemd.time(7)).
extension CronExpression {
    /// One, or two where either field of days is enough: systemd wants all parts of an expression to fit.
    package var calendarEvents: [String] {
        let clock = "\(Self.list(hours, of: 24)):\(Self.list(minutes, of: 60)):00"
        let month = Self.list(months, of: 12)
        let byDay = "*-\(month)-\(Self.list(days, of: 31)) \(clock)"
        let names = weekdays.values.count == 7 ? "" : weekdays.sorted.map { Self.weekdayNames[$0] }.joined(separator: ",") + " "
        return eitherDayFits ? [byDay, "\(names)*-\(month)-* \(clock)"] : [names + byDay]
    }

    /// "*" for all, else numbers and ranges: "00,15,30..35".
    private static func list(_ field: Field, of count: Int) -> String {
        if field.values.count == count { return "*" }
        var ranges: [ClosedRange<Int>] = []
        for value in field.sorted {
            if let last = ranges.last, last.upperBound == value - 1 {
                ranges[ranges.count - 1] = last.lowerBound...value
            } else {
                ranges.append(value...value)
            }
        }
        return ranges.map { range in
            let (first, last) = (twoDigits(range.lowerBound), twoDigits(range.upperBound))
            return range.count == 1 ? first : "\(first)..\(last)"
        }.joined(separator: ",")
    }
}
