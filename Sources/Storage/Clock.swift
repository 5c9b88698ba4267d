import Glibc
package import PostgresModel

extension Timestamp {
    /// The system's clock.
    package static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }

    /// Seconds east of Greenwich that this machine's zone has at this instant.
    package var localOffsetSeconds: Int {
        var seconds = time_t(microseconds.quotientAndRemainder(dividingBy: 1_000_000).quotient)
        var fields = tm()
        localtime_r(&seconds, &fields)
        return fields.tm_gmtoff
    }
}

/// Waits, for what nothing can wake us up; an interrupt of the process ends the wait early.
package func pause(milliseconds: Int) {
    var time = timespec(tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000)
    nanosleep(&time, nil)
}
