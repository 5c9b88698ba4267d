import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A file that a server hands over")
struct WALPutTests {
    static let segment = RepositoryExample.segment(5)
    static let size = RepositoryExample.system.walSegmentSize

    /// A pg_wal, and a repository in which nothing was stored yet.
    static func with(_ body: (FilePath, Repository) throws -> Void) throws {
        try withScratchDirectory { directory in
            try Directory.create(directory.appending("pg_wal"))
            try body(directory.appending("pg_wal"), Repository(root: directory.appending("repository"), cluster: "main"))
        }
    }

    static func file(_ folder: FilePath, _ content: [UInt8], _ name: String = segment.name(size: size)) throws -> FilePath {
        let path = folder.appending(name)
        try SmallFile.write(content, to: path)
        return path
    }

    @discardableResult
    static func put(_ path: FilePath, _ repository: Repository) throws -> WALPut.Outcome {
        try WALPut(repository, level: CompressionLevel(1)!).run(path)
    }

    @Test("makes an empty repository that of its own system")
    func first() throws {
        try Self.with { folder, repository in
            let path = try Self.file(folder, RepositoryExample.wal(Self.segment))
            #expect(try Self.put(path, repository).isNew)
            #expect(try repository.system() == RepositoryExample.system)
            #expect(try !Self.put(path, repository).isNew)
        }
    }

    @Test("is of one of two systems that come to an empty repository at the same instant")
    func race() throws {
        for _ in 0..<10 {
            try Self.with { folder, repository in
                let threads = try (1...4 as ClosedRange<UInt64>).map { number in
                    try Directory.create(folder.appending("\(number)"))
                    let content = RepositoryExample.wal(Self.segment, system: SystemIdentifier(rawValue: number))
                    let path = try Self.file(folder.appending("\(number)"), content)
                    return WorkerThread("put") { try Self.put(path, repository) }
                }
                let outcomes = threads.map { thread in Swift.Result { try thread.join() } }
                let winners = outcomes.indices.filter { if case .success = outcomes[$0] { true } else { false } }
                try #require(winners.count == 1, "\(outcomes)")
                #expect(try repository.system()?.systemIdentifier.rawValue == UInt64(winners[0] + 1))
            }
        }
    }

    @Test(
        "is refused where it is not what its name says",
        arguments: [
            ("another system", .foreignSystem), ("another size", .unsupported), ("short", .damaged), ("long", .damaged),
            ("another place", .damaged), ("a later timeline", .damaged), ("no WAL", .damaged), ("another version", .unsupported),
        ] as [(String, Failure.Code)])
    func refused(what: String, code: Failure.Code) throws {
        try RepositoryExample.with { example in
            var content = RepositoryExample.wal(Self.segment)
            var name = Self.segment.name(size: Self.size)
            switch what {
            case "another system": content = RepositoryExample.wal(Self.segment, system: SystemIdentifier(rawValue: 3))
            case "another size":
                content[34] = 0x20  // 2 MiB
                content += content
                name = Self.segment.name(size: WALSegmentSize(bytes: 2 << 20)!)
                content[10] = 0xA0
            case "short": content.removeLast()
            case "long": content.append(0)
            case "another place": content = RepositoryExample.wal(RepositoryExample.segment(6))
            case "a later timeline": content = RepositoryExample.wal(RepositoryExample.segment(5, timeline: 2))
            case "another version": content[0] = 0xFF
            default: content = [UInt8](repeating: 0, count: content.count)
            }
            let path = try Self.file(example.directory, content, name)
            let failure = try #require(throws: Failure.self) { try Self.put(path, example.repository) }
            #expect(failure.code == code, "\(failure)")
            #expect(try example.archive.segments().isEmpty)
        }
    }

    @Test("is refused where PostgreSQL archives nothing of that name", arguments: ["RECOVERYXLOG", "0000000A", "x.history"])
    func names(name: String) throws {
        try RepositoryExample.with { example in
            let path = try Self.file(example.directory, [1], name)
            let failure = try #require(throws: Failure.self) { try Self.put(path, example.repository) }
            #expect(failure.code == .usage && failure.message.contains(name))
        }
    }

    @Test("belongs, as a history, to the system whose segments lie beside it")
    func history() throws {
        try Self.with { folder, repository in
            let path = try Self.file(folder, Array("1\t0/500100\tx\n".utf8), "00000002.history")
            #expect(try #require(throws: Failure.self) { try Self.put(path, repository) }.code == .clusterMissing)
            _ = try Self.file(folder, RepositoryExample.wal(Self.segment))
            #expect(try Self.put(path, repository).isNew)
            let archive = WALArchive(repository, system: try repository.requireSystem())
            #expect(try archive.history(of: TimelineID(rawValue: 2))?.begin == LSN("0/500100"))
            _ = try Self.file(folder, RepositoryExample.wal(Self.segment, system: SystemIdentifier(rawValue: 3)))
            #expect(try #require(throws: Failure.self) { try Self.put(path, repository) }.code == .foreignSystem)
        }
    }

    @Test("is, as a backup's history, of the backup that its name says")
    func backupHistory() throws {
        try RepositoryExample.with { example in
            let name = Self.segment.name(size: Self.size)
            func put(_ file: String) throws -> WALPut.Outcome {
                let text = "START WAL LOCATION: 0/500028 (file \(file))\nSTOP WAL LOCATION: 0/500100 (file \(file))\n"
                return try Self.put(
                    Self.file(example.directory, Array(text.utf8), "\(name).00000028.backup"), example.repository)
            }
            let failure = try #require(throws: Failure.self) { try put(RepositoryExample.segment(6).name(size: Self.size)) }
            #expect(failure.code == .damaged)
            #expect(try put(name).isNew)
        }
    }
}
