/// An amount of bytes, printed with a binary unit.
package struct ByteCount: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    package let rawValue: Int

    package init(rawValue: Int) { self.rawValue = rawValue }
    package init(_ value: Int) { rawValue = value }

    package static func < (a: ByteCount, b: ByteCount) -> Bool { a.rawValue < b.rawValue }
    package static func + (a: ByteCount, b: ByteCount) -> ByteCount { ByteCount(a.rawValue + b.rawValue) }

    /// "512 B", "37.7 MiB": one decimal below 100.
    package var description: String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var value = Double(rawValue.magnitude)
        var unit = 0
        while value >= 1024, unit + 1 < units.count {
            value /= 1024
            unit += 1
        }
        let sign = rawValue < 0 ? "-" : ""
        return sign + (unit == 0 || value >= 99.95 ? String(Int(value.rounded())) : decimal(value, places: 1)) + " " + units[unit]
    }

    /// Parses "20GB", "512 MiB", "1073741824": PostgreSQL's units, which are binary whatever their spelling.
    package init?(_ text: String) {
        let digits = text.prefix { $0.isNumber }
        let unit = text.dropFirst(digits.count).trimmingPrefix(while: \.isWhitespace)
        let factors = ["": 0, "b": 0, "kb": 10, "kib": 10, "mb": 20, "mib": 20, "gb": 30, "gib": 30, "tb": 40, "tib": 40]
        guard let number = Int(digits), let shift = factors[unit.lowercased()], number <= Int.max >> shift else { return nil }
        rawValue = number << shift
    }
}

/// A number with a fixed count of decimals, without a locale.
package func decimal(_ value: Double, places: Int) -> String {
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = Int64((value.magnitude * scale).rounded())
    let whole = scaled / Int64(scale)
    let sign = value < 0 && scaled != 0 ? "-" : ""
    guard places > 0 else { return sign + String(whole) }
    let fraction = String(scaled % Int64(scale))
    return sign + "\(whole)." + String(repeating: "0", count: places - fraction.count) + fraction
}
