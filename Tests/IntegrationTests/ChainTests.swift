import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Promise P3: every backup restores as a full backup, whatever was taken before it and whatever was deleted since.
@Suite("Backups that were built on each other")
struct ChainTests {
    private static let count = 6

    @Test("survive whatever is deleted, the full one first", arguments: TimelineIncrementTests.majors, Seed.some(1))
    func survive(major: Int, seed: Seed) throws {
        var generator = seed.generator
        try TestSite.with(major) { site in
            let node = try site.primary(settings: major < 17 ? [:] : ["summarize_wal": "on"])
            let pgark = try site.pgark(node)
            try node.sql("CREATE TABLE public.large AS SELECT n, md5(n::text) AS r FROM generate_series(1, 60000) n")
            var states = [try pgark.backUp(node)]
            while states.count < Self.count {
                let (first, part) = (generator.below(40_000), generator.below(20_000))
                try node.sql("UPDATE public.large SET r = md5(r) WHERE n BETWEEN \(first) AND \(first + part)")
                try node.sql("CREATE TABLE public.new\(states.count) AS SELECT * FROM public.large LIMIT \(part)")
                if generator.below(2) == 0 { try node.sql("VACUUM public.large") }
                states.append(try pgark.backUp(node))
            }
            #expect(states.map(\.isIncremental) == [false] + Array(repeating: true, count: Self.count - 1), "\(seed)")

            try delete([states.removeFirst()], pgark, seed)
            states.shuffle(using: &generator)
            try delete([states.removeLast(), states.removeLast()], pgark, seed)
            #expect(try pgark("verify", "--all", "--deep").problems.array.isEmpty, "\(seed)")
            for state in states { try pgark.expectRestored(state) }
            try delete([states.removeLast(), states.removeLast()], pgark, seed)
            try pgark.expectRestored(states[0])
            try delete(states, pgark, seed)
            for name in ["packs", "backups"] {
                #expect(try Directory.names(in: pgark.repository.appending(name)) == [], "\(seed)")
            }
        }
    }

    /// What would be freed is what is freed, and what the disk has less; but a pack that is to be written anew can only be
    /// estimated.
    private func delete(_ states: [BackedUpState], _ pgark: Pgark, _ seed: Seed) throws {
        let ids = states.map(\.id)
        let before = try bytes(pgark)
        let plan = try pgark.succeed(["delete", "--dry-run"] + ids)
        #expect(try bytes(pgark) == before, "\(seed)")
        let result = try pgark.succeed(["delete", "--yes"] + ids)
        let freed = try #require(result.freed_bytes.int)
        #expect(try before - bytes(pgark) == freed, "\(seed)")
        #expect(plan.backups == result.backups && plan.removed_packs == result.removed_packs, "\(seed)")
        #expect(plan.rewritten_packs == result.rewritten_packs, "\(seed)")
        let planned = try #require(plan.freed_bytes.int)
        if result.rewritten_packs.int == 0 { #expect(planned == freed, "\(seed)") }
        #expect(abs(planned - freed) <= freed / 4, "\(planned) planned, \(freed) freed, \(seed)")
        #expect(try pgark("list").backups.array.allSatisfy { !ids.contains($0.id.string ?? "") }, "\(seed)")
    }

    /// What all packs and all that belongs to backups take.
    private func bytes(_ pgark: Pgark) throws -> Int {
        let sizes = try pgark.site.shell(
            "find \"$1\"/packs \"$1\"/backups -type f -printf '%s\\n'", pgark.repository.string)
        return sizes.split(separator: "\n").reduce(0) { $0 + (Int($1) ?? 0) }
    }
}
