import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("The catalogue")
struct CatalogueTests {
    typealias Content = RepositoryExample.Content

    static func time(_ seconds: Int64) -> Timestamp { Timestamp(seconds: 1_795_359_845 + seconds) }

    @Test("sorts by timeline, then by WAL position, then by time, and never by name")
    func order() throws {
        try RepositoryExample.with { example in
            // The clock went back between the backups, so neither names nor times tell their order.
            try example.backup([], .example(id: "20261125T000000Z", end: "0/500000", ended: Self.time(50)))
            try example.backup([], .example(id: "20261121T000000Z", end: "0/A00000", ended: Self.time(10)))
            try example.backup([], .example(id: "20261120T000000Z", end: "0/600000", ended: Self.time(0), timeline: 2))
            try example.backup([], .example(id: "20261122T000000Z", end: "0/A00000", ended: Self.time(20)))
            try example.backup([], .example(id: "20261129T000000Z", end: "0/600000", ended: Self.time(90)))
            let expected = ["20261120T000000Z", "20261122T000000Z", "20261121T000000Z", "20261129T000000Z", "20261125T000000Z"]
            #expect(try example.catalogue.records().map(\.id) == expected)
            #expect(try example.catalogue.find("latest").id == "20261120T000000Z")
            #expect(try example.catalogue.find("oldest").id == "20261125T000000Z")
        }
    }

    @Test("finds by id, and by name the newest of that name")
    func find() throws {
        try RepositoryExample.with { example in
            try example.backup([], .example(id: "20261121T000000Z", name: "weekly", end: "0/300000"))
            try example.backup([], .example(id: "20261122T000000Z", name: "weekly", end: "0/400000"))
            try example.backup([], .example(id: "20261123T000000Z", name: "20261121T000000Z", end: "0/500000"))
            #expect(try example.catalogue.find("weekly").id == "20261122T000000Z")
            #expect(try example.catalogue.find("20261121T000000Z").id == "20261121T000000Z")
            #expect(try example.catalogue.findComplete("weekly").record.name == "weekly")
        }
    }

    @Test(
        "says what is missing and what to do",
        arguments: ["latest", "oldest", "weekly", "../main", "", ".", "..", "20261122T150405Z/config"])
    func findsNothing(reference: String) throws {
        try RepositoryExample.with { example in
            let failure = try #require(throws: Failure.self) { try example.catalogue.find(reference) }
            #expect(
                failure.code == .backupMissing && failure.message.contains("\"\(reference)\"")
                    && failure.hint == "Take one: pgark backup")
        }
    }

    @Test("of a repository that is not there is empty")
    func nothing() throws {
        try withScratchDirectory { root in
            let entries = try Catalogue(Repository(root: root.appending("r"), cluster: "main")).entries()
            #expect(entries.isEmpty)
        }
    }

    @Test("shows a backup without a record as failed, and as running while somebody writes")
    func unfinished() throws {
        try RepositoryExample.with { example in
            try example.backup([], .example(id: "20261121T000000Z"))
            try Directory.create(example.catalogue.directory(of: "20261122T000000Z"))
            try SmallFile.write("not a backup", to: example.repository.backups.appending("file"))
            #expect(try example.catalogue.entries().map(\.id) == ["20261122T000000Z", "20261121T000000Z"])
            #expect(try example.catalogue.entries().map(\.status) == [.failed, .done])
            #expect(try example.catalogue.records().map(\.id) == ["20261121T000000Z"])
            let failure = try #require(throws: Failure.self) { try example.catalogue.findComplete("20261122T000000Z") }
            #expect(failure.code == .backupMissing && failure.message.contains("failed"))
            let lock = try example.repository.lockForWriting(to: "backup")
            #expect(try example.catalogue.entries().map(\.status) == [.running, .done])
            withExtendedLifetime(lock) {}
        }
    }

    @Test("shows a backup with bad pages as damaged")
    func damagedPages() throws {
        try RepositoryExample.with { example in
            var record = BackupRecord.example()
            record.badPages = [.init(path: "base/5/1259", block: 3)]
            let writer = try example.writer(record.id)
            _ = try writer.finish()
            try writer.commit(record)
            #expect(try example.catalogue.entries().map(\.status) == [.damaged])
            #expect(try example.catalogue.records().first?.badPages == record.badPages)
        }
    }

    @Test("keeps every field of a record")
    func record() throws {
        try RepositoryExample.with { example in
            var record = BackupRecord.example(name: "größe")
            record.method = .incremental
            record.reference = "20261121T000000Z"
            record.readReason = "it was asked for"
            record.packs = .init(bytes: 12, checksum: 0xDEF)
            record.tablespaces = [.init(oid: "16384", location: "/srv/a b")]
            record.configuration = [
                .init(kind: .included, path: "/etc/x", name: "1-x", content: .init(bytes: 3, checksum: 0xABC))
            ]
            record.configurationMissing = ["/etc/y: Permission denied"]
            record.badPages = [.init(path: "base/5/1259", block: 3)]
            record.durationSeconds = 1.25
            record.beginTime = Timestamp(microseconds: 1_795_359_845_000_001)
            try Directory.create(example.catalogue.directory(of: record.id))
            let writer = try example.writer(record.id)
            _ = try writer.finish()
            try writer.commit(record)
            let found = try #require(try example.catalogue.records().first)
            #expect("\(found)" == "\(record)")
        }
    }

    @Test("writes checksums with all their digits", arguments: [(0, "00000000"), (0xABC, "00000abc"), (0xE306_9283, "e3069283")])
    func checksums(value: UInt32, text: String) {
        #expect(BackupRecord.StoredFile(bytes: 1, checksum: value).crc32c == text)
    }

    @Test("of a newer format is refused, and says which backup it is")
    func newerFormat() throws {
        try RepositoryExample.with { example in
            var record = try example.backup()
            record.format = 7
            try overwrite(Self.recordPath(example, record.id), record.bytes())
            let failure = try #require(throws: Failure.self) { try example.catalogue.entries() }
            #expect(failure.code == .unsupported && failure.message.contains(record.id))
        }
    }

    @Test("finds one by its identifier whatever is wrong with the others")
    func findsOnlyOne() throws {
        try RepositoryExample.with { example in
            let record = try example.backup([], .example(id: "20261121T000000Z"))
            var newer = try example.backup([], .example(id: "20261122T000000Z", end: "0/300000"))
            newer.format = 7
            try overwrite(Self.recordPath(example, newer.id), newer.bytes())
            #expect(try example.catalogue.find(record.id).id == record.id)
            #expect(throws: Failure.self) { try example.catalogue.find("latest") }
        }
    }

    /// The first of two backups, or the second, newer one, gets a record that was changed.
    static func withDamagedRecord(_ damaged: Int, _ body: (RepositoryExample, _ id: String) throws -> Void) throws {
        try RepositoryExample.with { example in
            let ids = ["20261121T000000Z", "20261122T000000Z"]
            for (number, id) in ids.enumerated() {
                try example.backup([], .example(id: id, name: "weekly", end: "0/\(3 + number)00000"))
            }
            let path = recordPath(example, ids[damaged])
            try overwrite(path, #require(try SmallFile.readText(path)).replacing("\"node1\"", with: "\"node2\"").utf8)
            try body(example, ids[damaged])
        }
    }

    static func expectRefused(_ id: String, _ body: () throws -> Void) throws {
        let failure = try #require(throws: Failure.self) { try body() }
        #expect(failure.code == .damaged && failure.message.contains(id))
    }

    @Test("passes over a damaged record, but for who asks for that one or for the latest")
    func damagedRecord() throws {
        try Self.withDamagedRecord(1) { example, id in
            #expect(try example.catalogue.entries().map(\.status) == [.damaged, .done])
            for reference in ["oldest", "weekly"] {
                #expect(try example.catalogue.find(reference).id == "20261121T000000Z")
            }
            try Self.expectRefused(id) { _ = try example.catalogue.find("latest") }
            try Self.expectRefused(id) { _ = try example.catalogue.findComplete("latest") }
            try Self.expectRefused(id) { _ = try example.catalogue.findComplete(id) }
            for reference in ["latest", id] {
                let entry = try example.catalogue.findMaybeUnreadable(reference)
                #expect(entry.id == id && entry.isUnreadable)
            }
        }
    }

    @Test("finds the latest where only an older record is damaged")
    func damagedOlderRecord() throws {
        try Self.withDamagedRecord(0) { example, id in
            for reference in ["latest", "oldest", "weekly"] {
                #expect(try example.catalogue.find(reference).id == "20261122T000000Z")
            }
            let damaged = try example.catalogue.find(id)
            #expect(damaged.isUnreadable)
        }
    }

    @Test("takes no older backup for the latest where a newer one was moved to a disk that is not there")
    func missingDisk() throws {
        try RepositoryExample.with { example in
            try example.backup([], .example(id: "20261121T000000Z"))
            try Directory.link("/nowhere/at/all", at: example.catalogue.directory(of: "20261122T000000Z"))
            try Self.expectRefused("20261122T000000Z") { _ = try example.catalogue.find("latest") }
        }
    }

    @Test("follows a link to a backup that lies elsewhere")
    func link() throws {
        try RepositoryExample.with { example in
            let record = try example.backup()
            let elsewhere = example.directory.appending("elsewhere")
            try Directory.rename(example.catalogue.directory(of: record.id), to: elsewhere)
            try Directory.link(elsewhere.string, at: example.catalogue.directory(of: record.id))
            #expect(try example.catalogue.entries().map(\.status) == [.done])
            #expect(try example.catalogue.find("latest").id == record.id)
            #expect(try example.catalogue.find(record.id).status == .done)
        }
    }

    static func recordPath(_ example: RepositoryExample, _ id: String) -> FilePath {
        example.catalogue.directory(of: id).appending("backup.json")
    }

    @Test("keeps a backup until it is released")
    func keep() throws {
        try RepositoryExample.with { example in
            let record = try example.backup()
            #expect(try !example.catalogue.find(record.id).isKept)
            try example.catalogue.keep(record.id, reason: "audit")
            #expect(try example.catalogue.find(record.id).isKept)
            try example.catalogue.release(record.id)
            #expect(try !example.catalogue.find(record.id).isKept)
            try example.catalogue.release(record.id)
        }
    }

    @Test("keeps a backup also while its record is damaged or missing", arguments: [true, false])
    func keepDamaged(isThere: Bool) throws {
        try RepositoryExample.with { example in
            let record = try example.backup()
            try example.catalogue.keep(record.id, reason: "audit")
            let path = Self.recordPath(example, record.id)
            if isThere { try overwrite(path, [1]) } else { try Directory.remove(path) }
            #expect(try example.catalogue.entries().map(\.isKept) == [true])
            #expect(try example.catalogue.find(record.id).isKept)
            try example.catalogue.release(record.id)
            #expect(try example.catalogue.entries().map(\.isKept) == [false])
        }
    }

    @Test("deletes a backup and its packs, and frees what they took")
    func delete() throws {
        try RepositoryExample.with { example in
            let first = try example.backup(
                [Content("a", [UInt8](repeating: 1, count: 300_000))], .example(id: "20261121T000000Z"))
            let second = try example.backup([Content("b", [2])], .example(id: "20261122T000000Z", end: "0/300000"))
            let size = try #require(try Directory.status(example.packPath("20261121T000000Z-0"))).size
            let result = try example.catalogue.delete([first.id], level: .standard)
            #expect(result.freed.rawValue >= size && result.removedPacks == 1 && result.rewrittenPacks == 0)
            #expect(try example.catalogue.records().map(\.id) == [second.id])
            #expect(try Directory.names(in: example.repository.packs) == ["\(second.id)-0.pack"])
            #expect(try Directory.names(in: example.repository.backups) == [second.id])
            #expect(try example.contents(second).map(\.content.bytes) == [[2]])
        }
    }

    @Test("deletes no pack that another backup refers to, whichever goes first", arguments: [0, 1])
    func sharedPacks(first: Int) throws {
        try RepositoryExample.with { example in
            let original = try example.backup([Content("a", [1, 2, 3])], .example(id: "20261121T000000Z"))
            let other = try example.backup(
                [Content("b", [4]), Content("a", [1, 2, 3])], .example(id: "20261122T000000Z", end: "0/300000"), on: original)
            #expect(try example.packs(other) == ["20261122T000000Z-0", "20261121T000000Z-0"])
            let records = [original, other]
            _ = try example.catalogue.delete([records[first].id], level: .standard)
            #expect(try Directory.exists(example.packPath("20261121T000000Z-0")))
            #expect(try Directory.exists(example.packPath("20261122T000000Z-0")) == (first == 0))
            #expect(try example.contents(records[1 - first]).map(\.content.bytes).last == [1, 2, 3])
            _ = try example.catalogue.delete([records[1 - first].id], level: .standard)
            #expect(try Directory.names(in: example.repository.packs) == [])
        }
    }

    @Test("collects what no backup refers to, and only that")
    func garbage() throws {
        try RepositoryExample.with { example in
            let record = try example.backup([Content("a", [1])])
            let before = try Self.listing(example.repository.directory)
            try SmallFile.write("12345", to: example.packPath("20261121T000000Z-0"))
            try SmallFile.write("123", to: example.repository.packs.appending("x.tmp"))
            let leftover = example.catalogue.directory(of: "20261121T000000Z")
            try Directory.create(leftover.appending("config"))
            try SmallFile.write("12", to: leftover.appending("map.zst.tmp"))
            try SmallFile.write("1", to: leftover.appending("backup.json.deleted"))
            #expect(try example.catalogue.collectLeftovers().rawValue >= 11)
            #expect(try Self.listing(example.repository.directory) == before)
            #expect(try example.catalogue.collectLeftovers() == ByteCount(0))
            #expect(try example.contents(record).map(\.content.bytes) == [[1]])
        }
    }

    /// A disk of its own has a `lost+found`, which only root may look into; and people leave notes.
    @Test("is not disturbed by what is no backup, and never removes it")
    func strangers() throws {
        try RepositoryExample.with { example in
            let record = try example.backup([Content("a", [1])])
            for place in [example.repository.backups, example.repository.packs] {
                try SmallFile.write("a note", to: place.appending("NOTES"))
                try Directory.create(place.appending("lost+found").appending("#1"))
                try SmallFile.write("a file", to: place.appending("20261123T000000Z"))
            }
            try Directory.link("NOTES", at: example.repository.backups.appending("link"))
            let before = try Self.listing(example.repository.directory)
            #expect(try example.catalogue.entries().map(\.id) == [record.id])
            for name in ["NOTES", "lost+found", "link", "20261123T000000Z"] {
                #expect(throws: Failure.self) { try example.catalogue.find(name) }
            }
            #expect(try example.catalogue.collectLeftovers() == ByteCount(0))
            #expect(try example.catalogue.delete([], level: .standard) == GarbageCollection.Result())
            #expect(try Self.listing(example.repository.directory) == before)
            let next = try example.backup([Content("a", [1])], .example(id: "20261124T000000Z", end: "0/300000"), on: record)
            _ = try example.catalogue.delete([record.id], level: .standard)
            #expect(try example.catalogue.entries().map(\.id) == [next.id])
            #expect(try Self.listing(example.repository.directory).filter { $0.contains("lost+found/#1") }.count == 2)
            #expect(try Self.listing(example.repository.directory).filter { $0.contains("NOTES") }.count == 2)
        }
    }

    @Test("touches no WAL when it collects garbage")
    func garbageKeepsWAL() throws {
        try RepositoryExample.with { example in
            try example.putArchived(RepositoryExample.segment(1))
            try example.putComplete(RepositoryExample.segment(2))
            try example.putPartial(RepositoryExample.segment(3), bytes: 100)
            try example.catalogue.collectLeftovers()
            #expect(try example.archive.segments().map(\.segment.number) == [1, 2, 3])
        }
    }

    /// What is left of a deletion that was interrupted after its first step is no backup, and the next one removes it.
    @Test("goes on with a deletion that was interrupted")
    func interruptedDelete() throws {
        try RepositoryExample.with { example in
            let record = try example.backup([Content("a", [1])])
            let directory = example.catalogue.directory(of: record.id)
            try Directory.rename(directory.appending("backup.json"), to: directory.appending("backup.json.deleted"))
            #expect(try example.catalogue.records().isEmpty)
            _ = try example.catalogue.delete([record.id], level: .standard)
            #expect(try Directory.names(in: example.repository.packs) == [])
            #expect(try Directory.names(in: example.repository.backups) == [])
        }
    }

    /// Every path below a directory.
    static func listing(_ directory: FilePath) throws -> [String] {
        try (Directory.names(in: directory) ?? []).flatMap { name -> [String] in
            let path = directory.appending(name)
            guard try Directory.status(path)?.kind == .directory else { return [path.string] }
            return try [path.string] + listing(path)
        }
    }
}
