import Repository
import TestSupport
import Testing

@Suite("Room ahead of what is received")
struct RoomAheadTests {
    static let segment = 16 << 20

    @Test("is made behind small batches, and again shortly before it is used up")
    func small() {
        var room = RoomAhead(segmentBytes: Self.segment, size: 0)
        #expect(room.needed(received: 200, batch: 200) == 200..<(200 + RoomAhead.step))
        room.didWrite(200..<(200 + RoomAhead.step))
        #expect(room.needed(received: 300_000, batch: 100) == nil)
        let end = 200 + RoomAhead.step
        #expect(room.needed(received: end - RoomAhead.least, batch: 100) == nil)
        #expect(room.needed(received: end - RoomAhead.least + 1, batch: 100) == end..<(end + RoomAhead.step))
    }

    @Test("is not made in a torrent, where each byte would be written twice")
    func torrent() {
        var room = RoomAhead(segmentBytes: Self.segment, size: 0)
        #expect(room.needed(received: 1 << 20, batch: RoomAhead.largestBatch + 1) == nil)
        #expect(room.needed(received: 2 << 20, batch: RoomAhead.largestBatch) == (2 << 20)..<(3 << 20))
    }

    @Test("ends with the segment")
    func end() {
        var room = RoomAhead(segmentBytes: Self.segment, size: Self.segment - 1000)
        #expect(room.needed(received: Self.segment - 2000, batch: 8) == (Self.segment - 1000)..<Self.segment)
        room.didWrite((Self.segment - 1000)..<Self.segment)
        #expect(room.needed(received: Self.segment - 10, batch: 8) == nil)
        #expect(room.needed(received: Self.segment, batch: 8) == nil)
    }

    @Test("never covers what was there before, though less was received this time")
    func again() {
        var room = RoomAhead(segmentBytes: Self.segment, size: 500_000)
        #expect(room.needed(received: 400_000, batch: 100) == nil)
        #expect(room.needed(received: 460_000, batch: 100) == 500_000..<(500_000 + RoomAhead.step))
        #expect(room.giveUp(received: 460_000) == 500_000)
        #expect(room.needed(received: 499_999, batch: 100) == nil)
    }

    @Test("of random streams lies behind all that was received, within the segment", arguments: Seed.some(20))
    func property(seed: Seed) {
        var random = seed.generator
        let size = Int.random(in: 0...Self.segment, using: &random)
        var room = RoomAhead(segmentBytes: Self.segment, size: size)
        var received = 0
        while received < Self.segment {
            let batch = min(Int.random(in: 1...(200 << 10), using: &random), Self.segment - received)
            received += batch
            guard let zeros = room.needed(received: received, batch: batch) else { continue }
            #expect(zeros.lowerBound >= max(received, size) && zeros.upperBound <= Self.segment && !zeros.isEmpty)
            room.didWrite(zeros)
        }
    }
}
