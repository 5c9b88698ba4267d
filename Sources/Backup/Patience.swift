import Postgres
package import PostgresModel
import Storage

/// How long to wait for others who are at work in a repository.
package struct Patience {
    private let seconds: Double
    private let onWait: (Failure) -> Void

    /// None: whoever meets a lock says so and ends.
    package static var none: Patience { Patience(seconds: 0) { _ in } }

    /// `onWait` hears once of whom is waited for.
    package init(seconds: Double, onWait: @escaping (Failure) -> Void) {
        self.seconds = seconds
        self.onWait = onWait
    }

    private static let pauseMilliseconds = 1000

    /// Does it again for as long as a lock is in its way; throws that lock's refusal when the time is over.
    package func run<Value>(_ body: () throws -> Value) throws -> Value {
        let deadline = Deadline(seconds: seconds)
        var isWaiting = false
        while true {
            do { return try body() } catch let failure as Failure where failure.code == .locked && !deadline.isOver {
                if !isWaiting { onWait(failure) }
                isWaiting = true
            }
            pause(milliseconds: Self.pauseMilliseconds)
            try Interruption.check()
        }
    }
}
