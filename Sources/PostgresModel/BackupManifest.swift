/// The server's backup_manifest, read one line at a time so that its size does not matter
/// (PostgreSQL documentation: chapter 71; src/backend/backup/backup_manifest.c writes one file per line).
package struct BackupManifest {
    package struct File: Equatable, Sendable {
        package let path: String
        package let size: Int
        /// CRC-32C, where the manifest was asked for that.
        package let checksum: UInt32?
    }

    /// The file of a line, or nil where the line is about something else.
    package static func file(line: some Collection<UInt8>) throws -> File? {
        var scanner = JSONLine(line)
        guard scanner.skip("{"), let first = scanner.string(), first == "Path" || first == "Encoded-Path", scanner.skip(":"),
            let name = scanner.string()
        else { return nil }
        var size: Int?
        var algorithm: String?
        var checksum: String?
        while scanner.skip(",") {
            guard let key = scanner.string(), scanner.skip(":") else { break }
            switch key {
            case "Size": size = scanner.number()
            case "Checksum-Algorithm": algorithm = scanner.string()
            case "Checksum": checksum = scanner.string()
            default: _ = scanner.string()
            }
        }
        guard scanner.skip("}"), let size else {
            let text = String(decoding: line, as: UTF8.self)
            throw Failure(.damaged, "could not read the backup manifest: unexpected line \"\(text)\"")
        }
        let path = first == "Path" ? name : try decoded(name)
        return File(path: path, size: size, checksum: algorithm == "CRC32C" ? try checksum.map(crc) : nil)
    }

    private static func decoded(_ hex: String) throws -> String {
        let digits = Array(hex.utf8)
        let bytes = stride(from: 0, to: digits.count - 1, by: 2).compactMap { i in
            UInt8(String(decoding: digits[i...(i + 1)], as: UTF8.self), radix: 16)
        }
        guard bytes.count * 2 == digits.count, digits.allSatisfy(\.isHexDigit) else {
            throw Failure(.damaged, "could not read the backup manifest: \"\(hex)\" is not an encoded path")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The manifest prints the checksum's bytes as they lie in memory, on every machine we run on the low one first.
    private static func crc(_ hex: String) throws -> UInt32 {
        guard hex.utf8.count == 8, hex.utf8.allSatisfy(\.isHexDigit), let value = UInt32(hex, radix: 16) else {
            throw Failure(.damaged, "could not read the backup manifest: \"\(hex)\" is not a CRC-32C")
        }
        return value.byteSwapped
    }
}

/// Just enough JSON for one line of known shape.
private struct JSONLine {
    private var rest: [UInt8].SubSequence

    init(_ line: some Collection<UInt8>) { rest = Array(line)[...] }

    private mutating func skipSpace() { rest = rest.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D || $0 == 0x0A } }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    mutating func number() -> Int? {
        skipSpace()
        let digits = rest.prefix { (0x30...0x39).contains($0) }
        rest = rest.dropFirst(digits.count)
        return Int(String(decoding: digits, as: UTF8.self))
    }

    mutating func string() -> String? {
        guard skip("\"") else { return nil }
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: bytes, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let escaped = escape() else { return nil }
                bytes.append(contentsOf: escaped)
            default: bytes.append(byte)
            }
        }
        return nil
    }

    private mutating func escape() -> [UInt8]? {
        switch rest.popFirst() {
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "u"):
            let digits = rest.prefix(4)
            rest = rest.dropFirst(4)
            guard digits.count == 4, let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16),
                let scalar = Unicode.Scalar(value)
            else { return nil }
            return Array(String(Character(scalar)).utf8)
        case let other?: return [other]
        case nil: return nil
        }
    }
}
