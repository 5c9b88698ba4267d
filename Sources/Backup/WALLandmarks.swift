package import PostgresModel

/// What the restore planner asks the WAL: where the places are at which recovery can be told to end.
///
/// The planner itself does no I/O; `WALArchiveLandmarks` answers from the repository, a test from a list.
package protocol WALLandmarks {
    /// The first landmark of the stretch that recovery would stop at.
    func search(_ query: LandmarkQuery, in stretch: WALStretch) throws -> LandmarkSearch
    /// The first transaction that ended later than `time` (or just then, with `orAt`), and the one that ended before it.
    func ending(after time: Timestamp, orAt: Bool, in stretch: WALStretch) throws -> EndingSearch
    /// Where the last record of the stretch begins.
    func lastRecord(in stretch: WALStretch) throws -> LSN?
}

/// The records along a history that begin in `from..<to`. WAL is there up to `reach`, so that the last of them can be
/// read to its end.
package struct WALStretch: Sendable {
    package let history: TimelineHistory
    package let from: LSN
    package let to: LSN
    package let reach: LSN

    package init(history: TimelineHistory, from: LSN, to: LSN, reach: LSN) {
        self.history = history
        self.from = from
        self.to = to
        self.reach = reach
    }

    package func holds(_ landmark: WALLandmark) -> Bool { landmark.start >= from && landmark.start < to }
}

package enum LandmarkQuery: Sendable, Equatable {
    case restorePoint(String)
    case transaction(TransactionID)

    /// Nil where the target is no place that has to be searched for.
    package init?(_ point: RecoveryTarget.Point) {
        switch point {
        case .name(let name): self = .restorePoint(name)
        case .transaction(let text):
            guard let transaction = TransactionID(text) else { return nil }
            self = .transaction(transaction)
        case .endOfWAL, .time, .lsn, .immediate: return nil
        }
    }

    /// Recovery stops at the first record for which this is true (PostgreSQL:
    /// src/backend/access/transam/xlogrecovery.c, recoveryStopsAfter).
    package func matches(_ landmark: WALLandmark) -> Bool {
        switch self {
        // By bytes, as strcmp does.
        case .restorePoint(let name): landmark.restorePoint.map { $0.utf8.elementsEqual(name.utf8) } ?? false
        case .transaction(let transaction): landmark.transaction == transaction
        }
    }
}

package struct LandmarkSearch: Sendable, Equatable {
    package var match: WALLandmark?
    /// Restore points that were seen on the way, the newest ones, oldest first.
    package private(set) var restorePoints: [WALLandmark] = []

    /// More than that helps nobody to find a misspelled name.
    package static let mostRestorePoints = 10

    package init() {}

    package mutating func see(_ landmark: WALLandmark) {
        guard landmark.restorePoint != nil else { return }
        restorePoints.append(landmark)
        if restorePoints.count > Self.mostRestorePoints { restorePoints.removeFirst() }
    }
}

package enum EndingSearch: Sendable, Equatable {
    /// `before` is the last transaction of the stretch that ended ahead of the one found, in the order of the WAL.
    case found(WALLandmark, before: WALLandmark?)
    /// No transaction ended later; the last record of the WAL begins at `lastRecord`.
    case none(lastRecord: LSN?)
}
