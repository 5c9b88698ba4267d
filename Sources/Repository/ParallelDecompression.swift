package import PostgresModel
package import Storage

/// An archived segment of several frames, whose content several threads write to where it belongs at once.
package final class ParallelDecompression: Sendable {
    private struct Frame: Sendable {
        let stored: Range<Int>
        let content: Range<Int>
    }

    private struct Progress {
        var taken = 0
        var failure: (any Error)?
    }

    /// Read as a whole: what is larger is better streamed.
    private static let mostStored = 32 << 20
    private static let largestFrame = 4 << 20

    private let stored: [UInt8]
    private let frames: [Frame]
    private let progress = Monitor(Progress())
    package var size: Int { frames.last?.content.upperBound ?? 0 }

    /// Nil where the segment is not archived in such a form: then it is to be streamed, which also says what is wrong with it.
    package init?(_ archive: WALArchive, _ segment: WALSegment) throws {
        guard let file = try archive.raw(archive.archivedPath(segment)) else { return nil }
        let size = try file.size
        guard size <= Self.mostStored else { return nil }
        stored = try file.bytes(at: 0, count: size)
        guard let frames = Self.frames(of: stored), frames.count > 1 else { return nil }
        self.frames = frames
    }

    private static func frames(of stored: [UInt8]) -> [Frame]? {
        stored.withUnsafeBytes { bytes in
            var frames: [Frame] = []
            var (offset, position) = (0, 0)
            while offset < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
                guard let (count, size) = Decompressor.frame(rest), (1...largestFrame).contains(size) else { return nil }
                frames.append(Frame(stored: offset..<(offset + count), content: position..<(position + size)))
                offset += count
                position += size
            }
            return frames
        }
    }

    /// The content's first bytes.
    package func begin(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        try withUnsafeTemporaryAllocation(byteCount: Self.largestFrame, alignment: 16) { buffer in
            try body(UnsafeRawBufferPointer(try content(of: frames[0], Decompressor(), in: buffer)))
        }
    }

    /// Writes all of it. On failure some of it is written.
    package func write(to target: File, threads count: Int) throws {
        let threads = (1..<max(1, min(count, frames.count))).map { n in
            WorkerThread("decompress-\(n)") { [self] in work(target) }
        }
        work(target)
        for thread in threads { try thread.join() }
        if let failure = progress.read({ $0.failure }) { throw failure }
    }

    private func work(_ target: File) {
        do {
            let decompressor = try Decompressor()
            let buffer = UnsafeMutableRawBufferPointer.allocate(
                byteCount: frames.map(\.content.count).max() ?? 0, alignment: 16)
            defer { buffer.deallocate() }
            while let frame = next() {
                let content = try content(of: frame, decompressor, in: buffer)
                try target.write(UnsafeRawBufferPointer(content), at: frame.content.lowerBound)
            }
        } catch { progress.change { if $0.failure == nil { $0.failure = error } } }
    }

    private func next() -> Frame? {
        progress.change { progress in
            guard progress.failure == nil, progress.taken < frames.count else { return nil }
            progress.taken += 1
            return frames[progress.taken - 1]
        }
    }

    private func content(
        of frame: Frame, _ decompressor: Decompressor, in buffer: UnsafeMutableRawBufferPointer
    ) throws -> UnsafeMutableRawBufferPointer {
        let content = UnsafeMutableRawBufferPointer(rebasing: buffer[..<frame.content.count])
        try stored.withUnsafeBytes {
            try decompressor.decompress(UnsafeRawBufferPointer(rebasing: $0[frame.stored]), into: content)
        }
        return content
    }
}
