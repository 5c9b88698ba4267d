import Postgres
import PostgresModel
import Repository
import Storage

/// Makes sure that a backup has its WAL: held on the server from before it begins, durable here when it ends.
///
/// Where a receiver runs for the cluster, that one does it and we wait. Where none runs, or where it ends meanwhile,
/// we receive ourselves for as long as it takes.
final class WALCoverage {
    private let archive: WALArchive
    private let settings: BackupJob.Settings
    private let reporter: Reporter
    private var own: (receiver: WALReceiver, thread: WorkerThread<Void>, lock: LockFile)?

    /// WAL that nobody sends within this time will not come.
    private static let longestSilence = 300.0

    /// When it returns, WAL is held from here on.
    init(repository: Repository, system: Repository.System, settings: BackupJob.Settings, reporter: Reporter) throws {
        archive = WALArchive(repository, system: system)
        self.settings = settings
        self.reporter = reporter
        try receiveUnlessOthersDo()
    }

    private func receiveUnlessOthersDo() throws {
        guard own == nil,
            let lock = try LockFile.take(archive.repository.receiveLock, purpose: "pgark backup (its own WAL stream)")
        else { return }
        let connection = settings.connection
        let receiver = WALReceiver(
            repository: archive.repository,
            settings: WALReceiver.Settings(
                connection: { connection }, application: "pgark backup WAL", slot: .existingOrTemporary(settings.slot),
                level: settings.level, patienceSeconds: 60),
            reporter: reporter)
        let thread = WorkerThread("receive-wal") { try receiver.run() }
        own = (receiver, thread, lock)
        do { try receiver.waitUntilStreaming() } catch {
            end()
            throw error
        }
    }

    /// Returns when every byte from `begin` to before `end` is durable in the repository.
    func wait(from begin: LSN, to end: LSN, on timeline: TimelineID) throws {
        var deadline = Deadline(seconds: Self.longestSilence)
        var isFirst = true
        var reached = LSN.zero
        while try !isCovered(from: begin, to: end, on: timeline) {
            if isFirst { reporter.note("waiting for WAL up to \(end)") }
            isFirst = false
            if let failure = own?.receiver.failure() { throw failure }
            try receiveUnlessOthersDo()
            if let now = try archive.reach(from: archive.segmentSize.start(of: begin), on: timeline), now > reached {
                reached = now
                deadline = Deadline(seconds: Self.longestSilence)
            }
            try deadline.check(
                "could not complete the backup: WAL up to \(end) did not arrive within \(Int(Self.longestSilence)) s")
            pause(milliseconds: 50)
        }
    }

    private func isCovered(from begin: LSN, to end: LSN, on timeline: TimelineID) throws -> Bool {
        let last = WALSegment(timeline: timeline, endingAt: end, size: archive.segmentSize)
        var segment = WALSegment(timeline: timeline, holding: begin, size: archive.segmentSize)
        while segment.number <= last.number {
            switch try archive.place(of: segment) {
            case nil: return false
            case .archived, .complete: break
            case .partial(let bytes):
                guard segment == last, segment.start(size: archive.segmentSize) + bytes >= end else { return false }
                guard try isProved(end, on: timeline) else { return false }
            }
            segment = segment.next
        }
        return true
    }

    /// Only who wrote it knows that it is durable: to another process a sync of the same file succeeds also where the
    /// writer's has just failed (Linux reports a failed write to those who had the file open then).
    private func isProved(_ end: LSN, on timeline: TimelineID) throws -> Bool {
        if own?.receiver.hasFlushed(end, on: timeline) == true { return true }
        return try archive.moment(of: timeline).map { $0.durableLSN >= end } ?? false
    }

    func end() {
        guard let running = own else { return }
        running.receiver.stop()
        _ = try? running.thread.join()  // what went wrong there was either reported by `wait` or no longer matters
        own = nil
    }
}
