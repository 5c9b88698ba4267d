import PostgresModel
import Storage
import TestSupport
import Testing

@Suite("A worker thread")
struct WorkerThreadTests {
    @Test("gives what its body returned, as often as it is asked")
    func value() throws {
        let thread = WorkerThread("test") { 42 }
        #expect(try thread.join() == 42)
        #expect(try thread.join() == 42)
        #expect(thread.isFinished)
    }

    @Test("throws what its body threw")
    func failure() throws {
        let thread = WorkerThread<Void>("test") { throw Failure(.diskFull, "no space") }
        let failure = try #require(throws: Failure.self) { try thread.join() }
        #expect(failure.code == .diskFull)
    }

    @Test("is not finished before its body is")
    func isFinished() throws {
        let mayEnd = Monitor(false)
        let thread = WorkerThread("test") { mayEnd.wait { $0 ? () : nil } }
        #expect(!thread.isFinished)
        mayEnd.change { $0 = true }
        try thread.join()
        #expect(thread.isFinished)
    }

    @Test("may have a name longer than the system's limit")
    func longName() throws {
        #expect(try WorkerThread("a name that is much too long for Linux ü") { 1 }.join() == 1)
    }
}

@Suite("A monitor")
struct MonitorTests {
    @Test("loses no change of several threads")
    func counts() throws {
        let count = Monitor(0)
        let threads = (0..<8).map { n in WorkerThread("count-\(n)") { for _ in 0..<2000 { count.change { $0 += 1 } } } }
        for thread in threads { try thread.join() }
        #expect(count.read { $0 } == 16_000)
    }

    @Test("may be waited for no longer than so long; what came just then is seen")
    func limitedWait() {
        let state = Monitor(0)
        let begin = ContinuousClock.now
        #expect(state.wait(milliseconds: 30) { $0 > 0 ? $0 : nil } == nil)
        #expect(ContinuousClock.now - begin >= .milliseconds(30))
        state.change { $0 = 5 }
        #expect(state.wait(milliseconds: 0) { $0 > 0 ? $0 : nil } == 5)
    }

    @Test("wakes who waits for a change")
    func wakes() throws {
        let queue = Monitor<[Int]>([])
        let consumer = WorkerThread("consumer") {
            (0..<1000).map { _ in queue.wait { $0.isEmpty ? nil : $0.removeFirst() } }
        }
        for number in 0..<1000 { queue.change { $0.append(number) } }
        #expect(try consumer.join() == Array(0..<1000))
    }

    @Test("wakes who waits for what another waiter changed")
    func chain() throws {
        let turn = Monitor(0)
        let threads = (0..<4).map { n in
            WorkerThread("turn-\(n)") {
                for round in 0..<50 {
                    turn.wait { state -> Void? in
                        guard state == round * 4 + n else { return nil }
                        state += 1
                        return ()
                    }
                }
            }
        }
        for thread in threads { try thread.join() }
        #expect(turn.read { $0 } == 200)
    }

    @Test("is free again after a body threw")
    func throwing() {
        let state = Monitor(1)
        #expect(throws: Failure.self) { try state.change { _ in throw Failure(.internalError, "x") } }
        #expect(throws: Failure.self) { try state.wait { _ -> Int? in throw Failure(.internalError, "x") } }
        #expect(state.read { $0 } == 1)
    }
}
