/// A position in the WAL: the byte address that PostgreSQL calls XLogRecPtr and prints as two hexadecimal halves.
///
/// Ends are exclusive: the LSN of "everything up to here" is that of the first byte that is not included.
package struct LSN: RawRepresentable, Hashable, Comparable, Sendable {
    package var rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Parses "0/3000168" (PostgreSQL: src/backend/utils/adt/pg_lsn.c, pg_lsn_in_internal: 1 to 8 digits a side).
    package init?(_ text: some StringProtocol) {
        var high: UInt64?
        var half: UInt64 = 0
        var digits = 0
        for byte in text.utf8 {
            if byte == UInt8(ascii: "/"), high == nil, digits > 0 {
                (high, half, digits) = (half, 0, 0)
            } else {
                guard let digit = byte.hexDigit, digits < 8 else { return nil }
                half = half << 4 | UInt64(digit)
                digits += 1
            }
        }
        guard let high, digits > 0 else { return nil }
        rawValue = high << 32 | half
    }

    package static let zero = LSN(rawValue: 0)

    package static func < (a: LSN, b: LSN) -> Bool { a.rawValue < b.rawValue }
    package static func + (a: LSN, bytes: Int) -> LSN { LSN(rawValue: a.rawValue + UInt64(bytes)) }
    /// The number of bytes from `b` to `a`; negative where `a` lies before `b`.
    package static func - (a: LSN, b: LSN) -> Int { Int(Int64(bitPattern: a.rawValue &- b.rawValue)) }
}

extension LSN: CustomStringConvertible {
    package var description: String {
        let high = String(rawValue >> 32, radix: 16, uppercase: true)
        let low = String(rawValue & 0xFFFF_FFFF, radix: 16, uppercase: true)
        return "\(high)/\(low)"
    }
}

extension LSN: Codable {
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let lsn = LSN(text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "\(text) is not an LSN"))
        }
        self = lsn
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension UInt8 {
    /// The value of a hexadecimal digit, nil where it is none.
    package var hexDigit: UInt8? {
        switch self {
        case 0x30...0x39: self - 0x30
        case 0x41...0x46: self - 0x41 + 10
        case 0x61...0x66: self - 0x61 + 10
        default: nil
        }
    }

    package var isHexDigit: Bool { hexDigit != nil }
}
