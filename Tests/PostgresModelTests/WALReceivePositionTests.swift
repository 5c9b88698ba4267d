import PostgresModel
import TestSupport
import Testing

@Suite("A receiver's position")
struct WALReceivePositionTests {
    static let size = WALSegmentSize(bytes: 1 << 20)!

    static func position(_ start: String = "0/300000") -> WALReceivePosition {
        WALReceivePosition(timeline: .first, segmentSize: size, start: LSN(start)!)
    }

    @Test("begins with nothing written that is not flushed")
    func begin() {
        let position = Self.position()
        #expect(!position.hasUnflushed)
        #expect(position.written == LSN("0/300000") && position.flushed == LSN("0/300000"))
        #expect(position.segment.name(size: Self.size) == "000000010000000000000003")
    }

    @Test("says that bytes are flushed only after it was told so")
    func flush() {
        var position = Self.position()
        let isComplete = position.didWrite(100)
        #expect(!isComplete && position.hasUnflushed && position.flushed == LSN("0/300000"))
        position.didFlush()
        #expect(!position.hasUnflushed && position.flushed == LSN("0/300064"))
    }

    @Test(
        "takes only what continues it",
        arguments: [
            ("0/300000", true), ("0/300001", false), ("0/2FFFFF", false), ("1/300000", false), ("FFFFFFFF/FFFFFFFF", false),
        ])
    func check(start: String, isNext: Bool) {
        let position = Self.position()
        if isNext {
            #expect(throws: Never.self) { try position.check(start: LSN(start)!) }
        } else {
            let failure = #expect(throws: Failure.self) { try position.check(start: LSN(start)!) }
            #expect(failure?.code == .protocolViolation)
        }
    }

    @Test("cuts what crosses a segment's end, there")
    func share() {
        var position = Self.position()
        _ = position.didWrite((1 << 20) - 10)
        #expect(position.share(of: 9) == 9 && position.share(of: 10) == 10 && position.share(of: 11) == 10)
        let isComplete = position.didWrite(10)
        #expect(isComplete && position.share(of: 1 << 30) == 1 << 20)
        #expect(position.segment.name(size: Self.size) == "000000010000000000000004")
    }

    @Test("never flushes more than was written, and completes every segment once, whatever comes", arguments: Seed.some(20))
    func property(seed: Seed) throws {
        var random = seed.generator
        var position = Self.position()
        var sent = position.written
        var completed: [WALSegment] = []
        for _ in 0..<500 {
            let before = position
            if Int.random(in: 0..<4, using: &random) == 0 {
                position.didFlush()
                #expect(position.flushed == position.written)
            } else {
                try position.check(start: sent)
                var left = Int.random(in: 1...Int.random(in: 1...(3 << 20), using: &random), using: &random)
                sent = sent + left
                while left > 0 {
                    let count = position.share(of: left)
                    let segment = position.segment
                    let end = segment.end(size: Self.size)
                    #expect(count > 0 && position.written + count <= end)
                    if position.didWrite(count) { completed.append(segment) }
                    #expect((position.written == end) == (completed.last == segment))
                    left -= count
                }
                #expect(position.flushed == before.flushed)
            }
            #expect(position.flushed <= position.written && position.flushed >= before.flushed)
            #expect(position.written == sent)
        }
        let first = Self.position().segment.number
        #expect(completed.map(\.number) == Array(first..<position.segment.number))
    }
}
