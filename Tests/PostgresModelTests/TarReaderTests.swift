import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Writes archives as the test wants them, damaged ones too.
struct TarWriter {
    var bytes: [UInt8] = []

    static func octal(_ value: Int, _ width: Int) -> [UInt8] {
        let digits = String(value, radix: 8)
        return Array((String(repeating: "0", count: width - 1 - digits.count) + digits).utf8) + [0]
    }

    static func base256(_ value: Int) -> [UInt8] { [0x80, 0, 0, 0] + .bigEndian(UInt64(value)) }

    static func header(
        _ path: String, type: Character = "0", size: [UInt8] = octal(0, 12), mode: [UInt8] = octal(0o600, 8),
        modified: [UInt8] = octal(1_795_359_845, 12), link: String = "", prefix: String = ""
    ) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ value: some Collection<UInt8>, at offset: Int) {
            header.replaceSubrange(offset..<(offset + value.count), with: value)
        }
        put(path.utf8, at: 0)
        put(mode, at: 100)
        put(octal(26, 8), at: 108)
        put(octal(26, 8), at: 116)
        put(size, at: 124)
        put(modified, at: 136)
        put([type.asciiValue!], at: 156)
        put(link.utf8, at: 157)
        put("ustar\0".utf8, at: 257)
        put("00".utf8, at: 263)
        put(prefix.utf8, at: 345)
        return sealed(header)
    }

    /// With the checksum that its bytes have.
    static func sealed(_ header: [UInt8]) -> [UInt8] {
        var header = header
        header.replaceSubrange(148..<156, with: [UInt8](repeating: 0x20, count: 8))
        let sum = header.reduce(0) { $0 + Int($1) }
        header.replaceSubrange(148..<155, with: octal(sum, 7))
        return header
    }

    mutating func file(_ path: String, _ content: [UInt8]) {
        bytes += Self.header(path, size: Self.octal(content.count, 12)) + content
        bytes += [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }
}

/// What a reader said of an archive that came in pieces.
struct TarListing: Equatable {
    struct Item: Equatable {
        var entry: TarReader.Entry
        var content: [UInt8]
    }
    var items: [Item] = []
    var ended = 0

    /// `pieces` gives the length of the next piece.
    init(_ bytes: [UInt8], pieces: () -> Int) throws {
        var reader = TarReader()
        try bytes.raw { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let length = min(rest.count, pieces())
                var piece = UnsafeRawBufferPointer(rebasing: rest.prefix(length))[...]
                try take(&reader, &piece)
                rest = rest.dropFirst(length)
            }
        }
        isAtBoundary = reader.isAtBoundary
    }

    var isAtBoundary = false

    private mutating func take(_ reader: inout TarReader, _ piece: inout UnsafeRawBufferPointer.SubSequence) throws {
        while true {
            let before = piece
            switch try reader.next(&piece) {
            case .needsInput:
                #expect(piece.isEmpty)
                return
            case .begin(let entry): items.append(Item(entry: entry, content: []))
            case .content(let count):
                #expect(count > 0)
                items[items.count - 1].content += before.prefix(count)
            case .end:
                ended += 1
                #expect(items.last!.content.count == items.last!.entry.size)
            }
        }
    }
}

@Suite("A base backup's archive")
struct TarReaderTests {
    static func list(_ bytes: [UInt8]) throws -> TarListing { try TarListing(bytes) { 1 << 20 } }

    @Test("made by tar is read in pieces of any length", arguments: Seed.some(6))
    func real(seed: Seed) throws {
        var random = seed.generator
        try withScratchDirectory { root in
            let data = root.appending("data")
            try Directory.create(data.appending("base").appending("5"), permissions: 0o700)
            var contents: [String: [UInt8]] = [:]
            for size in [0, 1, 511, 512, 513, 1024, 8192, 70_001] {
                contents["base/5/\(size)"] = random.bytes(size)
            }
            let long = "base/" + String(repeating: "d", count: 90) + "/" + String(repeating: "f", count: 90)
            try Directory.create(data.appending(long).removingLastComponent(), permissions: 0o700)
            contents[long] = random.bytes(700)
            for (path, content) in contents { try SmallFile.write(content, to: data.appending(path), permissions: 0o640) }
            try Directory.link("/srv/space", at: data.appending("base/space"))
            let archive = root.appending("a.tar")
            _ = try Command("/usr/bin/tar", ["--format=ustar", "-C", data.string, "-cf", archive.string, "."]).run()

            let bytes = try #require(try SmallFile.read(archive))
            let whole = try Self.list(bytes)
            let files = whole.items.filter { $0.entry.kind == .file }
            #expect(Dictionary(uniqueKeysWithValues: files.map { ($0.entry.path, $0.content) }) == contents)
            #expect(files.allSatisfy { $0.entry.mode == 0o640 })
            #expect(whole.ended == contents.count)
            #expect(
                whole.items.contains { $0.entry.path == "base/space" && $0.entry.kind == .symbolicLink(target: "/srv/space") })
            #expect(whole.items.contains { $0.entry.path == "base/5" && $0.entry.kind == .directory && $0.entry.mode == 0o700 })
            #expect(whole.isAtBoundary)

            for most in [1, 7, 512, 5000] {
                #expect(try TarListing(bytes) { Int.random(in: 1...most, using: &random) } == whole)
            }
        }
    }

    @Test("gives each file's path, mode and time, the prefix of a long path included")
    func fields() throws {
        let bytes = TarWriter.header("5/1259", mode: TarWriter.octal(0o100640, 8), prefix: "base")
        let entry = try #require(try Self.list(bytes).items.first?.entry)
        #expect(entry.path == "base/5/1259")
        #expect(entry.kind == .file && entry.size == 0)
        #expect(entry.mode == 0o640)
        #expect(entry.modified == 1_795_359_845)
    }

    @Test("may end with blocks of zeros or without them", arguments: 0...3)
    func end(zeroBlocks: Int) throws {
        var writer = TarWriter()
        writer.file("PG_VERSION", Array("15\n".utf8))
        let listing = try Self.list(writer.bytes + [UInt8](repeating: 0, count: 512 * zeroBlocks))
        #expect(listing.items.map(\.content) == [Array("15\n".utf8)])
        #expect(listing.isAtBoundary)
    }

    @Test("that is cut off does not end at a boundary", arguments: [1, 511, 513, 514, 515, 1023])
    func cut(count: Int) throws {
        var writer = TarWriter()
        writer.file("PG_VERSION", Array("15\n".utf8))
        #expect(try !Self.list(Array(writer.bytes.prefix(count))).isAtBoundary)
    }

    @Test("may announce a file of more than 8 GiB, in base 256", arguments: [1 << 33, 1 << 40, Int.max])
    func large(size: Int) throws {
        let bytes = TarWriter.header("base/5/1", size: TarWriter.base256(size)) + [1, 2, 3]
        let items = try Self.list(bytes).items
        #expect(items.map(\.entry.size) == [size])
        #expect(items.map(\.content) == [[1, 2, 3]])
    }

    @Test(
        "is refused where a number in a header is none",
        arguments: [
            [0x80, 0, 0, 0] + .bigEndian(UInt64.max), [0x80, 1, 0, 0] + .bigEndian(UInt64(1)), Array("-0000000001\0".utf8),
            Array("+0000000001\0".utf8), Array("00000000008\0".utf8), Array("0x000000001\0".utf8),
            [UInt8](repeating: 0xFF, count: 12),
        ])
    func badNumber(size: [UInt8]) throws {
        let failure = try #require(throws: Failure.self) { try Self.list(TarWriter.header("a", size: size)) }
        #expect(failure.code == .protocolViolation)
    }

    @Test(
        "is refused where a path leads out of the data directory",
        arguments: ["../etc/passwd", "base/../../x", "..", "/etc/passwd", "./../x", "base/..", ".//etc/passwd"])
    func escapes(path: String) throws {
        let failure = try #require(throws: Failure.self) { try Self.list(TarWriter.header(path)) }
        #expect(failure.code == .protocolViolation)
        #expect(failure.message.contains("leads out"))
    }

    @Test("is refused where the prefix leads out of the data directory")
    func prefixEscapes() {
        #expect(throws: Failure.self) { try Self.list(TarWriter.header("x", prefix: "base/../..")) }
    }

    @Test("keeps names that only look like a way out", arguments: ["..x", "a..", "base/..5", "...", "a/.../b"])
    func lookalikes(path: String) throws {
        #expect(try Self.list(TarWriter.header(path)).items.map(\.entry.path) == [path])
    }

    @Test("is refused where an entry is of another type", arguments: ["1", "3", "4", "6", "7", "g", "x", "L"] as [Character])
    func types(type: Character) throws {
        let failure = try #require(throws: Failure.self) { try Self.list(TarWriter.header("a", type: type)) }
        #expect(failure.code == .protocolViolation)
    }

    @Test("is refused where any byte of a header is another", arguments: Seed.some(3))
    func flipped(seed: Seed) {
        var random = seed.generator
        let header = TarWriter.header("base/5/1259", size: TarWriter.octal(8192, 12))
        for place in header.indices where place != 155 {  // what follows the checksum's zero byte says nothing
            var damaged = header
            damaged[place] = damaged[place] &+ UInt8.random(in: 1...255, using: &random)
            #expect(throws: Failure.self, "byte \(place)") { try Self.list(damaged) }
        }
    }

    @Test("of random headers with the right checksum never ends the program", arguments: Seed.some(10))
    func fuzz(seed: Seed) {
        var random = seed.generator
        for _ in 0..<200 {
            var header = TarWriter.header("base/5/1259", size: TarWriter.octal(100, 12))
            for _ in 0..<Int.random(in: 1...40, using: &random) {
                header[Int.random(in: 0..<512, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let bytes = TarWriter.sealed(header) + random.bytes(2000)
            do {
                for item in try Self.list(bytes).items {
                    #expect(item.entry.size >= 0 && item.content.count <= item.entry.size && item.entry.mode <= 0o7777)
                    #expect(!item.entry.path.split(separator: "/").contains("..") && !item.entry.path.hasPrefix("/"))
                }
            } catch {
                let code = (error as? Failure)?.code
                #expect(code == .protocolViolation || code == .unsupported)
            }
        }
    }

    @Test("is refused where a name is not UTF-8, which would come back as another name")
    func otherEncoding() throws {
        var header = TarWriter.header("base/5/x")
        header[7] = 0xE9
        let failure = try #require(throws: Failure.self) { try Self.list(TarWriter.sealed(header)) }
        #expect(failure.code == .unsupported)
    }

    @Test("has files of before 1970 too, whose time is then that of 1970")
    func early() throws {
        let header = TarWriter.header("a", modified: [UInt8](repeating: 0xFF, count: 12))
        #expect(try Self.list(header).items.map(\.entry.modified) == [0])
    }
}
