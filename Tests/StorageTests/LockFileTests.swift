import Glibc
import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A lock")
struct LockFileTests {
    @Test("has one holder, who is named to the others")
    func conflict() throws {
        try withScratchDirectory { root in
            let path = root.appending("a.lock")
            let lock = try #require(try LockFile.take(path, purpose: "pgark backup"))
            #expect(try LockFile.take(path, purpose: "pgark delete") == nil)
            #expect(try LockFile.isHeld(path))
            let failure = try #require(throws: Failure.self) {
                try LockFile.require(path, purpose: "pgark delete", to: "delete the backup")
            }
            #expect(failure.code == .locked)
            #expect(failure.message == "could not delete the backup: pgark backup, process \(getpid()) holds the lock")
            #expect(try LockFile.holder(path) == "pgark backup, process \(getpid())")
            withExtendedLifetime(lock) {}
        }
    }

    @Test("is free again when its holder goes away")
    func released() throws {
        try withScratchDirectory { root in
            let path = root.appending("a.lock")
            #expect(try !LockFile.isHeld(path))
            do {
                let lock = try LockFile.take(path, purpose: "first")
                #expect(lock != nil)
                #expect(try LockFile.isHeld(path))
            }
            #expect(try !LockFile.isHeld(path))
            let next = try LockFile.require(path, purpose: "second", to: "go on")
            #expect(try LockFile.holder(path) == "second, process \(getpid())")
            withExtendedLifetime(next) {}
        }
    }

    @Test("is free again when its holder is killed")
    func killed() throws {
        try withScratchDirectory { root in
            let path = root.appending("a.lock")
            try SmallFile.write("", to: path)
            // flock(1) holds it until its child ends; the child says that it runs.
            let holder = try Command("/usr/bin/flock", ["--no-fork", path.string, "/bin/sleep", "600"]).start(
                log: root.appending("log"))
            defer { kill(holder.pid, SIGKILL) }
            try eventually("the other process holds the lock") { try LockFile.isHeld(path) }
            #expect(try LockFile.take(path, purpose: "us") == nil)
            kill(holder.pid, SIGKILL)
            try eventually("the lock is free") { try !LockFile.isHeld(path) }
            #expect(try LockFile.take(path, purpose: "us") != nil)
        }
    }

    @Test("may be shared by readers, which keep a writer away")
    func shared() throws {
        try withScratchDirectory { root in
            let path = root.appending("a.lock")
            let first = try LockFile.take(path, exclusive: false, purpose: "reader")
            let second = try LockFile.take(path, exclusive: false, purpose: "reader")
            #expect(first != nil && second != nil)
            #expect(try LockFile.take(path, purpose: "writer") == nil)
            #expect(try !LockFile.isHeld(path))
            withExtendedLifetime((first, second)) {}
        }
    }

    @Test("whose holder said nothing is held by another process")
    func unnamed() throws {
        try withScratchDirectory { root in
            let path = root.appending("a.lock")
            let lock = try LockFile.take(path, exclusive: false, purpose: "reader")
            let failure = try #require(throws: Failure.self) { try LockFile.require(path, purpose: "writer", to: "write") }
            #expect(failure.message == "could not write: another process holds the lock")
            withExtendedLifetime(lock) {}
        }
    }
}
