import Postgres
import PostgresModel
import Storage

/// Answers the server in place of a stream's thread that a slow disk holds up: a server that hears nothing for
/// wal_sender_timeout ends the connection, and a disk that is slow once would then be behind for good.
///
/// What is said is what was true before the wait began: nothing is reported that is not durable (promise P1).
///
/// SAFETY of `@unchecked Sendable`: the connection belongs to the stream's thread. Ours touches it only under the mutex and only
/// while that thread is held up, which it is until it has taken the mutex itself.
final class HeldUpReplies: @unchecked Sendable {
    private struct State {
        /// Since when the stream's thread waits, and what to say meanwhile.
        var wait: (since: UInt64, reply: StandbyStatusUpdate)?
        var failure: (any Error)?
    }

    /// In milliseconds. A server's wal_sender_timeout has seconds; it asks at half of that, which nobody reads meanwhile.
    static let interval = 500

    private let connection: Connection
    private let state = Monitor(State())
    /// Apart from the rest, so that the stream's own changes, two for each sync, wake nobody.
    private let isClosed = Monitor(false)
    private let thread: Monitor<WorkerThread<Void>?> = Monitor(nil)

    init(_ connection: Connection) {
        self.connection = connection
        thread.change { $0 = WorkerThread("replies") { [self] in answer() } }
    }

    /// Runs what may take long on a slow disk. The connection is not to be used within.
    func during<Value>(_ reply: StandbyStatusUpdate, _ body: () throws -> Value) throws -> Value {
        state.change { $0.wait = (Deadline.now, reply) }
        let outcome = Swift.Result { try body() }
        let failure = state.change { state in
            state.wait = nil
            return state.failure
        }
        // Of two failures the disk's says more: a connection can be made anew.
        let value = try outcome.get()
        if let failure { throw failure }
        return value
    }

    func close() {
        isClosed.change { $0 = true }
        _ = try? thread.read { $0! }.join()  // it throws nothing
    }

    private func answer() {
        while isClosed.wait(milliseconds: Self.interval, { $0 ? () : nil }) == nil {
            state.change { state in
                guard let wait = state.wait, Deadline.now - wait.since > UInt64(Self.interval) * 1_000_000 else { return }
                var reply = wait.reply
                reply.clock = .now
                do { try connection.sendCopyMessage(reply.bytes) } catch { state.failure = error }
            }
        }
    }
}
