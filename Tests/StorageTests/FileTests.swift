import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A file")
struct FileTests {
    @Test("gives back what was written at any offset, and less only at its end")
    func readsAndWrites() throws {
        try withScratchDirectory { directory in
            let file = try File(directory.appending("a"), .create)
            try Array("world".utf8).withUnsafeBytes { try file.write($0, at: 6) }
            try Array("hello ".utf8).withUnsafeBytes { try file.write($0, at: 0) }
            #expect(try file.size == 11)
            #expect(try file.bytes(at: 0, count: 11) == Array("hello world".utf8))
            #expect(try file.bytes(at: 6, count: 100) == Array("world".utf8))
            #expect(try file.bytes(at: 11, count: 1) == [])
            try file.synchronize()
        }
    }

    @Test("gets as many zeros as are asked for, and no more", arguments: [0, 1, 65_535, 65_536, 65_537, 3 << 20])
    func zeros(count: Int) throws {
        try withScratchDirectory { directory in
            let file = try File(directory.appending("a"), .create)
            let old = [UInt8](repeating: 7, count: count + 20)
            try old.withUnsafeBytes { try file.write($0, at: 0) }
            try file.writeZeros(from: 10, count: count)
            let seven = [UInt8](repeating: 7, count: 10)
            #expect(try file.bytes(at: 0, count: count + 100) == seven + [UInt8](repeating: 0, count: count) + seven)
        }
    }

    @Test("may be cut, and made longer with zeros")
    func truncates() throws {
        try withScratchDirectory { directory in
            let file = try File(directory.appending("a"), .create)
            try [1, 2, 3].withUnsafeBytes { try file.write($0, at: 0) }
            try file.truncate(to: 2)
            try file.truncate(to: 4)
            #expect(try file.bytes(at: 0, count: 9).count == 4)
        }
    }

    @Test("that must be new is not opened where there is one")
    func create() throws {
        try withScratchDirectory { directory in
            try SmallFile.write("x", to: directory.appending("a"))
            let failure = try #require(throws: Failure.self) { try File(directory.appending("a"), .create) }
            #expect(failure.code == .inputOutput && failure.message.contains("File exists"))
            #expect(try SmallFile.readText(directory.appending("a")) == "x")
        }
    }

    @Test("keeps its content where it is updated and loses it where it is replaced")
    func modes() throws {
        try withScratchDirectory { directory in
            let path = directory.appending("a")
            try SmallFile.write("content", to: path)
            #expect(try File(path, .update).size == 7)
            #expect(try File(path, .read).size == 7)
            #expect(try File(path, .replace).size == 0)
        }
    }

    @Test("that is missing is a failure that names it, with the system's reason")
    func missing() throws {
        let failure = try #require(throws: Failure.self) { try File("/nowhere/at/all", .read) }
        #expect(failure.code == .inputOutput)
        #expect(failure.message == "could not open /nowhere/at/all: No such file or directory")
        #expect(failure.details == ["errno 2"])
    }

    @Test(
        "says by its code what kind of obstacle there was",
        arguments: [
            (28, .diskFull), (122, .diskFull), (13, .permissionDenied), (1, .permissionDenied), (30, .permissionDenied),
            (5, .inputOutput),
        ]
            as [(Int32, Failure.Code)])
    func codes(error: Int32, code: Failure.Code) {
        let failure = Failure.system("write", "/some/file", error: error)
        #expect(failure.code == code)
        #expect(failure.message.hasPrefix("could not write /some/file: "))
        #expect((failure.hint == nil) == (code == .inputOutput))
    }

    @Test("is locked by one at a time, or shared by several")
    func locks() throws {
        try withScratchDirectory { directory in
            let path = directory.appending("a")
            let first = try File(path, .update)
            let second = try File(path, .update)
            #expect(try first.tryLock(exclusive: false) && second.tryLock(exclusive: false))
            #expect(try !second.tryLock(exclusive: true))
        }
    }

    @Test("system is made durable as a whole")
    func synchronizesFileSystem() throws {
        try withScratchDirectory { try File.synchronizeFileSystem(of: $0) }
        #expect(throws: Failure.self) { try File.synchronizeFileSystem(of: "/nowhere/at/all") }
    }
}
