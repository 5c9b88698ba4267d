/// The number of a transaction as WAL records carry it: 32 bits, without the epoch.
package struct TransactionID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Parses what a person gives as recovery_target_xid. An epoch in the upper half is dropped, as PostgreSQL does
    /// (src/backend/access/transam/xlogrecovery.c, check_recovery_target_xid).
    package init?(_ text: String) {
        guard let value = UInt64(text) else { return nil }
        rawValue = UInt32(truncatingIfNeeded: value)
    }

    package var description: String { String(rawValue) }
}

/// A WAL record that has a time of its own: at which a recovery can be told to end, the end of a transaction or a restore point
/// (PostgreSQL: src/backend/access/transam/xlogrecovery.c, recoveryStopsBefore and recoveryStopsAfter), or the begin of a timeline.
package struct WALLandmark: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        /// Of a prepared transaction: its own number, not that of the session that ended it.
        case commit(TransactionID)
        case abort(TransactionID)
        case restorePoint(String)
        /// The server ended a recovery, and takes writes from now on.
        case timeline(TimelineID)
    }

    package let kind: Kind
    /// By the clock of the server that wrote it. Times of neighbours may be slightly out of order.
    package let time: Timestamp
    /// Where the record begins.
    package let start: LSN
    /// Where the next record may begin: what pg_create_restore_point() returns.
    package let end: LSN

    package init(kind: Kind, time: Timestamp, start: LSN, end: LSN) {
        self.kind = kind
        self.time = time
        self.start = start
        self.end = end
    }

    /// The transaction that ended here, if one did.
    package var transaction: TransactionID? {
        switch kind {
        case .commit(let xid), .abort(let xid): xid
        case .restorePoint, .timeline: nil
        }
    }

    package var restorePoint: String? {
        switch kind {
        case .commit, .abort, .timeline: nil
        case .restorePoint(let name): name
        }
    }
}
