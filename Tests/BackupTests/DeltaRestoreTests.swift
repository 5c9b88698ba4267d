import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A restore into a directory with content")
struct DeltaRestoreTests {
    typealias Content = RepositoryExample.Content

    static let sizes = [0, 1, 8191, 8192, 8193, 40_000, 10 * 8192, 70 * 8192, Frame.capacity * 2 + 5]

    static func contents(_ random: inout SeededGenerator) -> [Content] {
        (sizes + sizes).enumerated().map { Content("base/5/\($0)", random.bytes($1)) } + [RestoreExample.control]
    }

    /// The bytes of blocks that are not in place: other ones, and those that are not all there.
    static func wrongBytes(_ found: [UInt8]?, _ expected: [UInt8]) -> Int {
        stride(from: 0, to: expected.count, by: 8192).reduce(0) { sum, start in
            let end = min(start + 8192, expected.count)
            let isRight = found.map { $0.count >= end && $0[start..<end] == expected[start..<end] } ?? false
            return sum + (isRight ? 0 : end - start)
        }
    }

    /// A restored directory, and what a restore makes of the same backup elsewhere.
    static func with(
        _ seed: Seed,
        _ body: (RepositoryExample, BackupRecord, [Content], [String: RestoreExample.Found], inout SeededGenerator) throws -> Void
    ) throws {
        var random = seed.generator
        try RepositoryExample.with { example in
            let contents = contents(&random)
            let record = try RestoreExample.backup(example, contents)
            _ = try RestoreExample.restore(example, record)
            let expected = try RestoreExample.tree(RestoreExample.data(example))
            try body(example, record, contents, expected, &random)
        }
    }

    /// Something that happens to a file. Returns what it holds then, nil where it is none any more.
    static func spoil(_ path: FilePath, _ content: [UInt8], _ random: inout SeededGenerator, outside: FilePath) throws -> [UInt8]?
    {
        var content = content
        switch random.below(9) {
        case 0, 1:
            if content.isEmpty { return content }
            for _ in 0..<(1 + random.below(3)) { content[random.below(content.count)] ^= 1 << UInt8(random.below(8)) }
        case 2: content.removeLast(random.below(content.count + 1))
        case 3: content += random.bytes(1 + random.below(20_000))
        case 4: content += [UInt8](repeating: 0, count: 8192)
        case 5: content = []
        case 6: try Directory.setPermissions(of: path, [0o400, 0o777, 0o640][random.below(3)])
        case 7:
            try Directory.remove(path)
            return nil
        default:
            try Directory.remove(path)
            if random.below(2) == 0 {
                try Directory.link(outside.string, at: path)
            } else {
                try Directory.create(path.appending("deep").appending("er"))
                try overwrite(path.appending("deep").appending("file"), [1, 2, 3])
            }
            return nil
        }
        try overwrite(path, content)
        return content
    }

    @Test("puts everything right, and writes only what is wrong", arguments: [1, 3], Seed.some(4))
    func spoiled(threads: Int, seed: Seed) throws {
        try Self.with(seed) { example, record, contents, expected, random in
            let data = RestoreExample.data(example)
            let outside = example.directory.appending("precious")
            try overwrite(outside, [UInt8](repeating: 7, count: 100))
            var wrong = 0
            for content in contents.dropLast() {
                let isSpoiled = random.below(2) == 0
                let path = data.pushing(FilePath(content.path))
                let now = isSpoiled ? try Self.spoil(path, content.bytes, &random, outside: outside) : content.bytes
                wrong += Self.wrongBytes(now, content.bytes)
            }
            for name in ["base/5/extra", "base/extra", "extra", "base/5/1_vm"] {
                try overwrite(data.pushing(FilePath(name)), random.bytes(100))
            }
            try Directory.create(data.pushing("base/6/x"))
            try overwrite(data.pushing("base/6/x/y"), [1])
            try Directory.setPermissions(of: data.pushing("base/5"), 0o777)

            let outcome = try RestoreExample.restore(example, record, delta: true, threads: threads)
            #expect(try RestoreExample.differences(RestoreExample.tree(data), expected) == [])
            #expect(outcome.writtenBytes == wrong && outcome.bytes == contents.reduce(0) { $0 + $1.bytes.count })
            #expect(try SmallFile.read(outside) == [UInt8](repeating: 7, count: 100))
        }
    }

    @Test("where everything is right writes nothing but the control file and what it says itself", arguments: Seed.some(1))
    func nothing(seed: Seed) throws {
        try Self.with(seed) { example, record, _, expected, _ in
            let data = RestoreExample.data(example)
            let before = try RestoreExample.tree(data, times: true)
            #expect(try RestoreExample.restore(example, record, delta: true).writtenBytes == 0)
            let after = try RestoreExample.tree(data, times: true)
            #expect(try RestoreExample.differences(RestoreExample.tree(data), expected) == [])
            for (path, found) in after where path.hasPrefix("base/5/") && !found.content.isEmpty {
                #expect(found.modified == before[path]?.modified, "\(path)")
            }
        }
    }

    /// A block of zeros has the sum of one that is not there.
    @Test("gives a file that ends in zeros its length back", arguments: [0, 1, 8191, 8192, 8193, 16_384, 20_000, 24_999])
    func zeros(left: Int) throws {
        try RepositoryExample.with { example in
            let content = Content("base/5/1", [UInt8](repeating: 1, count: 100) + [UInt8](repeating: 0, count: 24_900))
            let record = try RestoreExample.backup(example, [content, RestoreExample.control])
            _ = try RestoreExample.restore(example, record)
            let path = RestoreExample.data(example).pushing("base/5/1")
            try overwrite(path, content.bytes.prefix(left))
            let outcome = try RestoreExample.restore(example, record, delta: true)
            #expect(try SmallFile.read(path) == content.bytes)
            #expect(outcome.writtenBytes == Self.wrongBytes(Array(content.bytes.prefix(left)), content.bytes))
        }
    }

    /// What is in the place of a directory, or beside the files, is removed and not followed.
    @Test("follows no link out of the directory")
    func links() throws {
        try Self.with(Seed(value: 1)) { example, record, _, expected, _ in
            let data = RestoreExample.data(example)
            let outside = example.directory.appending("outside")
            try Directory.create(outside.appending("5"))
            try overwrite(outside.pushing("5/3"), [1, 2, 3])
            try overwrite(outside.pushing("5/precious"), [4, 5, 6])
            let before = try RestoreExample.tree(outside, times: true)
            try Directory.removeTree(data.appending("base"))
            try Directory.link(outside.string, at: data.appending("base"))
            try Directory.link(outside.string, at: data.appending("beside"))
            try Directory.link("/nowhere", at: data.pushing("global/dangling"))
            _ = try RestoreExample.restore(example, record, delta: true)
            #expect(try RestoreExample.differences(RestoreExample.tree(data), expected) == [])
            #expect(try RestoreExample.tree(outside, times: true) == before)
        }
    }

    @Test("brings a directory to a newer backup and back, and writes what differs", arguments: Seed.some(3))
    func otherBackup(seed: Seed) throws {
        try Self.with(seed) { example, first, old, expected, random in
            let data = RestoreExample.data(example)
            var new = old.map { content -> Content in
                var content = content
                guard content.path != "global/pg_control" else { return content }
                switch random.below(5) {
                case 0: content.bytes += random.bytes(10_000)
                case 1: content.bytes.removeLast(content.bytes.count / 2)
                case 2 where content.bytes.count > 8192: content.bytes[8192] ^= 1
                default: break
                }
                return content
            }
            new.remove(at: random.below(new.count - 1))
            new.insert(Content("base/5/new", random.bytes(30_000)), at: 3)
            let second = try RestoreExample.backup(example, new, id: "20261124T000000Z", on: first)
            for (record, from, to) in [(second, old, new), (first, new, old)] {
                let there = Dictionary(uniqueKeysWithValues: from.map { ($0.path, $0.bytes) })
                let wrong = to.filter { $0.path != "global/pg_control" }.reduce(0) {
                    $0 + Self.wrongBytes(there[$1.path], $1.bytes)
                }
                #expect(try RestoreExample.restore(example, record, delta: true).writtenBytes == wrong)
                for content in to { #expect(try SmallFile.read(data.pushing(FilePath(content.path))) == content.bytes) }
                #expect(try Directory.names(in: data.pushing("base/5"))?.count == to.count - 1)
            }
            #expect(
                try RestoreExample.differences(RestoreExample.tree(data), expected).filter {
                    !$0.hasPrefix("postgresql.auto.conf")
                } == [])
        }
    }

    // MARK: Tablespaces

    static let spaceEntries = [
        MapEntry(path: "pg_tblspc/16384/PG_15", mode: 0o700, modified: 0, kind: .directory),
        MapEntry(path: "pg_tblspc", mode: 0o700, modified: 0, kind: .directory),
        MapEntry(path: "pg_tblspc/16384", mode: 0o777, modified: 0, kind: .link(target: "/srv/space")),
    ]

    @Test("treats tablespaces alike, at their places", arguments: [true, false])
    func tablespace(isMoved: Bool) throws {
        try RepositoryExample.with { example in
            let content = Content("pg_tblspc/16384/PG_15/1", [UInt8](repeating: 5, count: 20_000))
            let record = try RestoreExample.backup(
                example, [content, RestoreExample.control], entries: Self.spaceEntries,
                tablespaces: [.init(oid: "16384", location: "/srv/space")])
            let (data, old) = (RestoreExample.data(example), example.directory.appending("space"))
            _ = try RestoreExample.restore(example, record, mapping: [("16384", old)])
            let expected = try RestoreExample.tree(data).merging(RestoreExample.tree(old, "space/")) { $1 }

            let new = isMoved ? example.directory.appending("elsewhere") : old
            try overwrite(old.pushing("PG_15/1"), [1, 2, 3])
            try overwrite(old.pushing("PG_15/extra"), [1, 2, 3])
            let spoiled = try RestoreExample.tree(old, times: true)
            let outcome = try RestoreExample.restore(example, record, delta: true, mapping: [("16384", new)])
            #expect(outcome.writtenBytes == 20_000)
            #expect(Directory.linkTarget(data.pushing("pg_tblspc/16384")) == new)
            if isMoved {
                #expect(try RestoreExample.tree(old, times: true) == spoiled, "the old place is nobody's any more")
            }
            let found = try RestoreExample.tree(data).merging(RestoreExample.tree(new, "space/")) { $1 }
            #expect(
                RestoreExample.differences(found, expected)
                    == (isMoved ? ["pg_tblspc/16384"] : []).map {
                        "\($0): symbolicLink 0 \(new.string.utf8.count) bytes, symbolicLink 0 \(old.string.utf8.count) bytes"
                    })
        }
    }
}
