import Glibc
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A directory")
struct DirectoryTests {
    @Test("is created with its parents and its permissions, and left alone where it is there")
    func create() throws {
        try withScratchDirectory { root in
            let path = root.appending("a").appending("b").appending("c")
            try Directory.create(path, permissions: 0o750)
            #expect(try Directory.status(path)?.kind == .directory)
            #expect(try Directory.status(path)?.permissions == 0o750)
            try Directory.setPermissions(of: path, 0o700)
            try Directory.create(path, permissions: 0o750)
            #expect(try Directory.status(path)?.permissions == 0o700)
        }
    }

    @Test("lists its names in order, and is nil where there is none")
    func names() throws {
        try withScratchDirectory { root in
            for name in ["b", "a", ".hidden", "c"] { try SmallFile.write("", to: root.appending(name)) }
            #expect(try Directory.names(in: root) == [".hidden", "a", "b", "c"])
            #expect(try Directory.names(in: root.appending("nothing")) == nil)
            #expect(throws: Failure.self) { try Directory.names(in: root.appending("a")) }
        }
    }

    @Test("says what a path is, and does not follow a link")
    func status() throws {
        try withScratchDirectory { root in
            try SmallFile.write("12345", to: root.appending("file"), permissions: 0o640)
            try Directory.link("file", at: root.appending("link"))
            try Directory.link("nowhere", at: root.appending("dangling"))
            #expect(mkfifo(root.appending("pipe").string, 0o600) == 0)
            let file = try #require(try Directory.status(root.appending("file")))
            #expect(file.kind == .file && file.size == 5 && file.permissions == 0o640 && file.owner == .current)
            #expect(abs(file.modified - .now) < 60)
            #expect(try Directory.status(root.appending("link"))?.kind == .symbolicLink)
            #expect(try Directory.status(root.appending("dangling"))?.kind == .symbolicLink)
            #expect(try Directory.status(root.appending("pipe"))?.kind == .other)
            #expect(try Directory.status(root.appending("nothing")) == nil)
            #expect(try Directory.status(root.appending("file").appending("below")) == nil)
            #expect(Directory.linkTarget(root.appending("link")) == "file")
            #expect(Directory.linkTarget(root.appending("file")) == nil)
        }
    }

    @Test("is removed with all it holds, and nothing that its links lead to")
    func removeTree() throws {
        try withScratchDirectory { root in
            let tree = root.appending("tree")
            let outside = root.appending("outside")
            try Directory.create(tree.appending("a").appending("b"))
            try Directory.create(outside)
            try SmallFile.write("precious", to: outside.appending("file"))
            try SmallFile.write("x", to: tree.appending("a").appending("x"))
            try Directory.link(outside.string, at: tree.appending("a").appending("to-directory"))
            try Directory.link(outside.appending("file").string, at: tree.appending("to-file"))
            try Directory.link("nowhere", at: tree.appending("dangling"))
            try Directory.removeTree(tree)
            #expect(try !Directory.exists(tree))
            #expect(try SmallFile.readText(outside.appending("file")) == "precious")
        }
    }

    @Test("that is only a link to one is removed as a link")
    func removeLink() throws {
        try withScratchDirectory { root in
            try Directory.create(root.appending("real"))
            try SmallFile.write("precious", to: root.appending("real").appending("file"))
            try Directory.link("real", at: root.appending("link"))
            try Directory.removeTree(root.appending("link"))
            #expect(try Directory.names(in: root) == ["real"])
            #expect(try Directory.names(in: root.appending("real")) == ["file"])
        }
    }

    @Test("may be emptied and stay")
    func removeContents() throws {
        try withScratchDirectory { root in
            try Directory.create(root.appending("a").appending("b"))
            try SmallFile.write("x", to: root.appending("c"))
            try Directory.removeContents(root)
            #expect(try Directory.names(in: root) == [])
        }
    }

    @Test("entry that is gone already is no obstacle to its removal")
    func removeMissing() throws {
        try withScratchDirectory { root in
            try Directory.remove(root.appending("nothing"))
            try Directory.removeTree(root.appending("nothing"))
        }
    }

    @Test("entry gets a new name, in the place of what had it")
    func rename() throws {
        try withScratchDirectory { root in
            try SmallFile.write("new", to: root.appending("a"))
            try SmallFile.write("old", to: root.appending("b"))
            try Directory.rename(root.appending("a"), to: root.appending("b"))
            #expect(try Directory.names(in: root) == ["b"])
            #expect(try SmallFile.readText(root.appending("b")) == "new")
            #expect(throws: Failure.self) { try Directory.rename(root.appending("a"), to: root.appending("b")) }
        }
    }

    @Test("that is the parent of a bare name is the current one")
    func currentDirectory() throws {
        #expect(throws: Never.self) { try Directory.synchronize(FilePath("bare-name").removingLastComponent()) }
        #expect(throws: Failure.self) { try Directory.synchronize("/nowhere/at/all") }
    }

    @Test("has room in a file system that is no smaller")
    func space() throws {
        try withScratchDirectory { root in
            let space = try Directory.space(at: root)
            #expect(space.total.rawValue > 0 && space.free <= space.total && space.free.rawValue >= 0)
            #expect(throws: Failure.self) { try Directory.space(at: root.appending("nothing")) }
        }
    }

    @Test("path is made absolute", arguments: [("/a/../b/./c", "/b/c"), ("/", "/"), ("/a/", "/a")])
    func absolute(path: String, expected: String) {
        #expect(Directory.absolute(FilePath(path)) == FilePath(expected))
        #expect(Directory.absolute("x/../y").isAbsolute)
        #expect(Directory.absolute("x/../y").lastComponent == "y")
    }
}
