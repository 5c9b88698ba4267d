@testable import Cluster
import Glibc
import Postgres
import PostgresModel
import Repository
import Storage
import SystemPackage
import Testing

@Suite struct RepositoryFactsTests {
    private static let system = Repository.System(
        systemIdentifier: Example.system, serverMajor: 18, walSegmentSize: WALSegmentSize(bytes: 16 << 20)!)

    /// A repository on disk; segments are empty files, since only their names and sizes are looked at.
    private final class Place {
        let root: FilePath
        let archive: WALArchive

        init() throws {
            var template = Array("/tmp/pgark-facts-XXXXXX".utf8CString)
            root = FilePath(String(cString: mkdtemp(&template)))
            let repository = Repository(root: root.appending("repo"), cluster: "shop")
            try repository.prepare(for: RepositoryFactsTests.system)
            archive = WALArchive(repository, system: RepositoryFactsTests.system)
        }

        deinit { try? Directory.removeTree(root) }

        func add(_ timeline: UInt32, _ numbers: ClosedRange<UInt64>) throws {
            for number in numbers {
                let path = archive.archivedPath(WALSegment(timeline: TimelineID(rawValue: timeline), number: number))
                try Directory.create(path.removingLastComponent())
                try SmallFile.write([0], to: path)
            }
        }

        var facts: RepositoryFacts {
            get throws {
                RepositoryFacts.read(
                    .init(path: root.appending("repo"), slot: try SlotName("pgark")), cluster: "shop")
            }
        }
    }

    @Test func aRepositoryWithoutHolesHasNoGaps() throws {
        let place = try Place()
        try place.add(1, 1...5)
        let facts = try place.facts
        #expect(facts.failure == nil)
        #expect(facts.exists && facts.isWritable)
        #expect(facts.systemIdentifier == Example.system)
        #expect(facts.segmentCount == 5)
        #expect(facts.receiver.receivedLSN == LSN("0/6000000"))
        #expect(!facts.receiver.isRunning)
        #expect(facts.gaps == [])
    }

    @Test func aMissingSegmentIsAGap() throws {
        let place = try Place()
        try place.add(1, 1...2)
        try place.add(1, 5...6)
        #expect(try place.facts.gaps == [.init(timeline: .first, fromLSN: LSN("0/3000000")!, toLSN: LSN("0/5000000")!)])
    }

    @Test(
        arguments: [
            (1...4, 4...6, nil, nil),  // the new timeline's file repeats the begin of the segment that it left
            (1...3, 4...6, nil, nil),
            (1...2, 4...6, "0/3000000", "0/4000000"),
            (1...4, 6...7, "0/4000100", "0/6000000"),
        ] as [(ClosedRange<UInt64>, ClosedRange<UInt64>, String?, String?)])
    func aTimelineMustBeginWhereItsParentWasLeft(
        _ parent: ClosedRange<UInt64>, _ child: ClosedRange<UInt64>, _ from: String?, _ to: String?
    ) throws {
        let place = try Place()
        let second = TimelineID(rawValue: 2)
        try place.archive.store(history: "1\t0/4000100\tno recovery target specified\n", of: second)
        try place.add(1, parent)
        try place.add(2, child)
        let gaps = try place.facts.gaps
        #expect(gaps.map { "\($0.fromLSN)" } == [from].compactMap { $0 })
        #expect(gaps.map { "\($0.toLSN)" } == [to].compactMap { $0 })
    }

    @Test func aRepositoryThatIsNotThereIsAFactAndNoError() throws {
        let facts = RepositoryFacts.read(.init(path: "/nonexistent/pgark", slot: try SlotName("pgark")), cluster: "shop")
        #expect(!facts.exists)
        #expect(facts.failure == nil)
    }

    @Test func aDamagedRecordIsAFactToo() throws {
        let place = try Place()
        try SmallFile.write("{", to: place.root.appending("repo").appending("repository.json"))
        #expect(try place.facts.failure?.code == .damaged)
    }
}
