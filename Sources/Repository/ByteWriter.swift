import PostgresModel

/// Builds little-endian records.
struct ByteWriter {
    private(set) var bytes: [UInt8] = []

    mutating func bytes(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

    mutating func integer(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Unsigned LEB128: seven bits a byte, low ones first, the top bit says that more follow.
    mutating func variable(_ value: Int) {
        var rest = UInt64(value)
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func text(_ text: String) {
        variable(text.utf8.count)
        bytes(text.utf8)
    }

    mutating func clear() { bytes.removeAll(keepingCapacity: true) }
}

/// Reads what `ByteWriter` writes. Nil wherever the bytes end before the value does.
struct ByteScanner {
    let bytes: UnsafeRawBufferPointer
    var position: Int

    mutating func bytes(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, count <= bytes.count - position else { return nil }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<(position + count)])
    }

    mutating func byte() -> UInt8? {
        guard position < bytes.count else { return nil }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func variable() -> Int? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let byte = byte(), shift < 63 {
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return Int(exactly: value) }
            shift += 7
        }
        return nil
    }

    mutating func integer() -> UInt32? { bytes(4).map { $0.littleEndian(at: 0) } }

    mutating func text() -> String? { variable().flatMap { bytes($0) }.map { String(decoding: $0, as: UTF8.self) } }
}
