import PostgresModel

extension CronExpression {
    /// Why a text is no expression.
    package struct Problem: Error, Equatable {
        package let reason: String
    }

    package init(_ text: String) throws(Problem) {
        var words = text.split { $0 == " " || $0 == "\t" }.map(String.init)
        if words.count == 1, words[0].hasPrefix("@") { words = try Self.named(words[0]) }
        guard words.count == 5 else {
            throw Problem(reason: "it has \(counted(words.count, "field")), not minute, hour, day, month and weekday")
        }
        let parsers = FieldParser.all
        let (minute, minutes) = try parsers[0].parse(words[0]), (hour, hours) = try parsers[1].parse(words[1])
        let (day, days) = try parsers[2].parse(words[2]), (month, months) = try parsers[3].parse(words[3])
        let (weekday, weekdays) = try parsers[4].parse(words[4])
        self.text = text.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
        line = [minute, hour, day, month, weekday].joined(separator: " ")
        (self.minutes, self.hours, self.days, self.months, self.weekdays) = (minutes, hours, days, months, weekdays)
        guard next(after: Timestamp(seconds: 0), offset: { _ in 0 }) != nil else {
            throw Problem(reason: "there never is such a day")
        }
    }

    private static func named(_ name: String) throws(Problem) -> [String] {
        let known = [
            "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
            "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
        ]
        if let fields = known[name.lowercased()] { return fields.split(separator: " ").map(String.init) }
        throw Problem(reason: "\"\(name)\" is none of \(known.keys.sorted().joined(separator: ", "))")
    }

    /// One of the five fields: a list of "*", numbers, names and ranges, each with a step or without.
    private struct FieldParser {
        let name: String
        let range: ClosedRange<Int>
        var names: [String] = []

        static let all = [
            FieldParser(name: "minute", range: 0...59), FieldParser(name: "hour", range: 0...23),
            FieldParser(name: "day", range: 1...31), FieldParser(name: "month", range: 1...12, names: monthNames),
            FieldParser(name: "weekday", range: 0...7, names: weekdayNames),
        ]

        /// The field with numbers for names, and what it stands for.
        func parse(_ text: String) throws(Problem) -> (String, Field) {
            var values: Set<Int> = [], items: [String] = []
            for item in text.split(separator: ",", omittingEmptySubsequences: false) {
                let (written, found) = try element(String(item))
                items.append(written)
                values.formUnion(found)
            }
            if range.upperBound == 7, values.remove(7) != nil { values.insert(0) }
            return (items.joined(separator: ","), Field(values: values, isStarred: text.hasPrefix("*")))
        }

        private func element(_ item: String) throws(Problem) -> (String, [Int]) {
            let parts = item.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let (written, bounds) = try span(parts[0])
            guard parts.count == 2 else { return (written, Array(bounds)) }
            guard let step = Self.number(parts[1]), step > 0, step <= range.upperBound else {
                throw Problem(reason: "the step \"\(parts[1])\" of the \(name) is not from 1 to \(range.upperBound)")
            }
            // Of one number, as in 5/15, some crons take steps and others do not.
            guard bounds.count > 1 || written.contains("-") else {
                throw Problem(reason: "a step needs a range: \(written)-\(range.upperBound)/\(step)")
            }
            return ("\(written)/\(step)", Array(stride(from: bounds.lowerBound, through: bounds.upperBound, by: step)))
        }

        private func span(_ text: String) throws(Problem) -> (String, ClosedRange<Int>) {
            if text == "*" { return ("*", range.lowerBound...(range.upperBound == 7 ? 6 : range.upperBound)) }
            let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let first = try value(ends[0])
            guard ends.count == 2 else { return ("\(first)", first...first) }
            let last = try value(ends[1])
            guard first <= last else {
                throw Problem(reason: "the range \"\(text)\" of the \(name) ends before it begins")
            }
            return ("\(first)-\(last)", first...last)
        }

        private func value(_ text: String) throws(Problem) -> Int {
            if let index = names.firstIndex(where: { $0.lowercased() == text.lowercased() }) { return range.lowerBound + index }
            if let number = Self.number(text), range.contains(number) { return number }
            let example = names.isEmpty ? "" : ", nor a name such as \(names[1])"
            throw Problem(
                reason: "the \(name) \"\(text)\" is not a number from \(range.lowerBound) to \(range.upperBound)\(example)")
        }

        private static func number(_ text: String) -> Int? {
            guard (1...4).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            return Int(text)
        }
    }
}
