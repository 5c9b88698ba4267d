import FoundationEssentials
import PostgresModel
import Storage
import SystemPackage

/// Small JSON records, written so that a crash leaves the old one or the new one.
enum Record {
    static func read<Value: Decodable>(_ path: FilePath) throws -> Value? {
        guard let bytes = try SmallFile.read(path) else { return nil }
        return try decoding(path) { try JSONDecoder().decode(Value.self, from: Data(bytes)) }
    }

    static func write(_ value: some Encodable, to path: FilePath) throws {
        try SmallFile.write(try bytes(value), to: path, permissions: Repository.filePermissions)
    }

    private static func bytes(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
    }

    private static func decoding<Value>(_ path: FilePath, _ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch {
            throw Failure(.damaged, "could not read \(path): it is not the record it should be", details: ["\(error)"])
        }
    }

    // MARK: With a seal

    /// The field with the CRC of the whole text, in which these digits themselves count as zeros. Whatever was changed in
    /// the text, it shows: also where the text is still JSON.
    private static let seal = "record_crc32c"
    private static let blankSeal = "00000000"

    /// As `read`, and a record whose seal is missing or does not fit is damaged.
    static func readSealed<Value: JSONReadable>(_ path: FilePath) throws -> Value? {
        guard let bytes = try SmallFile.read(path) else { return nil }
        return try decoding(path) {
            let document = try JSONDocument(bytes)
            guard let place = document.place(ofString: seal) else { throw JSONDamage("it has no \(seal)") }
            guard bytes[place].elementsEqual(sealed(bytes, at: place)) else { throw JSONDamage("its \(seal) is wrong") }
            return try document.read(Value.self)
        }
    }

    /// The text of a record with its seal.
    static func sealedBytes(_ value: some Encodable) throws -> [UInt8] {
        var bytes = try bytes(Sealed(content: value))
        guard let place = try JSONDocument(bytes).place(ofString: seal) else { throw JSONDamage("it has no \(seal)") }
        bytes.replaceSubrange(place, with: sealed(bytes, at: place))
        return bytes
    }

    /// The digits that belong at `place` of a text.
    private static func sealed(_ bytes: [UInt8], at place: Range<Int>) -> String.UTF8View {
        var crc = CRC32C()
        bytes.withUnsafeBytes { bytes in
            crc.add(UnsafeRawBufferPointer(rebasing: bytes[..<place.lowerBound]))
            var blank = blankSeal
            blank.withUTF8 { crc.add(UnsafeRawBufferPointer($0)) }
            crc.add(UnsafeRawBufferPointer(rebasing: bytes[place.upperBound...]))
        }
        return hexadecimal(crc.value).lowercased().utf8
    }

    /// Adds the seal, blank, beside the fields of the content.
    private struct Sealed<Content: Encodable>: Encodable {
        let content: Content

        private enum Key: String, CodingKey { case seal = "record_crc32c" }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(blankSeal, forKey: .seal)
            try content.encode(to: encoder)
        }
    }
}
