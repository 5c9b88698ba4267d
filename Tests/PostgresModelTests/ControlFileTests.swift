import PostgresModel
import TestSupport
import Testing

@Suite("A control file")
struct ControlFileTests {
    /// As pg_control begins: identifier, version of the format, version of the catalogue, state, time.
    static func bytes(system: UInt64, version: UInt32, state: UInt32) -> [UInt8] {
        .littleEndian(system) + .littleEndian(version) + .littleEndian(UInt32(202_209_061)) + .littleEndian(state)
            + .littleEndian(UInt32(0))
            + [UInt8](repeating: 0xAA, count: 100)
    }

    @Test(
        "says whose data it is and how the server left it",
        arguments: [(0, .startup), (1, .shutDown), (2, .shutDownInRecovery), (5, .inArchiveRecovery), (6, .inProduction)]
            as [(UInt32, ControlFile.State)])
    func reads(raw: UInt32, state: ControlFile.State) throws {
        let control = try #require(ControlFile(bytes: Self.bytes(system: 7_300_000_000_000_000_001, version: 1300, state: raw)))
        #expect(control.systemIdentifier == SystemIdentifier(rawValue: 7_300_000_000_000_000_001))
        #expect(control.state == state)
    }

    /// The head of a pg_control that initdb 15 wrote, and what pg_controldata said of it.
    static let realHead = "5fb1b71c1d1c036b1405000025770d0c01000000000000001d1c036b00000000f814740100000000f814740100000000"
    static let realIdentifier = "7711037898349850975"

    @Test("of a real server is read")
    func real() throws {
        let control = try #require(ControlFile(bytes: [UInt8](hex: Self.realHead)))
        #expect(control.systemIdentifier.description == Self.realIdentifier)
        #expect(control.state == .shutDown)
    }

    @Test(
        "is refused where it is another thing",
        arguments: [(999, 1), (1300, 7), (0, 1), (0x1405_0000, 1), (2001, 1)] as [(UInt32, UInt32)])
    func refuses(version: UInt32, state: UInt32) {
        #expect(ControlFile(bytes: Self.bytes(system: 1, version: version, state: state)) == nil)
    }

    @Test("that is cut off is refused", arguments: 0..<24)
    func short(count: Int) {
        #expect(ControlFile(bytes: Array(Self.bytes(system: 1, version: 1300, state: 1).prefix(count))) == nil)
    }
}
