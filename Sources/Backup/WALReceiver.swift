package import Postgres
import PostgresModel
package import Repository
package import Storage

/// Receives WAL from a server into the repository, for as long as it is asked to.
///
/// One thread streams: it writes what arrives to the segment's partial file, makes it durable once per drained batch,
/// and only then reports it as flushed (promise P1). A second thread compresses finished segments into the archive.
/// A lost connection is no reason to end: the receiver connects again, later each time, and goes on at the frontier.
package final class WALReceiver: Sendable {
    package struct Settings: Sendable {
        /// Asked before each attempt to connect: after a failover the primary is another node.
        package var connection: @Sendable () throws -> String
        /// Shown by the server in pg_stat_replication; the name for synchronous_standby_names.
        package var application: String
        package var slot: Slot
        package var level: CompressionLevel
        /// How long to go on trying after the connection is lost; nil for ever.
        package var patienceSeconds: Double?

        package init(
            connection: @escaping @Sendable () throws -> String, application: String, slot: Slot, level: CompressionLevel,
            patienceSeconds: Double? = nil
        ) {
            self.connection = connection
            self.application = application
            self.slot = slot
            self.level = level
            self.patienceSeconds = patienceSeconds
        }
    }

    package enum Slot: Sendable {
        /// Created where it is missing.
        case permanent(SlotName)
        /// The permanent one where the server has it, else a temporary one that goes with the connection.
        case existingOrTemporary(SlotName)
    }

    private struct Shared {
        var isStreaming = false
        var isStopping = false
        var isEnded = false
        var failure: (any Error)?
        var flushed: (timeline: TimelineID, lsn: LSN)?
    }

    private let repository: Repository
    private let settings: Settings
    private let reporter: Reporter
    private let shared = Monitor(Shared())

    package init(repository: Repository, settings: Settings, reporter: Reporter) {
        self.repository = repository
        self.settings = settings
        self.reporter = reporter
    }

    // MARK: For other threads

    /// Asks the receiver to end in order.
    package func stop() { shared.change { $0.isStopping = true } }

    /// Waits until WAL is held on the server and arrives here, or throws what prevents that.
    package func waitUntilStreaming() throws {
        try shared.wait { shared -> Void? in
            if let failure = shared.failure { throw failure }
            if shared.isStreaming { return () }
            if shared.isEnded { throw Failure(.interrupted, "interrupted before the WAL stream began") }
            return nil
        }
    }

    /// True where this receiver itself made the WAL of a timeline durable up to there.
    func hasFlushed(_ lsn: LSN, on timeline: TimelineID) -> Bool {
        shared.read { $0.flushed.map { $0.timeline == timeline && $0.lsn >= lsn } ?? false }
    }

    package func failure() -> (any Error)? { shared.read { $0.failure } }

    // MARK: The loop

    private static let shortestPause = 0.5
    private static let longestPause = 30.0

    /// Returns after `stop` or an interrupt of the process; throws what another attempt cannot mend.
    ///
    /// The caller holds the receive lock.
    package func run() throws {
        defer { shared.change { $0.isEnded = true } }
        do { try runAttempts() } catch {
            shared.change { $0.failure = error }
            throw error
        }
    }

    private func runAttempts() throws {
        var pause = Self.shortestPause
        var lastStreamed = Deadline.now
        var hasStreamed = false
        while !isEnding {
            let isFirst = !hasStreamed
            var wasStreaming = false
            do {
                defer { if wasStreaming { lastStreamed = Deadline.now } }
                let session = WALSession(
                    repository: repository, settings: settings, conninfo: try settings.connection(), isFirst: isFirst,
                    reporter: reporter)
                try session.run(
                    onStreaming: {
                        wasStreaming = true
                        hasStreamed = true
                        pause = Self.shortestPause
                        shared.change { $0.isStreaming = true }
                    },
                    onFlush: { [shared] timeline, lsn in shared.change { $0.flushed = (timeline, lsn) } },
                    isEnding: { isEnding })
            } catch let failure as Failure where failure.mayPass {
                if let patience = settings.patienceSeconds, Double(Deadline.now - lastStreamed) / 1e9 > patience { throw failure }
                let facts = failure.details.isEmpty ? "" : " (\(failure.details.joined(separator: "; ")))"
                reporter.note("WAL stream: \(failure.message)\(facts); trying again in \(decimal(pause, places: 1)) s")
            }
            try waitToRetry(pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }

    private var isEnding: Bool { Interruption.isRequested || shared.read { $0.isStopping } }

    private func waitToRetry(_ seconds: Double) throws {
        let end = Deadline(seconds: seconds)
        while !isEnding, !end.isOver { pause(milliseconds: min(100, end.millisecondsLeft)) }
    }
}

extension Failure {
    /// True where the same attempt may succeed later without anybody changing anything here.
    fileprivate var mayPass: Bool {
        switch code {
        // A gap as well: the next attempt sees that the WAL is gone, says so, and goes on behind it.
        // And where a sync failed: what was not durable by then is received and written anew, the whole segment of it.
        case .serverUnreachable, .timedOut, .serverError, .slotInUse, .diskFull, .inputOutput, .authenticationFailed, .walGap:
            true
        default: false
        }
    }
}
