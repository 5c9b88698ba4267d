/// Bytes for what reads from raw memory.
extension [UInt8] {
    /// Shows the bytes at an odd address, as they lie in a message that came from the network.
    func raw<Value>(_ body: (UnsafeRawBufferPointer) throws -> Value) rethrows -> Value {
        try ([0xFF] + self).withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0.dropFirst())) }
    }

    static func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] { Swift.withUnsafeBytes(of: value.bigEndian) { Array($0) } }
    static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
        Swift.withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    /// From hexadecimal digits.
    init(hex: String) {
        let digits = Array<Character>(hex.filter { !$0.isWhitespace })
        self = stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...($0 + 1)]), radix: 16)! }
    }
}
