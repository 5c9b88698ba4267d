/// Up to which moment of a server's clock everything that it has committed is before the end of WAL that it names.
///
/// A message's end may be a little older than its clock: the server reads the one before the other. So an end proves only the
/// clock of the message before (PostgreSQL: src/backend/replication/walsender.c, XLogSendPhysical). A keepalive repeats the end of
/// what was sent last, so directly behind data it proves nothing new (WalSndKeepalive). A clock that was ahead for a while counts for
/// no longer than that.
package struct ProvedTime: Sendable, Equatable {
    /// Nil where nothing is proved yet.
    package private(set) var time: Timestamp?
    private var lastClock: Timestamp?
    private var wasData = false

    package init() {}

    package mutating func hear(_ clock: Timestamp, isKeepalive: Bool) {
        if isKeepalive && wasData { return wasData = false }
        time = lastClock
        lastClock = clock
        wasData = !isKeepalive
    }
}
