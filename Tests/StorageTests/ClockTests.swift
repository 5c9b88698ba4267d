import Glibc
import PostgresModel
import Storage
import Testing

@Suite("The clock")
struct ClockTests {
    @Test("is the system's")
    func now() {
        let before = time(nil)
        let now = Timestamp.now
        #expect(now.microseconds >= Int64(before) * 1_000_000 && now.microseconds <= Int64(time(nil) + 1) * 1_000_000)
    }

    @Test("has a local zone of whole minutes within a day of Greenwich", arguments: [0, 1_795_359_845, -1] as [Int64])
    func zone(seconds: Int64) {
        let offset = Timestamp(seconds: seconds).localOffsetSeconds
        #expect(abs(offset) <= 15 * 3600)
    }
}
