import Glibc
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A small file")
struct SmallFileTests {
    @Test("is read whole, and is nil where there is none")
    func reads() throws {
        try withScratchDirectory { root in
            #expect(try SmallFile.read(root.appending("a")) == nil)
            try SmallFile.write([0, 255, 0x0A], to: root.appending("a"))
            #expect(try SmallFile.read(root.appending("a")) == [0, 255, 0x0A])
            try SmallFile.write("", to: root.appending("a"))
            #expect(try SmallFile.readText(root.appending("a"))?.isEmpty == true)
        }
    }

    @Test("has the permissions it was written with, those of a secret by default", arguments: [0o600, 0o640, 0o400] as [UInt32])
    func permissions(permissions: UInt32) throws {
        try withScratchDirectory { root in
            try SmallFile.write("x", to: root.appending("a"), permissions: permissions)
            #expect(try Directory.status(root.appending("a"))?.permissions == permissions)
            try SmallFile.write("y", to: root.appending("a"))
            #expect(try Directory.status(root.appending("a"))?.permissions == 0o600)
        }
    }

    @Test("leaves nothing beside it, whether it was written or not")
    func leavesNothing() throws {
        try withScratchDirectory { root in
            try SmallFile.write("x", to: root.appending("a"))
            try Directory.create(root.appending("directory"))
            #expect(throws: Failure.self) { try SmallFile.write("x", to: root.appending("directory")) }
            #expect(throws: Failure.self) { try SmallFile.write("x", to: root.appending("missing").appending("a")) }
            #expect(try Directory.names(in: root) == ["a", "directory"])
        }
    }

    @Test(
        "is known by its name for what a process left behind that has ended",
        arguments: [
            ("a.json.\(getpid()).tmp", false), ("a.json.\(Int32.max).tmp", true), ("a.json.tmp", false), ("a.json", false),
            ("a.\(Int32.max)", false), ("a.0.tmp", false), ("a.-5.tmp", false), ("", false),
        ])
    func isAbandoned(name: String, expected: Bool) {
        #expect(SmallFile.isAbandoned(name) == expected)
    }

    @Test("that is larger than any such file is refused before it is read")
    func tooLarge() throws {
        try withScratchDirectory { root in
            try File(root.appending("a"), .create).truncate(to: SmallFile.largest.rawValue + 1)
            let failure = try #require(throws: Failure.self) { try SmallFile.read(root.appending("a")) }
            #expect(failure.code == .damaged)
        }
    }

    @Test("is another file when it was replaced: who has the old one open keeps it whole")
    func replaced() throws {
        try withScratchDirectory { root in
            let path = root.appending("a")
            try SmallFile.write("the old content", to: path)
            let old = try File(path, .read)
            try SmallFile.write("new", to: path)
            #expect(try old.bytes(at: 0, count: 100) == Array("the old content".utf8))
            #expect(try SmallFile.readText(path) == "new")
        }
    }

    @Test("is the old one or the new one to whoever reads it meanwhile, never a mix")
    func atomic() throws {
        try withScratchDirectory { root in
            let path = root.appending("a")
            // Each has its own length, so a mix shows in the length or at one of its ends.
            @Sendable func length(_ number: Int) -> Int { 1 + number * 7919 % 300 * 1000 }
            func content(_ number: Int) -> [UInt8] { [UInt8](repeating: UInt8(number), count: length(number)) }
            try SmallFile.write(content(0), to: path)
            let isOver = Monitor(false)
            let reader = WorkerThread("reader") {
                var seen = 0
                while true {
                    let isLast = isOver.read { $0 }
                    guard let bytes = try SmallFile.read(path), let number = bytes.first, bytes.count == length(Int(number)),
                        bytes.last == number, bytes[bytes.count / 2] == number
                    else { throw TestFailure("the reader saw neither the old content nor the new one") }
                    seen += 1
                    if isLast { return (seen: seen, last: Int(number)) }
                }
            }
            for number in 1...100 { try SmallFile.write(content(number), to: path) }
            isOver.change { $0 = true }
            let outcome = try reader.join()
            #expect(outcome.last == 100)
            #expect(outcome.seen > 1)
        }
    }
}
