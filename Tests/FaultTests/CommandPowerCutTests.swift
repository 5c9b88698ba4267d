import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Promise P4 for commands: the repository's host loses its power while one runs, and as it has just ended.
@Suite("A power cut")
struct CommandPowerCutTests {
    private static let cuts = 8

    @Test("during a backup leaves it whole or not there, and the next one leaves no garbage", arguments: Seed.some(1))
    func backup(seed: Seed) throws {
        var generator = seed.generator
        try with { node, pgark, watched, cut in
            try node.sql("SELECT pg_create_physical_replication_slot('pgark', true)")
            try pgark("backup")
            var listed = try pgark.backups()
            try node.sql("UPDATE large SET filler = reverse(filler)")
            let seconds = try timed { try watched("backup") }
            try cut.strike(.everything, using: &generator)
            listed.append(try #require(try pgark.backups().last))
            var lost = PowerCut.Report()
            var moments = KillMoments(seed, over: seconds, count: Self.cuts)
            while let moment = moments.next() {
                try node.sql("UPDATE large SET filler = reverse(filler) WHERE random() < 0.5")
                let process = try watched.start("backup", log: "killed.log")
                let isKilled = try process.kill(after: moment)
                moments.note(killed: isKilled)
                lost += try cut.strike(Self.loss(&generator), using: &generator)
                let context = "cut after \(moment) s, \(seed)"
                let now = try pgark.backups()
                #expect(Array(now.prefix(listed.count)) == listed, "\(context)")
                #expect(isKilled ? now.count - listed.count <= 1 : now.count == listed.count + 1, "\(context)")
                listed = now
                try pgark.expectWhole(context)
                #expect(try pgark.run("verify", "--all", "--deep").status == .exited(0), "\(context)")
            }
            #expect(!lost.isEmpty, "\(seed)")
            let dumps = try node.dumps()
            try watched("backup")
            try cut.strike(.everything, using: &generator)
            try pgark.expectNoGarbage("\(seed)")
            let restored = try pgark.restore(to: "restored", ["--target-immediate"])
            try restored.recover()
            #expect(try restored.dumps() == dumps, "\(seed)")
        }
    }

    @Test("during a deletion leaves each backup whole or gone, and the next command leaves no garbage", arguments: Seed.some(1))
    func deletion(seed: Seed) throws {
        var generator = seed.generator
        try with { node, pgark, watched, cut in
            let first = try #require(try pgark("backup").id.string)
            // Most of the first one's pack is dead without it, but not all.
            try node.sql("UPDATE large SET filler = reverse(filler)")
            let last = try pgark.backUp(node)
            let template = pgark.site.directory.appending("template")
            try Self.copy(cut.root, to: template, pgark.site)
            func putBack() throws {
                try cut.begin()
                try Directory.removeTree(cut.root)
                try Self.copy(template, to: cut.root, pgark.site)
            }
            // The first one is slower than those that follow.
            try watched("delete", first, "--yes")
            try putBack()
            let seconds = try timed { try watched("delete", first, "--yes") }
            var lost = PowerCut.Report()
            var moments = KillMoments(seed, over: seconds * 0.8, count: Self.cuts)
            while let moment = moments.next() {
                try putBack()
                let process = try watched.start("delete", first, "--yes", log: "killed.log")
                let isKilled = try process.kill(after: moment)
                moments.note(killed: isKilled)
                lost += try cut.strike(Self.loss(&generator), using: &generator)
                let context = "cut after \(moment) s, \(seed)"
                let left = try pgark.backups()
                #expect(left == [last.id] || (isKilled && left == [first, last.id]), "\(left), \(context)")
                try pgark.expectWhole(context)
                #expect(try pgark.run("verify", "--all", "--deep").status == .exited(0), "\(context)")
                // The next command takes the leftovers away, and what it did is durable.
                if left.contains(first) { try watched("delete", first, "--yes") } else { try watched("backup") }
                try cut.strike(.everything, using: &generator)
                try pgark.expectNoGarbage(context)
            }
            #expect(!lost.isEmpty, "\(seed)")
            let restored = try pgark.restore(to: "restored", [last.id, "--target-immediate"])
            try restored.recover()
            #expect(try restored.dumps() == last.dumps, "\(seed)")
        }
    }

    /// A server with a table of some megabytes, pgark without and with the power cut's library, and the cut.
    private func with(_ body: (TestServer, Pgark, Pgark, PowerCut) throws -> Void) throws {
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["summarize_wal": "on"])
            try node.fill("large", megabytes: 12)
            let pgark = try site.pgark(node)
            let root = pgark.repository.removingLastComponent()
            try Directory.create(root, owner: site.owner)
            let cut = try PowerCut(of: root, store: site.directory.appending("power-cut"), owner: site.owner)
            var watched = pgark
            watched.environment = cut.environment()
            try body(node, pgark, watched, cut)
        }
    }

    private static func loss(_ generator: inout SeededGenerator) -> PowerCut.Loss {
        generator.below(2) == 0 ? .everything : .someThings
    }

    private static func copy(_ source: FilePath, to target: FilePath, _ site: TestSite) throws {
        try site.command("/bin/cp", ["--archive", source.string, target.string]).run()
    }
}

extension Pgark {
    /// The complete backups, oldest first.
    fileprivate func backups() throws -> [String] {
        try self("list").backups.array.filter { $0.status.string == "done" }.compactMap(\.id.string).reversed()
    }
}
