/// Where consecutive blocks of a file are: in consecutive blocks of one frame of one pack.
///
/// Small, because after many increments a file has as many of them as it has blocks.
package struct Extent: Equatable, Sendable {
    private var storedPack: UInt32
    private var storedFrame: UInt32
    private var storedBlocks: UInt8
    private var storedBlock: UInt8

    /// At most `Frame.blockCapacity`.
    package var blocks: Int {
        get { Int(storedBlocks) }
        set { storedBlocks = UInt8(newValue) }
    }

    /// An index into the backup's list of packs.
    package var pack: Int {
        get { Int(storedPack) }
        set { storedPack = UInt32(newValue) }
    }

    package var frame: Int { Int(storedFrame) }
    /// The first of them in the frame's content.
    package var block: Int { Int(storedBlock) }

    package init(blocks: Int, pack: Int, frame: Int, block: Int) {
        self.init(exactly: blocks, pack: pack, frame: frame, block: block)!
    }

    /// Nil for what no extent can be.
    init?(exactly blocks: Int, pack: Int, frame: Int, block: Int) {
        guard let pack = UInt32(exactly: pack), let frame = UInt32(exactly: frame), let blocks = UInt8(exactly: blocks),
            let block = UInt8(exactly: block)
        else { return nil }
        (storedPack, storedFrame, storedBlocks, storedBlock) = (pack, frame, blocks, block)
    }

    /// A bit for each block of the frame that is one of these.
    var bits: UInt64 { (blocks == 64 ? UInt64.max : (1 << UInt64(blocks)) - 1) << UInt64(block) }

    /// Blocks `range` of these.
    func part(_ range: Range<Int>) -> Extent {
        Extent(blocks: range.count, pack: pack, frame: frame, block: block + range.lowerBound)
    }
}

extension [Extent] {
    var blocks: Int { reduce(0) { $0 + $1.blocks } }

    /// Adds what follows; what continues the last extent extends it.
    mutating func extend(_ next: Extent) {
        guard next.blocks > 0 else { return }
        if let last, last.pack == next.pack, last.frame == next.frame, last.block + last.blocks == next.block {
            self[count - 1].blocks += next.blocks
        } else {
            append(next)
        }
    }
}

/// Walks along a file's extents, block by block, forward only.
struct ExtentCursor {
    private let extents: [Extent]
    private var index = 0
    /// The first block of the extent at `index`.
    private var start = 0

    init(_ extents: [Extent]) { self.extents = extents }

    /// Where a block is; nil beyond the end.
    mutating func location(of block: Int) -> Extent? {
        advance(to: block)
        guard index < extents.count else { return nil }
        return extents[index].part((block - start)..<(block - start + 1))
    }

    /// The extents of a range of blocks, as far as there are any.
    mutating func extents(of range: Range<Int>, _ body: (Extent) throws -> Void) rethrows {
        var block = range.lowerBound
        while block < range.upperBound {
            advance(to: block)
            guard index < extents.count else { return }
            let end = Swift.min(range.upperBound, start + extents[index].blocks)
            try body(extents[index].part((block - start)..<(end - start)))
            block = end
        }
    }

    private mutating func advance(to block: Int) {
        precondition(block >= start, "a cursor does not go back")
        while index < extents.count, start + extents[index].blocks <= block {
            start += extents[index].blocks
            index += 1
        }
    }
}
