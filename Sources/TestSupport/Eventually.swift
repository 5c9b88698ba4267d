import Glibc
import Postgres

/// Asks `condition` until it has a value. Throws when it has none in time, with `what` did not come true.
///
/// Tests never sleep and hope: they wait for a fact, and only a defect makes them wait to the end.
@discardableResult
package func eventually<Value>(_ what: String, seconds: Double = 30, _ condition: () throws -> Value?) throws -> Value {
    let deadline = Deadline(seconds: seconds)
    while true {
        if let value = try condition() { return value }
        if deadline.isOver { throw TestFailure("not within \(seconds) s: \(what)") }
        usleep(20_000)
    }
}

package func eventually(_ what: String, seconds: Double = 30, _ condition: () throws -> Bool) throws {
    try eventually(what, seconds: seconds) { try condition() ? () : nil }
}

/// Lets time pass: where the moment of what follows is itself what a test varies, and never to wait for something.
package func pause(_ seconds: Double) { usleep(UInt32(seconds * 1e6)) }

/// How many seconds it takes.
package func timed(_ body: () throws -> Void) rethrows -> Double {
    let begin = Deadline.now
    try body()
    return Double(Deadline.now - begin) / 1e9
}
