/// The few facts of global/pg_control that tell whose data a directory holds
/// (PostgreSQL: src/include/catalog/pg_control.h, ControlFileData; the same head since version 9.3).
package struct ControlFile: Sendable, Equatable {
    package let systemIdentifier: SystemIdentifier
    package let state: State

    package enum State: UInt32, Sendable {
        case startup, shutDown, shutDownInRecovery, shuttingDown, inCrashRecovery, inArchiveRecovery, inProduction
    }

    package init?(bytes: [UInt8]) {
        guard bytes.count >= 24 else { return nil }
        func integer(_ offset: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * $1) }
        }
        let version = integer(8, 4)
        guard (1000...2000).contains(version), let state = State(rawValue: UInt32(integer(16, 4))) else { return nil }
        systemIdentifier = SystemIdentifier(rawValue: integer(0, 8))
        self.state = state
    }
}
