import Glibc
import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// What the other tests' power cuts are worth: programs of coreutils do what is known to be durable, or not.
@Suite("A power cut")
struct PowerCutTests {
    /// A directory with durable files `old`, 10000 times "o", and `other`, and a power cut of it.
    private func with(_ body: (FilePath, PowerCut) throws -> Void) throws {
        try withScratchDirectory { scratch in
            let root = scratch.appending("root")
            try Directory.create(root)
            try SmallFile.write(Array(repeating: UInt8(ascii: "o"), count: 10_000), to: root.appending("old"))
            try SmallFile.write("other", to: root.appending("other"))
            try body(root, try PowerCut(of: root, store: scratch.appending("store"), owner: .current))
        }
    }

    private func run(_ script: String, in root: FilePath, _ cut: PowerCut, lies: Bool = false) throws -> Command.Outcome {
        var command = Command("/bin/sh", ["-euc", script], environment: cut.environment(lies: lies))
        command.directory = root
        return try command.outcome()
    }

    /// The directory's files with their contents, where a long run of one character counts as that character.
    private func contents(_ root: FilePath) throws -> [String: String] {
        try (Directory.names(in: root) ?? []).reduce(into: [:]) { contents, name in
            let path = root.appending(name)
            if try Directory.status(path)?.kind == .directory {
                contents[name] = "directory"
                return
            }
            let text = String(decoding: try SmallFile.read(path) ?? [], as: UTF8.self)
            contents[name] = text.count > 100 && Set(text).count == 1 ? "\(text.prefix(1)) \(text.count)" : text
        }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let script: String
        /// What is there after a cut that loses everything, besides or instead of what was there before.
        let harsh: [String: String]
        /// The names that are gone.
        var gone: Set<String> = []
        var testDescription: String { script }
    }

    static let cases: [Case] = [
        Case(script: "printf new >new", harsh: [:]),
        Case(script: "printf new >new; sync -d new", harsh: [:]),
        Case(script: "printf new >new; sync .", harsh: ["new": ""]),
        Case(script: "printf new >new; sync -d new; sync .", harsh: ["new": "new"]),
        Case(script: "printf new >new; sync .; sync -d new", harsh: ["new": "new"]),
        Case(script: "printf a >new; sync -d new; sync .; printf b >>new", harsh: ["new": "a"]),
        Case(script: "printf a >new; sync --file-system .; printf b >>new; printf c >c", harsh: ["new": "a"]),
        Case(script: "printf x >old", harsh: [:]),
        Case(script: "printf x >old; sync -d old", harsh: ["old": "x"]),
        Case(script: "printf x | dd of=old conv=notrunc bs=1 seek=5000; truncate -s 3 other", harsh: [:]),
        Case(script: "truncate -s 3 other; sync -d other", harsh: ["other": "oth"]),
        Case(script: "truncate -s 3 other; sync -d other; truncate -s 1000 other; sync -d old", harsh: ["other": "oth"]),
        Case(script: "mv old older", harsh: [:]),
        Case(script: "mv old older; sync .", harsh: ["older": "o 10000"], gone: ["old"]),
        Case(script: "mv other old", harsh: [:]),
        Case(script: "mv other old; sync .", harsh: ["old": "other"], gone: ["other"]),
        Case(script: "printf new >new; mv new old; sync .", harsh: ["old": ""], gone: ["new"]),
        Case(script: "printf new >new; sync -d new; mv new old; sync .", harsh: ["old": "new"]),
        Case(script: "printf new >new; sync -d new; mv new old; printf more >>old; rm other", harsh: [:]),
        Case(script: "rm old other", harsh: [:]),
        Case(script: "rm old; sync .; rm other", harsh: [:], gone: ["old"]),
        Case(script: "rm old; printf again >old; sync -d old", harsh: [:]),
        Case(script: "mkdir new; printf x >new/x; sync new/x; sync new", harsh: [:]),
        Case(script: "mkdir new; sync .; printf x >new/x; sync new/x; rmdir new || true", harsh: ["new": "directory"]),
        Case(script: "mkdir new; rmdir new; sync .", harsh: [:]),
        // fallocate(1) syncs the file itself.
        Case(script: "fallocate -l 9 other; fallocate -l 20 old", harsh: ["other": "other\0\0\0\0"]),
        Case(script: "ln old second; rm old; sync .; printf x >second", harsh: ["second": "o 10000"], gone: ["old"]),
    ]

    @Test("of the harshest kind leaves what was synced, and nothing else", arguments: cases)
    func losesEverything(item: Case) throws {
        try with { root, cut in
            var generator = Seed(value: 1).generator
            var expected = try contents(root)
            let outcome = try run(item.script, in: root, cut)
            #expect(outcome.succeeded, "\(outcome.errors)")
            expected.merge(item.harsh) { $1 }
            for name in item.gone { expected[name] = nil }
            try cut.strike(.everything, using: &generator)
            #expect(try contents(root) == expected)
            // All that is left is durable.
            #expect(try cut.strike(.everything, using: &generator).isEmpty)
        }
    }

    @Test("takes back all that a disk had which lied", arguments: cases)
    func lies(item: Case) throws {
        try with { root, cut in
            var generator = Seed(value: 1).generator
            let before = try contents(root)
            _ = try run(item.script, in: root, cut, lies: true)
            try cut.strike(.everything, using: &generator)
            #expect(try contents(root) == before)
        }
    }

    @Test("of a journaling file system keeps what was synced, the order of names, and now and then more", arguments: Seed.some(1))
    func losesSomeThings(seed: Seed) throws {
        var generator = seed.generator
        var seen: Set<[String]> = []
        for _ in 0..<40 {
            try with { root, cut in
                _ = try run(
                    "printf a >a; sync -d a; sync .; mv a b; printf more >>b; : >c; mv c d; rm old", in: root, cut)
                try cut.strike(.someThings, using: &generator)
                let contents = try contents(root)
                seen.insert(contents.keys.sorted())
                let states: [[String]] = [
                    ["a", "old", "other"], ["b", "old", "other"], ["b", "c", "old", "other"], ["b", "d", "old", "other"],
                    ["b", "d", "other"],
                ]
                #expect(states.contains(contents.keys.sorted()), "\(contents), \(seed)")
                let text = contents["a"] ?? contents["b"] ?? "neither"
                #expect(["a", "amore", "a\0\0\0\0"].contains(text), "\(text.debugDescription), \(seed)")
            }
        }
        #expect(seen.count > 2, "\(seen), \(seed)")
    }

    @Test("of a journaling file system leaves each page as it was at some moment", arguments: Seed.some(1))
    func tearsPages(seed: Seed) throws {
        var generator = seed.generator
        var seen: Set<String> = []
        for _ in 0..<20 {
            try with { root, cut in
                let script = "for c in 1 2; do head -c 10000 /dev/zero | tr '\\0' $c | dd of=old conv=notrunc bs=10000; done"
                #expect(try run(script, in: root, cut).succeeded)
                try cut.strike(.someThings, using: &generator)
                let bytes = try SmallFile.read(root.appending("old")) ?? []
                #expect(bytes.count == 10_000)
                let pages = [0..<4096, 4096..<8192, 8192..<10_000].map { Set(bytes[$0]) }
                #expect(pages.allSatisfy { $0.count == 1 }, "a page is torn: \(seed)")
                seen.insert(pages.map { String(decoding: $0, as: UTF8.self) }.joined())
            }
        }
        #expect(seen.count > 3, "\(seen), \(seed)")
    }

    @Test("after a sync that failed loses what it was to write, whatever a second sync says")
    func failedSync() throws {
        try with { root, cut in
            var generator = Seed(value: 1).generator
            try cut.fault(.sync, EIO, once: true, on: "/old")
            let script =
                "printf x | dd of=old conv=notrunc bs=1; sync -d old && exit 3; printf y | dd of=old conv=notrunc bs=1 seek=1"
            #expect(try run("\(script); sync -d old", in: root, cut).succeeded)
            #expect(try cut.hasHappened)
            #expect(try SmallFile.readText(root.appending("old"))?.prefix(3) == "xyo")
            try cut.strike(.everything, using: &generator)
            #expect(try SmallFile.readText(root.appending("old"))?.prefix(3) == "oyo")
        }
    }

    @Test("may be told to fail calls, as often as it takes")
    func faults() throws {
        try with { root, cut in
            try cut.fault(.write, ENOSPC, on: "/new")
            let outcome = try run("printf b | dd of=other conv=notrunc; printf a | dd of=new; ", in: root, cut)
            #expect(!outcome.succeeded && outcome.errors.contains("No space left on device"), "\(outcome.errors)")
            try cut.heal()
            #expect(try run("printf a | dd of=new", in: root, cut).succeeded)
            #expect(try contents(root)["other"] == "bther")
        }
    }
}
