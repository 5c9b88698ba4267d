/// A span of time as a cluster file says it: a whole number and its unit, "26h" or "7d".
package enum DurationText {
    /// Nil where `text` is no span of time longer than nothing.
    package static func seconds(_ text: String) -> Double? {
        let digits = text.prefix { ("0"..."9").contains($0) }
        let units = ["s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604_800]
        let unit = text.dropFirst(digits.count).drop { $0 == " " }
        guard let number = Int(digits), (1...1_000_000).contains(number), let factor = units[String(unit)] else { return nil }
        return Double(number * factor)
    }
}
