import PostgresModel
@testable import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("Damage that is known")
struct DamageTests {
    typealias Content = RepositoryExample.Content
    typealias Place = DamageReport.Frame

    /// "x" and "y" have a frame each in the first backup. In the second "x" is as it was, "y" has another block, and "z" is new;
    /// the third has only "y".
    static func with(_ body: (RepositoryExample, BackupHistory) throws -> Void) throws {
        try RepositoryExample.with { example in
            let history = BackupHistory(example, Seed(value: 2))
            var files = ["x", "y"].map {
                Content($0, (0..<64).flatMap { _ in history.random.bytes(16) + [UInt8](repeating: 1, count: 8176) })
            }
            history.set(files)
            try history.take(.full)
            files[1].bytes[5 * 8192] ^= 1
            history.set(files + [Content("z", [1, 2, 3])])
            try history.take(.compared)
            history.set([files[1]])
            try history.take(.compared)
            try body(example, history)
        }
    }

    static func problem(_ id: String, _ file: String = "x") -> Verification.Problem {
        .init(backup: id, file: file, block: 0, message: "it is damaged")
    }

    static func note(_ example: RepositoryExample, _ frames: [Place], in id: String, deep: Bool = true) throws {
        try example.catalogue.note(
            DamageReport(time: Timestamp(seconds: 5), deep: deep, frames: frames, problems: [problem(id)]), in: id)
    }

    static func reference(_ example: RepositoryExample, _ backup: BackupHistory.Backup) throws -> BackupReference {
        try BackupReference(example.catalogue, backup.record, scratch: example.directory.appending("scratch"))
    }

    // MARK: A new backup

    @Test("is not referred to by a new backup: what is there is stored anew", arguments: 0..<3)
    func avoided(noted: Int) throws {
        try Self.with { example, history in
            let (first, second) = (history.backups[0], history.backups[1])
            let damaged = Place(pack: "\(first.id)-0", frame: 0)
            try Self.note(example, [damaged], in: history.backups[noted].id)
            try example.flip(damaged, .payload)
            history.set(second.files)
            let (backup, _) = try history.take(.compared, on: second)
            let places = Set(try example.parts(backup.record).map(\.place))
            #expect(!places.contains(damaged) && places.contains(Place(pack: "\(first.id)-0", frame: 1)))
            #expect(try BackupHistoryTests.storedBlocks(example, backup.record) == 64, "x, and nothing but x")
            #expect(try example.contents(backup.record).map(\.content.bytes) == second.files.map(\.bytes))
        }
    }

    @Test("is a missing pack, to which a new backup does not refer either")
    func missingPack() throws {
        try Self.with { example, history in
            let second = history.backups[1]
            try Directory.remove(example.packPath("\(history.backups[0].id)-0"))
            history.set(second.files)
            let (backup, _) = try history.take(.compared, on: second)
            #expect(try example.packs(backup.record) == ["\(backup.id)-0", "\(second.id)-0"])
            #expect(try example.contents(backup.record).map(\.content.bytes) == second.files.map(\.bytes))
        }
    }

    @Test("may be found by the new backup itself, in sums that cannot be read", arguments: [Surgery.FramePart.header, .sums])
    func unreadableSums(part: Surgery.FramePart) throws {
        try Self.with { example, history in
            let first = history.backups[0]
            try example.flip(Place(pack: "\(first.id)-0", frame: 0), part)
            history.set(first.files)
            let (backup, _) = try history.take(.compared, on: first)
            #expect(try Set(example.parts(backup.record).map(\.place.pack)) == ["\(first.id)-0", "\(backup.id)-0"])
            #expect(try example.contents(backup.record).map(\.content.bytes) == first.files.map(\.bytes))
        }
    }

    @Test(
        "makes a backup that refers to it no whole reference, and no other",
        arguments: [
            ([], nil, [false, false, false]), ([(0, 0)], 0, [true, true, false]), ([(0, 0)], 2, [true, true, false]),
            ([(0, 1)], 0, [true, true, true]), ([(1, 0)], 1, [false, true, true]), ([(0, 7)], 0, [false, false, false]),
            ([(5, 0)], 0, [false, false, false]), ([], 1, [false, false, false]), ([(0, 7), (0, 0)], 1, [true, true, false]),
        ] as [([(Int, Int)], Int?, [Bool])])
    func isDamaged(frames: [(Int, Int)], noted: Int?, expected: [Bool]) throws {
        try Self.with { example, history in
            // The number of a backup whose pack it is, from 0; there is no sixth.
            let places = frames.map { Place(pack: $0.0 < 3 ? "\(history.backups[$0.0].id)-0" : "other-0", frame: $0.1) }
            if let noted { try Self.note(example, places, in: history.backups[noted].id) }
            #expect(try history.backups.map { try Self.reference(example, $0).isDamaged } == expected)
        }
    }

    @Test("makes a backup whose pack is missing no whole reference")
    func isDamagedByMissingPack() throws {
        try Self.with { example, history in
            try Directory.remove(example.packPath("\(history.backups[1].id)-0"))
            #expect(try history.backups.map { try Self.reference(example, $0).isDamaged } == [false, true, true])
        }
    }

    @Test("of a map or a list of packs makes a backup no reference at all", arguments: ["map.zst", "packs"])
    func noReference(file: String) throws {
        try Self.with { example, history in
            try VerificationTests.flip(example.catalogue.directory(of: history.backups[1].id).appending(file), at: 9)
            let failure = try #require(throws: Failure.self) { try Self.reference(example, history.backups[1]) }
            #expect(failure.code == .damaged)
            #expect(try Directory.names(in: example.directory) == ["repository"])
        }
    }

    // MARK: What is remembered

    static func status(_ example: RepositoryExample) throws -> Catalogue.Status { try example.catalogue.find("latest").status }

    @Test("shows in the catalogue until a verification that looks as deep finds nothing", arguments: [true, false])
    func cleared(deep: Bool) throws {
        try RepositoryExample.with { example in
            let record = try example.backup([Content("x", [1])])
            let place = Place(pack: "\(record.id)-0", frame: 0)
            #expect(try Self.status(example) == .done && example.catalogue.damage(record.id) == nil)
            try Self.note(example, [place], in: record.id, deep: deep)
            #expect(try Self.status(example) == .damaged)
            #expect(try example.catalogue.damage(record.id)?.frames == [place])
            let nothing = DamageReport(time: .now, deep: false, frames: [], problems: [])
            try example.catalogue.note(nothing, in: record.id)
            #expect(try Self.status(example) == (deep ? .damaged : .done))
            #expect(try example.catalogue.damage(record.id)?.frames == (deep ? [place] : nil))
            try example.catalogue.note(DamageReport(time: .now, deep: true, frames: [], problems: []), in: record.id)
            #expect(try Self.status(example) == .done && example.catalogue.damage(record.id) == nil)
            try example.catalogue.note(nothing, in: record.id)
        }
    }

    @Test("found in depth holds on beside what a quicker verification finds")
    func kept() throws {
        try RepositoryExample.with { example in
            let record = try example.backup([Content("x", [1])])
            let places = (0..<3).map { Place(pack: "\(record.id)-0", frame: $0) }
            let problems = ["x", "y"].map { Self.problem(record.id, $0) }
            func note(_ deep: Bool, _ frames: [Place], _ problems: [Verification.Problem]) throws -> DamageReport? {
                try example.catalogue.note(
                    DamageReport(time: Timestamp(seconds: 7), deep: deep, frames: frames, problems: problems), in: record.id)
                return try example.catalogue.damage(record.id)
            }
            _ = try note(true, [places[0], places[1]], [problems[0]])
            let both = try #require(try note(false, [places[1], places[2]], problems))
            #expect(Set(both.frames) == Set(places) && both.frames.count == 3)
            #expect(both.problems.count == 2 && both.deep && both.time == Timestamp(seconds: 7))
            #expect(try note(true, [places[2]], [problems[1]])?.frames == [places[2]])
        }
    }

    @Test("is what a verification reports, and goes when it is repaired", arguments: [true, false])
    func verified(deep: Bool) throws {
        try VerificationTests.with { example, record in
            for isDamaged in [true, false] {
                // A second time puts the byte right.
                try example.flip(Place(pack: "\(record.id)-0", frame: 1), .payload)
                let report = try Verification(example.reader(record), deep: deep).run { _ in }
                #expect(report.frames == (isDamaged ? [Place(pack: "\(record.id)-0", frame: 1)] : []))
                try example.catalogue.note(
                    DamageReport(time: .now, deep: deep, frames: report.frames, problems: report.problems), in: record.id)
                #expect(try Self.status(example) == (isDamaged ? .damaged : .done))
                #expect(try Self.reference(example, .init(record: record, files: [])).isDamaged == isDamaged)
            }
        }
    }

    @Test("whose report cannot be read is a problem by itself, stops nobody and is replaced", arguments: ["", "{", "{}"])
    func unreadableReport(text: String) throws {
        try Self.with { example, history in
            let (second, frame) = (history.backups[1], Place(pack: "\(history.backups[0].id)-0", frame: 0))
            let path = example.catalogue.directory(of: second.id).appending("damage.json")
            try Self.note(example, [frame], in: history.backups[0].id)
            try SmallFile.write(text, to: path)
            #expect(try Self.statuses(example, history) == [.damaged, .damaged, .done])
            #expect(try example.catalogue.damage(second.id)?.problems.map(\.file) == ["damage.json"])
            // What others know is known still, and a new backup is built on the one with the unreadable report.
            #expect(try Self.reference(example, second).isDamaged && !Self.reference(example, history.backups[2]).isDamaged)
            history.set(second.files)
            let (backup, _) = try history.take(.compared, on: second)
            #expect(try BackupHistoryTests.storedBlocks(example, backup.record) == 64)
            try Self.note(example, [frame], in: second.id)
            #expect(try example.catalogue.damage(second.id)?.frames == [frame])
            try SmallFile.write(text, to: path)
            try example.catalogue.note(DamageReport(time: .now, deep: false, frames: [], problems: []), in: second.id)
            #expect(try Self.statuses(example, history) == [.damaged, .done, .done, .done])
        }
    }

    // MARK: Of several backups

    /// Verifies a backup, and keeps what is found as the command does.
    @discardableResult
    static func verify(_ example: RepositoryExample, _ record: BackupRecord, deep: Bool = false) throws -> DamageReport {
        let report = try Verification(example.reader(record), deep: deep).run { _ in }
        let damage = DamageReport(time: .now, deep: deep, frames: report.frames, problems: report.problems)
        try example.catalogue.note(damage, in: record.id)
        try example.catalogue.share(damage)
        return damage
    }

    static func statuses(_ example: RepositoryExample, _ history: BackupHistory) throws -> [Catalogue.Status] {
        try history.backups.map { try example.catalogue.find($0.id).status }
    }

    @Test("is noted in every backup that it hits, and not forgotten when the one that was looked at is deleted")
    func shared() throws {
        try Self.with { example, history in
            let (first, second) = (history.backups[0], history.backups[1])
            let damaged = Place(pack: "\(first.id)-0", frame: 0)
            try example.flip(damaged, .payload)
            try Self.verify(example, first.record)
            #expect(try Self.statuses(example, history) == [.damaged, .damaged, .done])
            let noted = try #require(try example.catalogue.damage(second.id))
            #expect(noted.frames == [damaged] && !noted.deep)
            #expect(noted.problems.map(\.backup) == [second.id] && noted.problems.map(\.file) == ["x"])

            _ = try history.delete([first])
            #expect(try Self.statuses(example, history) == [.damaged, .done])
            history.set(second.files)
            let (backup, _) = try history.take(.compared, on: second)
            #expect(try !example.parts(backup.record).map(\.place).contains(damaged))
            #expect(try example.contents(backup.record).map(\.content.bytes) == second.files.map(\.bytes))
        }
    }

    @Test("is noted in each backup as its own verification would find it", arguments: Seed.some(4), [true, false])
    func sharedAnywhere(seed: Seed, deep: Bool) throws {
        try RepositoryExample.with { example in
            let history = BackupHistory(example, seed)
            for _ in 0..<5 {
                history.change()
                try history.take([.compared, .changes].randomElement(using: &history.random)!, on: history.backups.last)
            }
            let looked = history.backups.randomElement(using: &history.random)!.record
            let frames = Set(try example.parts(looked).map(\.place)).sorted { ($0.pack, $0.frame) < ($1.pack, $1.frame) }
            for frame in Set([frames.first!, frames.randomElement(using: &history.random)!]) { try example.flip(frame, .payload) }
            let found = Set(try Self.verify(example, looked, deep: deep).frames)
            for backup in history.backups {
                let report = try Verification(example.reader(backup.record), deep: deep).run { _ in }
                // WAL is missing in this example: a verification names it, and nobody else's does.
                let expected = report.problems.filter { !$0.file.hasPrefix("WAL") }
                let noted = try example.catalogue.damage(backup.id)
                let problems = (noted?.problems ?? []).filter { !$0.file.hasPrefix("WAL") }
                #expect(Set(noted?.frames ?? []) == found.intersection(report.frames), "\(seed)")
                #expect(
                    problems.map { "\($0.file) \($0.block ?? -1)" }.sorted()
                        == expected.map { "\($0.file) \($0.block ?? -1)" }.sorted())
            }
        }
    }

    @Test("that was noted in others goes from each when that one is verified and well", arguments: [true, false])
    func sharedAndRepaired(deep: Bool) throws {
        try Self.with { example, history in
            try example.putArchived(RepositoryExample.segment(2))
            let damaged = Place(pack: "\(history.backups[0].id)-0", frame: 1)
            try example.flip(damaged, .payload)
            try Self.verify(example, history.backups[0].record, deep: deep)
            #expect(try Self.statuses(example, history) == [.damaged, .damaged, .damaged])
            try example.flip(damaged, .payload)
            for number in 0..<3 {
                let left = [Catalogue.Status](repeating: .done, count: number + 1) + Array(repeating: .damaged, count: 2 - number)
                try Self.verify(example, history.backups[number].record, deep: true)
                #expect(try Self.statuses(example, history) == left)
            }
        }
    }

    @Test("adds to what is noted in another backup already, and is not noted twice")
    func sharedTwice() throws {
        try Self.with { example, history in
            let (first, second) = (history.backups[0], history.backups[1])
            let (own, other) = (Place(pack: "\(second.id)-0", frame: 0), Place(pack: "\(first.id)-0", frame: 0))
            try Self.note(example, [own], in: second.id, deep: true)
            for _ in 0..<2 {
                try example.catalogue.share(DamageReport(time: .now, deep: false, frames: [other], problems: []))
                let noted = try #require(try example.catalogue.damage(second.id))
                #expect(Set(noted.frames) == [own, other] && noted.problems.count == 2 && noted.deep)
            }
        }
    }

    @Test("found while a backup is taken that refers to it is noted in that one when it is complete")
    func foundMeanwhile() throws {
        try Self.with { example, history in
            let first = history.backups[0]
            let writer = try example.writer("20261201T000000Z", on: first.record)
            for file in first.files { try example.write(file, to: writer) }
            let damaged = Place(pack: "\(first.id)-0", frame: 1)
            try example.flip(damaged, .payload)
            try Self.verify(example, first.record)
            let record = try example.complete(writer, .example(id: "20261201T000000Z"), on: first.record)
            #expect(try example.catalogue.find(record.id).status == .damaged)
            let noted = try #require(try example.catalogue.damage(record.id))
            #expect(noted.frames == [damaged] && noted.problems.map(\.file) == ["y"])
        }
    }

    @Test("in a map that cannot be read does not keep it from being noted in other backups")
    func sharedPastDamagedMap() throws {
        try Self.with { example, history in
            try VerificationTests.flip(example.catalogue.directory(of: history.backups[1].id).appending("packs"), at: 9)
            try VerificationTests.flip(example.catalogue.directory(of: history.backups[2].id).appending("map.zst"), at: 9)
            let damaged = Place(pack: "\(history.backups[0].id)-0", frame: 1)
            try example.catalogue.share(DamageReport(time: .now, deep: false, frames: [damaged], problems: []))
            #expect(try Self.statuses(example, history) == [.damaged, .done, .done])
        }
    }
}
