import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A repository")
struct RepositoryTests {
    @Test("remembers whose data it holds")
    func system() throws {
        try RepositoryExample.with { example in
            #expect(try example.repository.system() == RepositoryExample.system)
            try example.repository.prepare(for: RepositoryExample.system)
            #expect(try example.repository.requireSystem() == RepositoryExample.system)
        }
    }

    @Test("that holds nothing yet has no system, and says how to get one")
    func empty() throws {
        try withScratchDirectory { root in
            let repository = Repository(root: root.appending("r"), cluster: "main")
            #expect(try repository.system() == nil)
            let failure = try #require(throws: Failure.self) { try repository.requireSystem() }
            #expect(failure.code == .clusterMissing && failure.hint == "Take a first backup: pgark backup")
            #expect(try !Directory.exists(root.appending("r")))
        }
    }

    @Test("refuses another system's data and stays as it was")
    func foreign() throws {
        try RepositoryExample.with { example in
            var other = RepositoryExample.system
            other.systemIdentifier = SystemIdentifier(rawValue: 5)
            let failure = try #require(throws: Failure.self) { try example.repository.prepare(for: other) }
            #expect(failure.code == .foreignSystem)
            #expect(failure.details == ["system identifier there 7711037898349850975, of the server 5"])
            #expect(try example.repository.system() == RepositoryExample.system)
        }
    }

    @Test("keeps several clusters apart, under one identity")
    func clusters() throws {
        try RepositoryExample.with { example in
            let identity = try SmallFile.readText(example.repository.root.appending("repository.json"))
            let other = Repository(root: example.repository.root, cluster: "other")
            var system = RepositoryExample.system
            system.systemIdentifier = SystemIdentifier(rawValue: 5)
            try other.prepare(for: system)
            #expect(try other.system() == system)
            #expect(try example.repository.system() == RepositoryExample.system)
            #expect(try SmallFile.readText(example.repository.root.appending("repository.json")) == identity)
        }
    }

    @Test("of a newer format is refused", arguments: ["repository.json", "main/cluster.json"])
    func newerFormat(file: String) throws {
        try RepositoryExample.with { example in
            let path = example.repository.root.appending(FilePath(file).components)
            let text = try #require(try SmallFile.readText(path))
            try overwrite(path, text.replacing("\"format\" : 1", with: "\"format\" : 2").utf8)
            let failure = try #require(throws: Failure.self) { try example.repository.system() }
            #expect(failure.code == .unsupported && failure.message.contains(path.string))
        }
    }

    @Test(
        "with a damaged record says which", arguments: ["repository.json", "main/cluster.json"],
        ["", "{", "[]", "\u{0}", "{\"format\": 1}"])
    func damaged(file: String, content: String) throws {
        try RepositoryExample.with { example in
            let path = example.repository.root.appending(FilePath(file).components)
            try overwrite(path, content.utf8)
            let failure = try #require(throws: Failure.self) { try example.repository.system() }
            #expect(failure.code == .damaged && failure.message.contains(path.string))
        }
    }

    @Test("is readable to its group and to nobody else")
    func permissions() throws {
        try RepositoryExample.with { (example) throws in
            let repository = example.repository
            for path in [
                repository.root, repository.directory, repository.wal(of: RepositoryExample.system), repository.packs,
                repository.backups,
            ] {
                #expect(try Directory.status(path)?.permissions == 0o750)
            }
            #expect(try Directory.status(repository.directory.appending("cluster.json"))?.permissions == 0o640)
        }
    }

    @Test("that is no directory is out of reach, not empty")
    func unreachable() throws {
        try withScratchDirectory { root in
            try SmallFile.write("", to: root.appending("file"))
            let repository = Repository(root: root.appending("file"), cluster: "main")
            let failure = try #require(throws: Failure.self) { try repository.prepare(for: RepositoryExample.system) }
            #expect(failure.code == .repositoryUnreachable && failure.hint != nil)
        }
    }

    @Test(
        "out of reach keeps the reason, and other failures stay what they are",
        arguments: [
            (.permissionDenied, .repositoryUnreachable), (.inputOutput, .repositoryUnreachable), (.damaged, .damaged),
            (.diskFull, .diskFull),
        ] as [(Failure.Code, Failure.Code)])
    func reaching(code: Failure.Code, expected: Failure.Code) throws {
        let failure = try #require(throws: Failure.self) {
            try Repository.reaching("/some/root") {
                throw Failure(code, "could not open x: why", details: ["errno 13"], hint: "Do it.")
            }
        }
        #expect(failure.code == expected)
        #expect(failure.message.hasSuffix("could not open x: why") && failure.details == ["errno 13"] && failure.hint == "Do it.")
    }

    @Test("is written by one at a time")
    func writeLock() throws {
        try RepositoryExample.with { example in
            let lock = try example.repository.lockForWriting(to: "backup")
            let failure = try #require(throws: Failure.self) { try example.repository.lockForWriting(to: "delete") }
            #expect(failure.code == .locked && failure.message.contains("pgark backup"))
            withExtendedLifetime(lock) {}
        }
    }

    @Test("is read by several at once, and then nothing is removed")
    func readLock() throws {
        try RepositoryExample.with { example in
            let first = try example.repository.lockForReading(to: "restore")
            let second = try example.repository.lockForReading(to: "verify")
            #expect(throws: Failure.self) { try example.repository.lockAgainstReaders(to: "delete") }
            withExtendedLifetime((first, second)) {}
        }
        try RepositoryExample.with { example in
            let lock = try example.repository.lockAgainstReaders(to: "delete")
            let failure = try #require(throws: Failure.self) { try example.repository.lockForReading(to: "restore") }
            #expect(failure.code == .locked && failure.message.contains("pgark delete"))
            withExtendedLifetime(lock) {}
        }
    }
}
