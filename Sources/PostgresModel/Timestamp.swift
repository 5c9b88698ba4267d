/// An instant in UTC, to the microsecond, as PostgreSQL keeps it.
package struct Timestamp: Hashable, Comparable, Sendable {
    /// Microseconds since 1970-01-01 00:00:00 UTC.
    package let microseconds: Int64

    package init(microseconds: Int64) { self.microseconds = microseconds }
    package init(seconds: Int64) { microseconds = seconds * 1_000_000 }
    /// From PostgreSQL's own count, which begins at 2000-01-01 (src/include/datatype/timestamp.h). It comes from the
    /// network, so it may be anything: nonsense stays nonsense, and never ends the program.
    package init(postgres: Int64) { microseconds = postgres &+ Self.postgresEpoch }

    private static let postgresEpoch: Int64 = 946_684_800_000_000

    package var postgres: Int64 { microseconds &- Self.postgresEpoch }
    package var seconds: Double { Double(microseconds) / 1_000_000 }

    package static func < (a: Timestamp, b: Timestamp) -> Bool { a.microseconds < b.microseconds }
    /// Seconds from `b` to `a`.
    package static func - (a: Timestamp, seconds: Double) -> Timestamp {
        Timestamp(microseconds: a.microseconds &- Int64(seconds * 1_000_000))
    }
    package static func - (a: Timestamp, b: Timestamp) -> Double { Double(a.microseconds &- b.microseconds) / 1_000_000 }
}

extension Timestamp: CustomStringConvertible {
    /// RFC 3339 in UTC; the fraction is left out where it is zero: "2026-11-22T15:04:05.120000Z".
    package var description: String {
        let time = CivilTime(self, offsetSeconds: 0)
        let fraction = time.microsecond == 0 ? "" : "." + padded(time.microsecond, 6)
        return "\(time.date)T\(time.clock)\(fraction)Z"
    }

    /// "2026-11-22 15:04:05.120000+00": how PostgreSQL reads and writes it.
    package var postgresText: String {
        let time = CivilTime(self, offsetSeconds: 0)
        return "\(time.date) \(time.clock).\(padded(time.microsecond, 6))+00"
    }

    /// "2026-11-22 15:04:05 UTC": for people, to the second.
    package var shortText: String {
        let time = CivilTime(self, offsetSeconds: 0)
        return "\(time.date) \(time.clock) UTC"
    }

    /// "20261122T150405Z": sorts as text; the identifier of a backup.
    package var compactText: String {
        let time = CivilTime(self, offsetSeconds: 0)
        return (time.date + "T" + time.clock).filter { $0 != "-" && $0 != ":" } + "Z"
    }
}

extension Timestamp: Codable {
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard case .instant(let value)? = TimeText(text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "\(text) is not a time"))
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// A time as a person types it: either an instant, or a date and clock that still lacks its zone.
package enum TimeText: Equatable, Sendable {
    case instant(Timestamp)
    /// Well formed but without a zone: `utc` is what it would be in UTC.
    case withoutZone(utc: Timestamp)

    /// Accepts "2026-11-22 15:04:05.5+03", "2026-11-22T15:04:05Z", "2026-11-22 15:04:05 UTC", "2026-11-22 15:04".
    package init?(_ text: String) {
        var scanner = TimeScanner(text)
        guard let year = scanner.number(4), scanner.skip("-"), let month = scanner.number(2), scanner.skip("-"),
            let day = scanner.number(2), (1...12).contains(month), (1...CivilTime.days(in: month, of: year)).contains(day),
            scanner.skip("T") || scanner.skip(" "),
            let hour = scanner.number(2), scanner.skip(":"), let minute = scanner.number(2), hour < 24, minute < 60
        else { return nil }
        var second = 0
        var microsecond = 0
        if scanner.skip(":") {
            guard let value = scanner.number(2), value < 60 else { return nil }
            second = value
            if scanner.skip(".") {
                guard let value = scanner.fraction() else { return nil }
                microsecond = value
            }
        }
        let clock = Int64(hour * 3600 + minute * 60 + second)
        let utc = Timestamp(
            microseconds: (CivilTime.dayNumber(year, month, day) * 86400 + clock) * 1_000_000 + Int64(microsecond))
        if scanner.isAtEnd {
            self = .withoutZone(utc: utc)
            return
        }
        _ = scanner.skip(" ")
        guard let offset = scanner.zoneOffset(), scanner.isAtEnd else { return nil }
        self = .instant(Timestamp(microseconds: utc.microseconds - Int64(offset) * 1_000_000))
    }
}

/// Year, month, day and clock of an instant, in the proleptic Gregorian calendar.
package struct CivilTime: Sendable {
    package let year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int, microsecond: Int

    package init(_ instant: Timestamp, offsetSeconds: Int) {
        let local = instant.microseconds &+ Int64(offsetSeconds) * 1_000_000
        var (days, rest) = local.quotientAndRemainder(dividingBy: 86_400_000_000)
        if rest < 0 { (days, rest) = (days - 1, rest + 86_400_000_000) }
        (year, month, day) = Self.civil(fromDayNumber: days)
        hour = Int(rest / 3_600_000_000)
        minute = Int(rest / 60_000_000 % 60)
        second = Int(rest / 1_000_000 % 60)
        microsecond = Int(rest % 1_000_000)
    }

    package var date: String { "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))" }
    package var clock: String { "\(padded(hour, 2)):\(padded(minute, 2)):\(padded(second, 2))" }

    /// Days since 1970-01-01, by eras of 400 years that begin on 1 March.
    package static func dayNumber(_ year: Int, _ month: Int, _ day: Int) -> Int64 {
        let y = month <= 2 ? year - 1 : year
        let era = (y >= 0 ? y : y - 399) / 400
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return Int64(era * 146_097 + dayOfEra - 719_468)
    }

    package static func civil(fromDayNumber number: Int64) -> (Int, Int, Int) {
        let z = Int(number) + 719_468
        let era = (z >= 0 ? z : z - 146_096) / 146_097
        let dayOfEra = z - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shifted + 2) / 5 + 1
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    static func days(in month: Int, of year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

private struct TimeScanner {
    private var rest: ArraySlice<UInt8>

    init(_ text: String) { rest = Array(text.utf8)[...] }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    mutating func number(_ digits: Int) -> Int? {
        let field = rest.prefix(digits)
        guard field.count == digits, field.allSatisfy(Self.isDigit) else { return nil }
        rest.removeFirst(digits)
        return Self.value(field)
    }

    /// One to six digits, as microseconds.
    mutating func fraction() -> Int? {
        let digits = rest.prefix(while: Self.isDigit)
        guard (1...6).contains(digits.count) else { return nil }
        rest.removeFirst(digits.count)
        return (digits.count..<6).reduce(Self.value(digits)) { value, _ in value * 10 }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func value(_ digits: ArraySlice<UInt8>) -> Int { digits.reduce(0) { $0 * 10 + Int($1 - 0x30) } }

    /// "Z", "UTC", "+03", "-03:30", "+0330", as seconds east of Greenwich.
    mutating func zoneOffset() -> Int? {
        for name in ["Z", "UTC", "GMT", "z"] where rest.elementsEqual(name.utf8) {
            rest.removeFirst(rest.count)
            return 0
        }
        let sign: Int
        if skip("+") { sign = 1 } else if skip("-") { sign = -1 } else { return nil }
        guard let hours = number(2), hours <= 15 else { return nil }
        guard !isAtEnd else { return sign * hours * 3600 }
        _ = skip(":")
        guard let minutes = number(2), minutes < 60 else { return nil }
        return sign * (hours * 3600 + minutes * 60)
    }
}

func padded(_ value: Int, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
