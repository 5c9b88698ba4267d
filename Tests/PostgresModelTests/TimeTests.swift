import FoundationEssentials
import PostgresModel
import TestSupport
import Testing

@Suite("A time that a person types")
struct TimeTextTests {
    @Test(
        "is an instant where it has a zone",
        arguments: [
            ("2026-11-22 15:04:05.5+03", "2026-11-22T12:04:05.500000Z"), ("2026-11-22T15:04:05Z", "2026-11-22T15:04:05Z"),
            ("2026-11-22 15:04:05 UTC", "2026-11-22T15:04:05Z"), ("2026-11-22 15:04+00", "2026-11-22T15:04:00Z"),
            ("2026-11-22 15:04:05 GMT", "2026-11-22T15:04:05Z"), ("2026-11-22 15:04:05z", "2026-11-22T15:04:05Z"),
            ("2026-11-22 15:04:05-03:30", "2026-11-22T18:34:05Z"), ("2026-11-22 15:04:05+0545", "2026-11-22T09:19:05Z"),
            ("2026-11-22 15:04:05.000001-00", "2026-11-22T15:04:05.000001Z"), ("2027-01-01 00:30+01", "2026-12-31T23:30:00Z"),
            ("2026-12-31 23:30 -14", "2027-01-01T13:30:00Z"), ("2024-02-29 00:00:00Z", "2024-02-29T00:00:00Z"),
            ("2000-02-29 12:00Z", "2000-02-29T12:00:00Z"), ("1969-12-31 23:59:59Z", "1969-12-31T23:59:59Z"),
            ("0001-01-01 00:00Z", "0001-01-01T00:00:00Z"), ("9999-12-31 23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ])
    func instants(text: String, expected: String) {
        guard case .instant(let time)? = TimeText(text) else {
            Issue.record("\(text) is not an instant")
            return
        }
        #expect(time.description == expected)
    }

    @Test(
        "without a zone is kept apart, whatever its form",
        arguments: ["2026-11-22 15:04:05", "2026-11-22T15:04:05", "2026-11-22 15:04:05.000000"])
    func withoutZone(text: String) {
        #expect(TimeText(text) == .withoutZone(utc: Timestamp(seconds: 1_795_359_845)))
    }

    @Test(
        "is refused where it is no time",
        arguments: [
            "", "now", "yesterday", "2026-11-22", "2026-11-22 ", "15:04:05", "2026-11-22 15", "2026-11-22 15:",
            "2026-11-22 24:00Z",
            "2026-11-22 15:60Z", "2026-11-22 15:04:60Z", "2026-00-22 15:04Z", "2026-13-22 15:04Z", "2026-11-00 15:04Z",
            "2026-11-31 15:04Z", "2026-02-29 15:04Z", "1900-02-29 15:04Z", "2100-02-29 15:04Z", "26-11-22 15:04Z",
            "2026-1-2 15:04Z",
            "2026-11-22 15:04:05.Z", "2026-11-22 15:04:05.1234567Z", "2026-11-22 15:04:05+", "2026-11-22 15:04:05+3",
            "2026-11-22 15:04:05+16", "2026-11-22 15:04:05+03:60", "2026-11-22 15:04:05+03:0", "2026-11-22 15:04:05+03x",
            "2026-11-22 15:04:05 CET", "2026-11-22 15:04:05 Europe/Berlin", "2026-11-22  15:04:05Z", "2026-11-22 15:04:05Z ",
            "２０２６-11-22 15:04:05Z", "2026-11-22 15:04:05 ", "-026-11-22 15:04Z", "2026/11/22 15:04Z", "2026-11-22_15:04Z",
        ])
    func refuses(text: String) {
        #expect(TimeText(text) == nil)
    }

    @Test("that is random or damaged never ends the program", arguments: Seed.some(20))
    func fuzz(seed: Seed) {
        var random = seed.generator
        let models = ["2026-11-22 15:04:05.5+03", "2026-11-22T15:04:05Z", "2026-11-22 15:04:05 UTC"]
        for _ in 0..<300 {
            var text = Array(models.randomElement(using: &random)!.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0...text.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text.insert(UInt8.random(in: 0...255, using: &random), at: place)
                case 1 where place < text.count: text.remove(at: place)
                default: if place < text.count { text[place] = Array("0123456789-:+. TZ".utf8).randomElement(using: &random)! }
                }
            }
            // What is read is a time, so its own text is read again, as the same instant.
            if case .instant(let time)? = TimeText(String(decoding: text, as: UTF8.self)) {
                #expect(
                    TimeText(time.description) == .instant(time) || time.description.hasPrefix("0000")
                        || time.description.hasPrefix("-"))
            }
        }
    }
}

@Suite("An instant")
struct TimestampTests {
    static let noon = Timestamp(microseconds: 1_795_359_845_120_000)

    @Test("has one text for machines, one for PostgreSQL, one for people and one for names")
    func texts() {
        #expect(Self.noon.description == "2026-11-22T15:04:05.120000Z")
        #expect(Self.noon.postgresText == "2026-11-22 15:04:05.120000+00")
        #expect(Self.noon.shortText == "2026-11-22 15:04:05 UTC")
        #expect(Self.noon.compactText == "20261122T150405Z")
    }

    @Test("of PostgreSQL counts from the year 2000")
    func epoch() {
        #expect(Timestamp(postgres: 0).description == "2000-01-01T00:00:00Z")
        #expect(Timestamp(postgres: -1).description == "1999-12-31T23:59:59.999999Z")
        #expect(Timestamp(seconds: 0).description == "1970-01-01T00:00:00Z")
        #expect(Timestamp(seconds: 0).postgres == -946_684_800_000_000)
    }

    @Test("comes back from each of its texts, from PostgreSQL's count and from JSON", arguments: Seed.some(20))
    func roundTrip(seed: Seed) throws {
        var random = seed.generator
        for _ in 0..<100 {
            // From the year 1 to the year 9999.
            let time = Timestamp(
                microseconds: Int64.random(in: -62_135_596_800_000_000...253_402_300_799_999_999, using: &random))
            #expect(TimeText(time.description) == .instant(time))
            #expect(TimeText(time.postgresText) == .instant(time))
            #expect(Timestamp(postgres: time.postgres) == time)
            #expect(try JSONDecoder().decode([Timestamp].self, from: JSONEncoder().encode([time])) == [time])
        }
    }

    @Test("has the same date and clock as Foundation gives it", arguments: Seed.some(10))
    func calendar(seed: Seed) {
        var random = seed.generator
        let style = Date.ISO8601FormatStyle()
        for _ in 0..<100 {
            let seconds = Int64.random(in: -2_208_988_800...4_102_444_800, using: &random)  // 1900 to 2100
            #expect(Timestamp(seconds: seconds).description == Date(timeIntervalSince1970: Double(seconds)).formatted(style))
        }
    }

    @Test("sorts as its compact text does", arguments: Seed.some(5))
    func order(seed: Seed) {
        var random = seed.generator
        let times = (0..<100).map { _ in Timestamp(seconds: Int64.random(in: 0...4_102_444_800, using: &random)) }
        #expect(times.sorted().map(\.compactText) == times.map(\.compactText).sorted())
    }

    @Test("that is nonsense is still printed", arguments: [Int64.max, Int64.min, Int64.max - 1, Int64.min + 1, 0])
    func extremes(value: Int64) {
        for time in [Timestamp(microseconds: value), Timestamp(postgres: value)] {
            #expect(!time.description.isEmpty && !time.postgresText.isEmpty)
            #expect(Timestamp(postgres: time.postgres) == time)
            #expect((time - Self.noon).isFinite)
        }
    }

    @Test("minus another is seconds")
    func difference() {
        #expect(Self.noon - Timestamp(microseconds: 1_795_359_844_000_000) == 1.12)
    }

    @Test(
        "in another zone has that zone's date and clock",
        arguments: [
            (3600 * 10, "2026-11-23", "01:04:05"), (-3600 * 16, "2026-11-21", "23:04:05"), (5400, "2026-11-22", "16:34:05"),
        ])
    func zones(offset: Int, date: String, clock: String) {
        let local = CivilTime(Self.noon, offsetSeconds: offset)
        #expect((local.date, local.clock) == (date, clock))
    }
}
