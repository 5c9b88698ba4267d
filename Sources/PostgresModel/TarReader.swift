/// Reads the tar archives of a base backup as their bytes arrive, in pieces of any length
/// (PostgreSQL: src/port/tar.c, tarCreateHeader; the ustar format of POSIX).
///
/// A state machine without I/O: feed it bytes with `next`, act on the event, feed it the rest.
package struct TarReader: Sendable {
    package struct Entry: Equatable, Sendable {
        package enum Kind: Equatable, Sendable { case file, directory, symbolicLink(target: String) }
        package var path: String
        package var kind: Kind
        package var size: Int
        package var mode: UInt32
        package var modified: Int64

        package init(path: String, kind: Kind, size: Int, mode: UInt32, modified: Int64) {
            self.path = path
            self.kind = kind
            self.size = size
            self.mode = mode
            self.modified = modified
        }
    }

    package enum Event: Equatable, Sendable {
        /// All input is used up.
        case needsInput
        case begin(Entry)
        /// The next `count` bytes of the input belong to the file that began last.
        case content(count: Int)
        /// The file that began last is complete.
        case end
    }

    private enum State: Equatable { case header, content(left: Int, padding: Int), padding(left: Int), end(padding: Int) }

    private static let blockSize = 512
    private var state = State.header
    private var header: [UInt8] = []

    package init() {}

    /// True between entries, where an archive may end.
    package var isAtBoundary: Bool { state == .header && header.isEmpty }

    /// Consumes input from its front and says what it was.
    package mutating func next(_ input: inout UnsafeRawBufferPointer.SubSequence) throws -> Event {
        while true {
            switch state {
            case .end(let padding):
                state = padding > 0 ? .padding(left: padding) : .header
                return .end
            case .content(let left, let padding):
                guard !input.isEmpty else { return .needsInput }
                let count = min(left, input.count)
                state = count < left ? .content(left: left - count, padding: padding) : .end(padding: padding)
                input = input.dropFirst(count)
                return .content(count: count)
            case .padding(let left):
                guard !input.isEmpty else { return .needsInput }
                let count = min(left, input.count)
                input = input.dropFirst(count)
                state = count < left ? .padding(left: left - count) : .header
            case .header:
                guard !input.isEmpty else { return .needsInput }
                let count = min(Self.blockSize - header.count, input.count)
                header.append(contentsOf: input.prefix(count))
                input = input.dropFirst(count)
                guard header.count == Self.blockSize else { return .needsInput }
                defer { header.removeAll(keepingCapacity: true) }
                if header.allSatisfy({ $0 == 0 }) { continue }  // the end of the archive, in versions that send it
                let entry = try Self.entry(header)
                if entry.kind == .file {
                    let padding = (Self.blockSize - entry.size % Self.blockSize) % Self.blockSize
                    state = entry.size > 0 ? .content(left: entry.size, padding: padding) : .end(padding: 0)
                }
                return .begin(entry)
            }
        }
    }

    private static func entry(_ header: [UInt8]) throws -> Entry {
        func damaged(_ what: String) -> Failure {
            Failure(.protocolViolation, "could not read the base backup's archive: \(what)")
        }
        func text(_ range: Range<Int>) -> String { String(decoding: header[range].prefix { $0 != 0 }, as: UTF8.self) }
        guard let stored = number(header[148..<156]) else { throw damaged("no checksum in a header") }
        let sum = header.enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element)) }
        guard stored == sum else { throw damaged("a header's checksum is \(stored) where its bytes give \(sum)") }
        guard let size = number(header[124..<136]), let mode = number(header[100..<108])
        else { throw damaged("a header with unreadable numbers") }
        // Nothing depends on it, so a time before 1970, which the format has no number for, is no reason to fail.
        let modified = number(header[136..<148]) ?? 0
        let prefix = text(345..<500)
        var path = prefix.isEmpty ? text(0..<100) : prefix + "/" + text(0..<100)
        if path.hasPrefix("./") { path.removeFirst(2) }
        while path.hasSuffix("/") { path.removeLast() }
        guard !path.unicodeScalars.contains("\u{FFFD}") else {
            throw Failure(
                .unsupported, "could not back up \"\(path)\": its name is not UTF-8",
                hint: "Rename it, or move it out of the data directory.")
        }
        guard path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy({ $0 != ".." }), !path.hasPrefix("/")
        else { throw damaged("path \"\(path)\" leads out of the data directory") }
        let kind: Entry.Kind
        switch header[156] {
        case UInt8(ascii: "0"), 0: kind = .file
        case UInt8(ascii: "5"): kind = .directory
        case UInt8(ascii: "2"): kind = .symbolicLink(target: text(157..<257))
        default: throw damaged("entry \"\(path)\" has the unknown type \(header[156])")
        }
        return Entry(
            path: path, kind: kind, size: kind == .file ? size : 0, mode: UInt32(mode & 0o7777), modified: Int64(modified))
    }

    /// Octal digits, or for large values GNU's base-256 with the top bit set (PostgreSQL: read_tar_number).
    private static func number(_ field: ArraySlice<UInt8>) -> Int? {
        guard let first = field.first else { return nil }
        if first == 0x80 {
            guard field.dropFirst().dropLast(8).allSatisfy({ $0 == 0 }) else { return nil }
            let value = field.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return Int(exactly: value)
        }
        let digits = field.drop { $0 == 0x20 }.prefix { $0 != 0 && $0 != 0x20 }
        guard digits.allSatisfy({ (0x30...0x37).contains($0) }) else { return nil }
        return digits.reduce(0) { $0 << 3 | Int($1 - 0x30) }
    }
}
