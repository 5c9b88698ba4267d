import PostgresModel
import TestSupport
import Testing

@Suite("A message of the WAL stream")
struct ReplicationMessageTests {
    static let clock = Timestamp(postgres: 848_675_045_120_000)

    static func walData(_ content: [UInt8]) -> [UInt8] {
        [UInt8(ascii: "w")] + .bigEndian(UInt64(0x300_0168)) + .bigEndian(UInt64(0x300_0200)) + .bigEndian(clock.postgres)
            + content
    }

    static func keepalive(_ flag: UInt8) -> [UInt8] {
        [UInt8(ascii: "k")] + .bigEndian(UInt64(0x300_0200)) + .bigEndian(clock.postgres) + [flag]
    }

    @Test("carries WAL behind its header", arguments: [0, 1, 131_072])
    func walData(count: Int) throws {
        let message = try Self.walData([UInt8](repeating: 7, count: count)).raw { try ReplicationMessage($0) }
        #expect(message == .walData(start: LSN("0/3000168")!, serverEnd: LSN("0/3000200")!, clock: Self.clock, count: count))
    }

    @Test("says that the server lives, and whether it wants an answer", arguments: [(0, false), (1, true)] as [(UInt8, Bool)])
    func keepalive(flag: UInt8, replyRequested: Bool) throws {
        let message = try Self.keepalive(flag).raw { try ReplicationMessage($0) }
        #expect(message == .keepalive(serverEnd: LSN("0/3000200")!, clock: Self.clock, replyRequested: replyRequested))
    }

    @Test("that is cut off is refused")
    func truncated() throws {
        for whole in [Self.walData([]), Self.keepalive(1)] {
            for count in whole.indices {
                let failure = try #require(throws: Failure.self) {
                    try Array(whole.prefix(count)).raw { try ReplicationMessage($0) }
                }
                #expect(failure.code == .protocolViolation)
            }
        }
    }

    @Test("of another kind is refused", arguments: ["d", "p", "W", "\0"])
    func unknown(kind: String) throws {
        let failure = try #require(throws: Failure.self) {
            try (Array(kind.utf8) + [UInt8](repeating: 0, count: 50)).raw { try ReplicationMessage($0) }
        }
        #expect(failure.code == .protocolViolation)
    }

    @Test("that is random never ends the program", arguments: Seed.some(10))
    func fuzz(seed: Seed) {
        var random = seed.generator
        for _ in 0..<500 {
            let kind = Array("wk".utf8).randomElement(using: &random)!
            let extreme = [UInt8](repeating: [0x00, 0x7F, 0x80, 0xFF].randomElement(using: &random)!, count: 40)
            let bytes =
                [kind] + (Bool.random(using: &random) ? extreme : random.bytes(40)).prefix(Int.random(in: 0...40, using: &random))
            do {
                switch try bytes.raw({ try ReplicationMessage($0) }) {
                case .walData(_, _, let clock, let count):
                    #expect(count == bytes.count - ReplicationMessage.headerSize)
                    #expect(!clock.description.isEmpty)
                case .keepalive(_, let clock, _): #expect(!clock.description.isEmpty)
                }
            } catch {
                #expect((error as? Failure)?.code == .protocolViolation)
            }
        }
    }
}

@Suite("A standby's status update")
struct StandbyStatusUpdateTests {
    @Test("has the bytes of the protocol", arguments: [(false, 0), (true, 1)] as [(Bool, UInt8)])
    func bytes(replyRequested: Bool, flag: UInt8) {
        var update = StandbyStatusUpdate(
            written: LSN("1/2")!, flushed: LSN("0/3000168")!, applied: LSN("0/1")!, clock: Timestamp(postgres: -2))
        update.replyRequested = replyRequested
        #expect(
            update.bytes == [
                0x72, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0, 1, 0x68, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                0xFF, 0xFF,
                0xFE, flag,
            ])
    }
}

@Suite("A message of a base backup")
struct BaseBackupMessageTests {
    @Test(
        "says what begins, what it is, or how far the server is",
        arguments: [
            (Array("nbase.tar\0\0".utf8), .archive(name: "base.tar", location: "")),
            (Array("n16384.tar\0/srv/space\0".utf8), .archive(name: "16384.tar", location: "/srv/space")),
            (Array("m".utf8), .manifest), (Array("dabc".utf8), .data(count: 3)), (Array("d".utf8), .data(count: 0)),
            ([UInt8(ascii: "p")] + .bigEndian(Int64(1 << 40)), .progress(bytes: 1 << 40)),
        ] as [([UInt8], BaseBackupMessage)])
    func reads(bytes: [UInt8], expected: BaseBackupMessage) throws {
        #expect(try bytes.raw { try BaseBackupMessage($0) } == expected)
    }

    @Test(
        "is refused where it is cut off or unknown",
        arguments: [
            "", "x", "n", "nbase.tar", "nbase.tar\0", "nbase.tar\0/srv", "nbase.tar\0/srv\0x", "nbase.tar\0/srv\0\0", "p",
            "p1234567", "p123456789", "mx",
        ])
    func refuses(text: String) throws {
        let failure = try #require(throws: Failure.self) { try Array(text.utf8).raw { try BaseBackupMessage($0) } }
        #expect(failure.code == .protocolViolation)
    }

    @Test("that is random never ends the program", arguments: Seed.some(10))
    func fuzz(seed: Seed) {
        var random = seed.generator
        for _ in 0..<500 {
            let bytes =
                [Array("nmdp".utf8).randomElement(using: &random)!]
                + random.bytes(Int.random(in: 0...12, using: &random)).map { $0 & 0x83 }
            do {
                if case .data(let count) = try bytes.raw({ try BaseBackupMessage($0) }) { #expect(count == bytes.count - 1) }
            } catch {
                #expect((error as? Failure)?.code == .protocolViolation)
            }
        }
    }
}
