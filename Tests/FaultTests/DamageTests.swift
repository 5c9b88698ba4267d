import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// What is stored may rot. `verify` names what is hit, and nothing damaged is ever handed out as if it were whole.
@Suite("A damaged repository")
struct DamageTests {
    /// A backup of a table of some megabytes, in a site of its own.
    private func with(_ body: (TestSite, TestServer, Pgark, _ relation: String) throws -> Void) throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.fill("large", megabytes: 4)
            let relation = try node.value("SELECT pg_relation_filepath('large')")
            try pgark("backup")
            try body(site, node, pgark, relation)
        }
    }

    @Test("is found by verify, which names the backup, the file and the block, and never restored")
    func damagedPayload() throws {
        try with { site, node, pgark, relation in
            let backup = try #require(try pgark("list").backups[0].id.string)
            let pack = try #require(try site.files(in: pgark.repository.appending("packs")).first)
            // Somewhere in the largest file's frames, which are the larger part of the pack by far.
            let size = try File(pack, .read).size
            for (what, offset) in [("a payload", size / 2), ("another payload", size / 2 + 100_000)] {
                try site.withDamage(pack, at: offset) {
                    let problems = try pgark.problems("verify", "--all")
                    #expect(problems.count == 1, "\(what): \(problems)")
                    let problem = try #require(problems.first)
                    #expect(problem.backup.string == backup && problem.file.string == relation, "\(what): \(problem)")
                    let blocks = try File(node.data.pushing(FilePath(relation)), .read).size / 8192
                    #expect((0..<blocks).contains(try #require(problem.block.int)), "\(what): \(problem)")
                    try expectNothingRestored(site, pgark, what)
                }
            }
            #expect(try pgark("verify", "--deep", "--all").problems.array.isEmpty)
        }
    }

    @Test("is remembered: show says damaged, and the next backup stores anew what was hit, so that it can be restored")
    func rememberedDamage() throws {
        try with { site, node, pgark, relation in
            // Who looks at rows for the first time changes their pages.
            let dump = try node.dumpDigest()
            try pgark("delete", "latest", "--yes")
            let backup = try #require(try pgark("backup").id.string)
            let pack = try #require(try site.files(in: pgark.repository.appending("packs")).first)
            try site.withDamage(pack, at: File(pack, .read).size / 2) {
                #expect(try pgark.problems("verify", backup).count == 1)
                #expect(try pgark("list").backups[0].status.string == "damaged")
                let shown = try pgark("show", backup)
                #expect(shown.status.string == "damaged" && shown.problems[0].file.string == relation, "\(shown)")

                let next = try pgark("backup")
                #expect(next.method.string == "incremental" && next.reference.string == backup, "\(next)")
                let stored = try #require(next.stored_bytes.int)
                #expect((1..<2 << 20).contains(stored), "\(stored) bytes: more than the frame that was hit")
                #expect(try pgark("verify", "latest", "--deep").problems.array.isEmpty)
                let restored = try pgark.restore()
                try restored.recover()
                #expect(try restored.dumpDigest() == dump)
                // Of the damaged one nothing is handed out still.
                let place = site.directory.appending("damaged")
                try pgark.fails(.damaged, 1, "restore", backup, "--to", place.string, "--yes")
                #expect(try !Directory.exists(place.pushing(FilePath("global/pg_control"))))
            }
            // What was damaged and is not any more is done again, once somebody has looked.
            try pgark("verify", backup)
            let listed = try pgark("list")
            #expect(listed.backups.array.allSatisfy { $0.status.string == "done" }, "\(listed)")
        }
    }

    @Test("is known of every backup that it hits, also when the one that was looked at is deleted")
    func sharedDamage() throws {
        try with { site, _, pgark, relation in
            let first = try #require(try pgark("list").backups[0].id.string)
            let pack = try #require(try site.files(in: pgark.repository.appending("packs")).first)
            let second = try #require(try pgark("backup").id.string)
            try site.withDamage(pack, at: File(pack, .read).size / 2) {
                #expect(try pgark.problems("verify", first).map(\.backup.string) == [first])
                #expect(try pgark("list").backups.array.map(\.status.string) == ["damaged", "damaged"])
                #expect(try pgark("show", second).problems[0].file.string == relation)
                let plan = try pgark("restore", "--to", site.directory.appending("plan").string, "--dry-run")
                #expect(plan.backup.string == second && plan.remarks.array.count == 1, "\(plan)")
                try pgark("delete", first, "--yes")
                #expect(try pgark("list").backups.array.map(\.status.string) == ["damaged"])
                try pgark("backup")
                #expect(try pgark("verify", "latest", "--deep").problems.array.isEmpty)
            }
        }
    }

    @Test("whose frame header is hit, or whose pack is missing or cut short, is found and never restored")
    func damagedStructure() throws {
        try with { site, _, pgark, _ in
            let backup = try #require(try pgark("list").backups[0].id.string)
            let pack = try #require(try site.files(in: pgark.repository.appending("packs")).first)
            func expectFound(_ what: String) throws {
                let problems = try pgark.problems("verify", "latest")
                #expect(
                    !problems.isEmpty && problems.allSatisfy { $0.backup.string == backup && $0.file.string != nil }, "\(what)")
                try expectNothingRestored(site, pgark, what)
            }
            try site.withDamage(pack, at: 16 + 5) { try expectFound("the first frame's header") }
            try site.withMoved(pack) { try expectFound("no pack") }
            let whole = try #require(try SmallFile.read(pack))
            try SmallFile.write(whole.prefix(whole.count / 2), to: pack, permissions: 0o640, owner: site.owner)
            try expectFound("half a pack")
        }
    }

    @Test("whose pack's header, index or trailer is hit is found, and restored from what the frames say themselves")
    func damagedIndex() throws {
        try with { site, node, pgark, _ in
            let digest = try node.dumpDigest()
            let pack = try #require(try site.files(in: pgark.repository.appending("packs")).first)
            let size = try File(pack, .read).size
            for (what, offset) in [("header", 8), ("index", size - 24 - 10), ("trailer", size - 4), ("trailer", size - 24)] {
                try site.withDamage(pack, at: offset) {
                    let problems = try pgark.problems("verify", "latest")
                    #expect(problems.contains { $0.file.string == pack.lastComponent?.string }, "\(what): \(problems)")
                    let restored = try pgark.restore(to: "restored-\(offset)")
                    try restored.recover()
                    #expect(try restored.dumpDigest() == digest, "\(what)")
                    restored.discard()
                }
            }
        }
    }

    @Test("whose map, list of packs or record is hit is found and never restored; without a manifest it can be")
    func damagedRecord() throws {
        try with { site, node, pgark, _ in
            let dump = try node.dumpDigest()
            let backup = try #require(try pgark("list").backups[0].id.string)
            for name in ["map.zst", "packs", "backup.json", "manifest.zst"] {
                let file = pgark.repository.pushing(FilePath("backups/\(backup)/\(name)"))
                try site.withDamage(file, at: File(file, .read).size / 2) {
                    let problems = try pgark.problems("verify", "--all")
                    #expect(problems.contains { $0.backup.string == backup && $0.file.string == name }, "\(problems)")
                    // The manifest serves the next backup only.
                    if name != "manifest.zst" { return try expectNothingRestored(site, pgark, name) }
                    let restored = try pgark.restore()
                    try restored.recover()
                    #expect(try restored.dumpDigest() == dump)
                }
            }
        }
    }

    @Test("whose newest record is hit is found by verify, and no older backup is taken for the latest")
    func damagedNewestRecord() throws {
        try with { site, _, pgark, _ in
            let first = try #require(try pgark("list").backups[0].id.string)
            let second = try #require(try pgark("backup").id.string)
            let record = pgark.repository.pushing(FilePath("backups/\(second)/backup.json"))
            try pgark("keep", second)
            try site.withDamage(record, at: File(record, .read).size / 2) {
                for arguments in [["verify"], ["verify", "latest"], ["verify", second]] {
                    let problems = try pgark.problems(arguments)
                    #expect(problems.map(\.backup.string) == [second] && problems.map(\.file.string) == ["backup.json"])
                }
                let place = site.directory.appending("damaged")
                for arguments in [
                    ["restore", "latest", "--to", place.string, "--yes"], ["restore", "--to", place.string, "--yes"],
                    ["export", "latest", place.string], ["show", "latest"], ["keep", "latest"], ["delete", "latest", "--yes"],
                ] {
                    let error = try pgark.fails(.damaged, 1, arguments)
                    #expect(error.message.string?.contains(second) == true, "\(error)")
                }
                #expect(try !Directory.exists(place))
                try pgark("verify", first)
                try pgark.restore(to: "named", [first]).discard()
                // Its pin counts, and can be taken away.
                try pgark.fails(.backupKept, 3, "delete", second, "--yes")
                #expect(try pgark("keep", second, "--release").kept.bool == false)
            }
        }
    }

    @Test("whose WAL is hit is found; wal get fails above 125 and leaves nothing")
    func damagedWAL() throws {
        try with { site, node, pgark, _ in
            let receiver = try pgark.receive()
            let segment = try #require(try pgark("wal", "switch").segment.string)
            let begin = try #require(try pgark("backup").begin_lsn.string.flatMap { LSN($0) })
            try pgark("wal", "switch")
            try receiver.stop()
            let size = try #require(WALSegmentSize(bytes: 16 << 20))
            let needed = WALSegment(timeline: .first, holding: begin, size: size).name(size: size)
            for file in try site.files(in: pgark.repository.pushing(FilePath("wal/\(segment.prefix(16))"))) {
                let name = try #require(file.lastComponent?.stem)
                try site.withDamage(file, at: File(file, .read).size / 2) {
                    if name == needed {
                        let problems = try pgark.problems("verify", "latest")
                        #expect(problems.contains { $0.file.string?.contains(name) == true }, "\(problems)")
                    }
                    // Also what lies between backups.
                    let found = try pgark.problems("verify", "--all")
                    #expect(found.count == 1 && found[0].file.string == "WAL \(name)", "\(found)")
                    let target = site.directory.appending("delivered")
                    let outcome = try pgark.run("wal", "get", name, target.string)
                    guard case .exited(126...255) = outcome.status else {
                        throw TestFailure("\(outcome.status)\n\(outcome.text)")
                    }
                    #expect(outcome.errors.contains(name), "\(outcome.text)")
                    #expect(try !Directory.exists(target))
                }
            }
            #expect(try pgark("verify", "--all").problems.array.isEmpty)
        }
    }

    @Test("whose WAL is hit ends no recovery early: the server stops, names the segment, and goes on once it is whole")
    func recoveryOfDamagedWAL() throws {
        try with { site, node, pgark, _ in
            try pgark("backup")
            let receiver = try pgark.receive()
            try node.createMarkers(1)
            let segment = try #require(try pgark("wal", "switch").segment.string)
            try node.sql("INSERT INTO marker VALUES (2)")
            try pgark.waitUntilStored(try node.lsn())
            try receiver.stop()
            try node.stop()
            let restored = try pgark.restore()
            let archived = pgark.repository.pushing(FilePath("wal/\(segment.prefix(16))/\(segment).zst"))
            try site.withDamage(archived, at: File(archived, .read).size / 2) {
                #expect(throws: (any Error).self) { try restored.recover() }
                #expect(restored.log.contains(segment), "\(restored.log.suffix(2000))")
            }
            try restored.recover()
            #expect(try restored.value("SELECT count(*) FROM marker") == "2")
        }
    }

    private func expectNothingRestored(_ site: TestSite, _ pgark: Pgark, _ what: String) throws {
        let place = site.directory.appending("damaged")
        let error = try pgark.fails(.damaged, 1, "restore", "--to", place.string, "--yes")
        #expect(error.message.string?.isEmpty == false, "\(what)")
        #expect(try !Directory.exists(place.pushing(FilePath("global/pg_control"))), "\(what)")
        if let names = try Directory.names(in: place) {
            #expect(names.isEmpty || names.contains("pgark_restore_incomplete"), "\(what): \(names)")
        }
        try Directory.removeTree(place)
    }
}

extension Pgark {
    /// What `verify` finds; it must find something and say so by its exit status.
    fileprivate func problems(_ arguments: String...) throws -> [JSON] { try problems(arguments) }

    fileprivate func problems(_ arguments: [String]) throws -> [JSON] {
        let outcome = try run(arguments + ["--json"])
        #expect(outcome.status == .exited(5), "\(outcome.text)")
        return try outcome.json.problems.array
    }
}

extension TestSite {
    fileprivate func files(in directory: FilePath) throws -> [FilePath] {
        try (Directory.names(in: directory) ?? []).map { directory.appending($0) }
    }

    /// Turns the bits of one byte over for as long as `body` takes.
    fileprivate func withDamage(_ path: FilePath, at offset: Int, _ body: () throws -> Void) throws {
        func turn() throws {
            let file = try File(path, .update)
            let turned = try file.bytes(at: offset, count: 1).map { ~$0 }
            try turned.withUnsafeBytes { try file.write($0, at: offset) }
        }
        try turn()
        try body()
        try turn()
    }

    fileprivate func withMoved(_ path: FilePath, _ body: () throws -> Void) throws {
        let aside = directory.appending("aside")
        try Directory.rename(path, to: aside)
        try body()
        try Directory.rename(aside, to: path)
    }
}
