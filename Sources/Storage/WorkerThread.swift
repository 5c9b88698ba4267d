internal import CLinux
import Glibc

/// A named thread for work that blocks: libpq, files, compression. Swift's own pool never waits for a disk.
package final class WorkerThread<Value: Sendable>: Sendable {
    private let outcome = Monitor<Swift.Result<Value, any Error>?>(nil)

    package init(_ name: String, _ body: @escaping @Sendable () throws -> Value) {
        let outcome = outcome
        startThread(name) {
            let result = Swift.Result { try body() }
            outcome.change { $0 = result }
        }
    }

    /// Waits for the thread's end and returns or throws what its body did.
    package func join() throws -> Value { try outcome.wait { $0 }.get() }

    package var isFinished: Bool { outcome.read { $0 != nil } }
}

/// How many threads work at one thing unless somebody says otherwise: as many as there are processors, but no more than keep a
/// server's stream or a disk busy.
package let standardThreadCount = min(4, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))

private final class ThreadBody: Sendable {
    let name: String
    let run: @Sendable () -> Void

    init(name: String, run: @escaping @Sendable () -> Void) {
        self.name = name
        self.run = run
    }
}

private func startThread(_ name: String, _ run: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let body = Unmanaged.passRetained(ThreadBody(name: String(name.prefix(15)), run: run)).toOpaque()
    let status = pthread_create(
        &thread, nil,
        { context in
            let body = Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue()
            pgark_block_interrupts()
            pgark_name_thread(body.name)
            body.run()
            return nil
        }, body)
    precondition(status == 0, "the system has no room for another thread")
    pthread_detach(thread)
}

/// A mutual exclusion with a condition to wait for. `Synchronization.Mutex` has none to wait on.
///
/// SAFETY of `@unchecked Sendable`: `state` is touched only while the mutex is held.
package final class Monitor<State>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var state: State

    package init(_ state: State) {
        self.state = state
        pthread_mutex_init(mutex, nil)
        // Waits have limits, which no clock that jumps may change.
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` alone, then wakes everybody who waits.
    package func change<Value>(_ body: (inout State) throws -> Value) rethrows -> Value {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    package func read<Value>(_ body: (State) throws -> Value) rethrows -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(state)
    }

    /// Runs `body`, again after each change, until it returns something.
    package func wait<Value>(_ body: (inout State) throws -> Value?) rethrows -> Value {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        while true {
            if let value = try body(&state) { return value }
            pthread_cond_wait(condition, mutex)
        }
    }

    /// As `wait`, and nil where that takes longer than so many milliseconds.
    package func wait<Value>(milliseconds: Int, _ body: (inout State) throws -> Value?) rethrows -> Value? {
        var end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &end)
        let nanoseconds = end.tv_nsec + milliseconds % 1000 * 1_000_000
        end.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
        end.tv_nsec = nanoseconds % 1_000_000_000
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        while true {
            if let value = try body(&state) { return value }
            if pthread_cond_timedwait(condition, mutex, &end) == ETIMEDOUT { return try body(&state) }
        }
    }
}
