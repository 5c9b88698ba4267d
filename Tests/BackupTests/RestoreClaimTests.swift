@testable import Backup
import PostgresModel
import Repository
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("Two restores to one place")
struct RestoreClaimTests {
    typealias Content = RepositoryExample.Content

    static func code(_ body: () throws -> Void) throws -> Failure.Code { try #require(throws: Failure.self) { try body() }.code }

    /// The second has looked at the place before the first one was there.
    @Test("do not write at once, and not one over the other", arguments: [true, false])
    func claims(sharesOnlyTablespace: Bool) throws {
        try RepositoryExample.with { example in
            let record = try RestoreExample.backup(
                example, [RestoreExample.control], entries: DeltaRestoreTests.spaceEntries,
                tablespaces: [.init(oid: "16384", location: "/srv/space")])
            func destination(_ name: String) throws -> RestoreDestination {
                try RestoreDestination(
                    directory: example.directory.appending(name), mapping: [("16384", example.directory.appending("space"))],
                    record: record)
            }
            let (first, second) = try (destination("data"), destination(sharesOnlyTablespace ? "other" : "data"))
            let outline = try MapOutline(example.reader(record), first)
            try second.check(example.reader(record))
            do {
                let claim = try first.prepare(outline, record)
                #expect(try Self.code { _ = try second.prepare(outline, record) } == .locked)
                try overwrite(example.directory.pushing("space/file"), [1])
                try Directory.create(first.directory.appending("global"))
                try overwrite(first.directory.pushing("global/pg_control"), [1])
                try first.finish()
                withExtendedLifetime(claim) {}
            }
            let before = try RestoreExample.tree(example.directory, times: true)
            #expect(try Self.code { _ = try second.prepare(outline, record) } == .directoryNotEmpty)
            #expect(try RestoreExample.differences(RestoreExample.tree(example.directory, times: true), before) == [])
        }
    }

    @Test("end with one that is complete, and one that is refused")
    func atOnce() throws {
        try RepositoryExample.with { example in
            let record = try RestoreExample.backup(
                example, [Content("base/5/1", [UInt8](repeating: 1, count: 100_000)), RestoreExample.control])
            _ = try RestoreExample.restore(example, record)
            let expected = try RestoreExample.tree(RestoreExample.data(example))
            for round in 0..<10 {
                let place = example.directory.appending("place\(round)")
                // Each one's start lets another one find something else.
                let restores = (0..<4).map { n in
                    WorkerThread("restore-\(n)") { Result { try RestoreExample.restore(example, record, to: place) } }
                }
                let results = try restores.map { try $0.join() }
                let codes = results.compactMap { result -> Failure.Code? in
                    if case .failure(let failure as Failure) = result { failure.code } else { nil }
                }
                #expect(codes.count == 3 && codes.allSatisfy { [.locked, .directoryNotEmpty].contains($0) }, "\(codes)")
                #expect(try RestoreExample.differences(RestoreExample.tree(place), expected) == [])
            }
        }
    }
}
