import PostgresModel
package import Storage
import SystemPackage

/// The packs of one backup, opened as they are needed. Shared by all threads that read them.
final class PackSet: Sendable {
    private let paths: [FilePath]
    private let open = Monitor(Open())

    private struct Open {
        var readers: [Int: (reader: PackReader, used: Int)] = [:]
        var uses = 0
        var frames = 0
    }

    /// So many indexes' entries stay in memory (24 bytes each), and so many files open.
    private static let mostFrames = 64 * Pack.capacity
    private static let mostOpen = 200

    init(_ paths: [FilePath]) { self.paths = paths }

    var count: Int { paths.count }
    func path(_ pack: Int) -> FilePath { paths[pack] }

    func reader(of pack: Int) throws -> PackReader {
        guard paths.indices.contains(pack) else {
            throw Failure(.damaged, "could not read pack \(pack): the backup has \(paths.count)")
        }
        return try open.change { open in
            open.uses += 1
            if let found = open.readers[pack]?.reader {
                open.readers[pack]!.used = open.uses
                return found
            }
            let reader = try PackReader(paths[pack])
            open.frames += reader.indexCount
            while open.frames > Self.mostFrames || open.readers.count >= Self.mostOpen,
                let oldest = open.readers.min(by: { $0.value.used < $1.value.used })
            {
                open.frames -= oldest.value.reader.indexCount
                open.readers[oldest.key] = nil
            }
            open.readers[pack] = (reader, open.uses)
            return reader
        }
    }
}

/// Reads frames by pack and number. Each thread that reads has its own.
package final class FrameReader {
    private let packs: PackSet
    private let decompressor: Decompressor
    private let sumBuffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: Frame.sumsCount(contentCount: Frame.capacity), alignment: 8)
    private var kept: [KeptFrame] = []
    private let most: Int
    private var uses = 0

    private final class KeptFrame {
        let buffer = FrameBuffer()
        var pack = -1
        var frame = -1
        var count = 0
        var used = 0
    }

    /// `keeping` frames stay in memory, a megabyte each. One is enough where every frame is taken once; who reads a file front
    /// to back finds its blocks in the frames of many backups by turns.
    init(_ packs: PackSet, keeping most: Int = 1) throws {
        self.packs = packs
        self.most = most
        decompressor = try Decompressor()
    }

    deinit { sumBuffer.deallocate() }

    /// A frame's content, proved by its checksums, valid until another frame is asked for.
    package func content(pack: Int, frame: Int) throws -> UnsafeRawBufferPointer {
        uses += 1
        let place = try kept.first { $0.pack == pack && $0.frame == frame } ?? read(pack, frame)
        place.used = uses
        return UnsafeRawBufferPointer(rebasing: place.buffer.content[..<place.count])
    }

    private func read(_ pack: Int, _ frame: Int) throws -> KeptFrame {
        let place = room()
        place.count = try packs.reader(of: pack).read(frame, into: place.buffer, decompressor: decompressor)
        (place.pack, place.frame) = (pack, frame)
        return place
    }

    private func room() -> KeptFrame {
        if kept.count < most { kept.append(KeptFrame()) }
        let place = kept.min { $0.used < $1.used }!
        place.pack = -1
        return place
    }

    /// The blocks of an extent, valid as long as its frame's content.
    package func blocks(_ extent: Extent) throws -> UnsafeRawBufferPointer {
        let content = try content(pack: extent.pack, frame: extent.frame)
        let (begin, end) = (extent.block * Frame.blockSize, (extent.block + extent.blocks) * Frame.blockSize)
        guard end <= content.count else {
            throw Failure(
                .damaged, "could not read frame \(extent.frame) of \(packs.path(extent.pack)): it is too short")
        }
        return UnsafeRawBufferPointer(rebasing: content[begin..<end])
    }

    /// The sums of a frame's blocks, read without its content.
    package func sums(pack: Int, frame: Int) throws -> [BlockSum] {
        let count = try packs.reader(of: pack).readSums(frame, into: sumBuffer)
        return (0..<count).map { BlockSum(stored: UnsafeRawBufferPointer(sumBuffer), at: $0 * BlockSum.storedSize) }
    }

    /// Proves a frame's stored bytes by their checksums, without decompressing them.
    func check(pack: Int, frame: Int) throws {
        _ = try packs.reader(of: pack).readStored(frame, into: room().buffer)
    }

    func packName(_ pack: Int) -> String { packs.path(pack).stem ?? "" }
}
