/// The number that initdb gives a database system; a primary, its standbys and its backups share it.
package struct SystemIdentifier: RawRepresentable, Hashable, Sendable, CustomStringConvertible, Codable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package init?(_ text: String) {
        guard let value = UInt64(text), value > 0 else { return nil }
        rawValue = value
    }

    package var description: String { String(rawValue) }

    /// A string in JSON: it does not fit the 53 bits that many readers keep of a number.
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let value = SystemIdentifier(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "\(text) is not a system identifier"))
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
