/// The header of a tar archive's entry, as PostgreSQL writes it (src/port/tar.c, tarCreateHeader; the ustar format of POSIX).
package struct TarHeader {
    package static let blockSize = 512
    /// Two blocks of zeros end an archive.
    package static let end = [UInt8](repeating: 0, count: 2 * blockSize)
    private static let longestName = 99
    /// What eleven octal digits can say. PostgreSQL's files are segments of 1 GiB.
    private static let largestSize = (1 << 33) - 1

    /// The header's bytes. A file's content follows, filled up with zeros to a multiple of `blockSize`.
    package static func bytes(_ entry: TarReader.Entry) throws -> [UInt8] {
        var header = [UInt8](repeating: 0, count: blockSize)
        func put(_ text: String, _ offset: Int) { header.replaceSubrange(offset..<(offset + text.utf8.count), with: text.utf8) }
        func put(_ value: Int, _ offset: Int, _ width: Int) {
            let digits = String(value, radix: 8)
            put(String(repeating: "0", count: width - 1 - digits.count) + digits, offset)
        }
        var path = entry.path
        var link = ""
        let type: Character
        switch entry.kind {
        case .file: type = "0"
        case .directory:
            type = "5"
            path += "/"
        case .symbolicLink(let target):
            type = "2"
            link = target
        }
        for name in [path, link] where name.utf8.count > longestName {
            throw Failure(.unsupported, "could not put \"\(name)\" into a tar archive: it is longer than \(longestName) bytes")
        }
        guard entry.size <= largestSize else {
            throw Failure(.unsupported, "could not put \"\(path)\" into a tar archive: it is larger than 8 GiB")
        }
        put(path, 0)
        put(Int(entry.mode), 100, 8)
        put(0, 108, 8)
        put(0, 116, 8)
        put(entry.kind == .file ? entry.size : 0, 124, 12)
        put(Int(max(0, entry.modified)), 136, 12)
        put("        ", 148)
        put(String(type), 156)
        put(link, 157)
        put("ustar\u{0}00", 257)
        put("postgres", 265)
        put("postgres", 297)
        put(0, 329, 8)
        put(0, 337, 8)
        put(header.reduce(0) { $0 + Int($1) }, 148, 7)
        return header
    }

    /// The zeros that follow a file's content.
    package static func padding(ofSize size: Int) -> Int { (blockSize - size % blockSize) % blockSize }
}
