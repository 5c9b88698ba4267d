import PostgresModel
import Storage
import TestSupport
import Testing

@Suite("Compression")
struct CompressionTests {
    /// Content of all kinds: none, noise, zeros, text, a mix.
    static func content(_ random: inout SeededGenerator) -> [UInt8] {
        let count = [0, 1, 100, 8192, 131_072, 131_073, 400_000].randomElement(using: &random)!
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return random.bytes(count)
        case 1: return [UInt8](repeating: 0, count: count)
        case 2: return random.bytes(count).map { $0 & 3 }
        default: return random.bytes(count / 2) + [UInt8](repeating: 7, count: count - count / 2)
        }
    }

    static func frame(_ content: [UInt8], level: Int = 3) throws -> [UInt8] {
        var target = [UInt8](repeating: 0, count: Compressor.bound(content.count))
        let count = try content.withUnsafeBytes { source in
            try target.withUnsafeMutableBytes { try Compressor(CompressionLevel(level)!).compress(source, into: $0) }
        }
        return Array(target[..<count])
    }

    static func content(of frame: [UInt8], count: Int) throws -> [UInt8] {
        var target = [UInt8](repeating: 0, count: count)
        try frame.withUnsafeBytes { source in
            try target.withUnsafeMutableBytes { try Decompressor().decompress(source, into: $0) }
        }
        return target
    }

    /// `pieces` gives the length of the next piece that goes in.
    static func stream(_ content: [UInt8], level: Int = 3, pieces: () -> Int = { 1 << 20 }) throws -> [UInt8] {
        let compressor = try Compressor(CompressionLevel(level)!)
        var stored: [UInt8] = []
        try content.withUnsafeBytes { content in
            var rest = content[...]
            while !rest.isEmpty {
                let piece = rest.prefix(pieces())
                try compressor.stream(UnsafeRawBufferPointer(rebasing: piece), .more) { stored += $0 }
                rest = rest.dropFirst(piece.count)
            }
        }
        try compressor.stream(UnsafeRawBufferPointer(start: nil, count: 0), .finish) { stored += $0 }
        return stored
    }

    static func content(ofStream stored: [UInt8], pieces: () -> Int = { 1 << 20 }) throws -> [UInt8] {
        var rest = stored[...]
        var content: [UInt8] = []
        try Decompressor().stream(
            input: { buffer in
                let piece = rest.prefix(min(pieces(), buffer.count))
                buffer.copyBytes(from: piece)
                rest = rest.dropFirst(piece.count)
                return piece.count
            }, output: { content += $0 })
        return content
    }

    @Test("of a buffer is undone", arguments: Seed.some(20))
    func frames(seed: Seed) throws {
        var random = seed.generator
        let content = Self.content(&random)
        let frame = try Self.frame(content, level: Int.random(in: 1...19, using: &random))
        #expect(frame.count <= Compressor.bound(content.count))
        #expect(try Self.content(of: frame, count: content.count) == content)
    }

    @Test("of a stream is undone, whatever the pieces", arguments: Seed.some(20))
    func streams(seed: Seed) throws {
        var random = seed.generator
        let content = Self.content(&random)
        let most = [1, 100, 1 << 20].randomElement(using: &random)! + content.count / 1000
        let stored = try Self.stream(content) { Int.random(in: 1...most, using: &random) }
        #expect(try Self.content(ofStream: stored) { Int.random(in: 1...most, using: &random) } == content)
    }

    @Test("makes one compressor's frames independent of each other")
    func reuse() throws {
        let compressor = try Compressor(.standard)
        var stored: [[UInt8]] = []
        for text in ["first", "second"] {
            var frame: [UInt8] = []
            try Array(text.utf8).withUnsafeBytes { try compressor.stream($0, .finish) { frame += $0 } }
            stored.append(frame)
        }
        #expect(try stored.map { try Self.content(ofStream: $0) } == [Array("first".utf8), Array("second".utf8)])
    }

    @Test("of a stream that was cut off anywhere is damaged, not short")
    func truncatedStream() throws {
        let stored = try Self.stream(Array(repeating: Array("some text ".utf8), count: 50).flatMap(\.self))
        for count in stored.indices {
            let failure = try #require(throws: Failure.self) { try Self.content(ofStream: Array(stored.prefix(count))) }
            #expect(failure.code == .damaged)
        }
    }

    @Test("of a stream with anything behind its end is damaged")
    func trailing() throws {
        let stored = try Self.stream([1, 2, 3])
        let failure = try #require(throws: Failure.self) { try Self.content(ofStream: stored + [0]) }
        #expect(failure.code == .damaged)
    }

    @Test("notices every changed byte of what it stored", arguments: Seed.some(3))
    func flipped(seed: Seed) throws {
        var random = seed.generator
        let content = random.bytes(300) + [UInt8](repeating: 5, count: 300)
        for stored in [try Self.frame(content), try Self.stream(content)] {
            for place in stored.indices {
                var damaged = stored
                damaged[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                // A bit of the header that says nothing may change; then the content is still the same.
                let whole = try? Self.content(of: damaged, count: content.count)
                #expect(whole == nil || whole == content, "byte \(place)")
                let streamed = try? Self.content(ofStream: damaged)
                #expect(streamed == nil || streamed == content, "byte \(place)")
            }
        }
    }

    @Test("of a buffer is undone only to the length it had", arguments: [0, 1, 99, 101, 5000])
    func wrongLength(count: Int) throws {
        let frame = try Self.frame([UInt8](repeating: 1, count: 100))
        let failure = try #require(throws: Failure.self) { try Self.content(of: frame, count: count) }
        #expect(failure.code == .damaged)
    }

    @Test("of random bytes is damaged, never a crash", arguments: Seed.some(10))
    func fuzz(seed: Seed) {
        var random = seed.generator
        for _ in 0..<50 {
            let bytes =
                [0x28, 0xB5, 0x2F, 0xFD].prefix(Int.random(in: 0...4, using: &random))
                + random.bytes(Int.random(in: 1...500, using: &random))
            do { _ = try Self.content(ofStream: Array(bytes)) } catch { #expect((error as? Failure)?.code == .damaged) }
            do { _ = try Self.content(of: Array(bytes), count: 1000) } catch { #expect((error as? Failure)?.code == .damaged) }
        }
    }

    @Test("has levels from 1 to 19", arguments: [(0, false), (1, true), (3, true), (19, true), (20, false), (-1, false)])
    func levels(level: Int, isOne: Bool) {
        #expect((CompressionLevel(level) != nil) == isOne)
    }
}
