internal import CZstd
import PostgresModel

/// How much work zstd puts into a frame: 1 (fastest) to 19.
package struct CompressionLevel: Sendable, Equatable {
    package let rawValue: Int

    package static let standard = CompressionLevel(3)!
    /// Of zstd's negative levels, which nobody chooses for good. WAL takes 55 % of the time that it takes at level 1, and a third
    /// more space; at -1 it is 80 % and a quarter, at -6 little less time and half as much space again.
    package static let whenBehind = CompressionLevel(unchecked: -3)

    package init?(_ rawValue: Int) {
        guard (1...19).contains(rawValue) else { return nil }
        self.rawValue = rawValue
    }

    private init(unchecked rawValue: Int) { self.rawValue = rawValue }
}

/// A zstd compressor for whole buffers and for streams. Not for two threads at once.
package final class Compressor {
    private let context: OpaquePointer

    package enum Use: Sendable {
        /// A file of its own: it carries zstd's own content checksum, so that `zstd -d` proves it too.
        case file
        /// Many pieces of half a megabyte, proved by checksums outside of them.
        case frames
    }

    package init(_ level: CompressionLevel, for use: Use = .file) throws {
        guard let context = ZSTD_createCCtx() else { throw Failure(.internalError, "could not start zstd: out of memory") }
        self.context = context
        try Self.check(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(level.rawValue)))
        switch use {
        case .file: try Self.check(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1))
        case .frames:
            // Levels 2 and 3 look matches up in tables of 768 KiB, which are larger than what they are tables of, and than a
            // core's cache. With 192 KiB pages compress up to half as fast again, to the same size within 2 %.
            guard (2...3).contains(level.rawValue) else { return }
            try Self.check(ZSTD_CCtx_setParameter(context, ZSTD_c_hashLog, 15))
            try Self.check(ZSTD_CCtx_setParameter(context, ZSTD_c_chainLog, 14))
        }
    }

    deinit { ZSTD_freeCCtx(context) }

    package static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }

    /// Compresses `source` as one frame into `target`, which must have room for `bound(source.count)`.
    package func compress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws -> Int {
        try Self.check(ZSTD_compress2(context, target.baseAddress, target.count, source.baseAddress, source.count))
    }

    package enum Step: Sendable { case more, finish }

    /// Compresses a piece of a stream; `output` sees what comes out, in pieces.
    package func stream(_ source: UnsafeRawBufferPointer, _ step: Step, output: (UnsafeRawBufferPointer) throws -> Void) throws {
        var input = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
        try withUnsafeTemporaryAllocation(byteCount: ZSTD_CStreamOutSize(), alignment: 16) { buffer in
            while true {
                var target = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
                let left = try Self.check(
                    ZSTD_compressStream2(context, &target, &input, step == .finish ? ZSTD_e_end : ZSTD_e_continue))
                if target.pos > 0 { try output(UnsafeRawBufferPointer(rebasing: buffer[..<target.pos])) }
                if step == .finish ? left == 0 : input.pos == input.size { break }
            }
        }
    }

    @discardableResult
    private static func check(_ status: Int) throws -> Int {
        guard ZSTD_isError(status) == 0 else {
            throw Failure(.internalError, "could not compress: \(String(cString: ZSTD_getErrorName(status)))")
        }
        return status
    }
}

/// A zstd decompressor for whole frames and for streams. Not for two threads at once.
package final class Decompressor {
    private let context: OpaquePointer

    package init() throws {
        guard let context = ZSTD_createDCtx() else { throw Failure(.internalError, "could not start zstd: out of memory") }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// How long the frame is that `bytes` begin with, and its content; nil where they begin with none, or it does not say.
    package static func frame(_ bytes: UnsafeRawBufferPointer) -> (stored: Int, content: Int)? {
        let stored = ZSTD_findFrameCompressedSize(bytes.baseAddress, bytes.count)
        let content = ZSTD_getFrameContentSize(bytes.baseAddress, bytes.count)
        guard ZSTD_isError(stored) == 0, let content = Int(exactly: content) else { return nil }
        return (stored, content)
    }

    /// Decompresses one frame, whose content must be exactly as long as `target`.
    package func decompress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws {
        let count = try Self.check(
            ZSTD_decompressDCtx(context, target.baseAddress, target.count, source.baseAddress, source.count))
        guard count == target.count else {
            throw Failure(.damaged, "could not decompress: \(count) bytes where \(target.count) were due")
        }
    }

    /// Decompresses a stream from `input`, which fills the buffer it is given and says how much (0 at the end);
    /// `output` sees the content in pieces. Throws `damaged` where the stream ends within a frame.
    package func stream(
        input: (UnsafeMutableRawBufferPointer) throws -> Int, output: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        ZSTD_DCtx_reset(context, ZSTD_reset_session_only)
        try withUnsafeTemporaryAllocation(byteCount: ZSTD_DStreamInSize(), alignment: 16) { compressed in
            try withUnsafeTemporaryAllocation(byteCount: ZSTD_DStreamOutSize(), alignment: 16) { content in
                var pending = 1
                while true {
                    let count = try input(compressed)
                    if count == 0 { break }
                    var source = ZSTD_inBuffer(src: compressed.baseAddress, size: count, pos: 0)
                    var isFull = false
                    while source.pos < source.size || isFull {
                        var target = ZSTD_outBuffer(dst: content.baseAddress, size: content.count, pos: 0)
                        pending = try Self.check(ZSTD_decompressStream(context, &target, &source))
                        if target.pos > 0 { try output(UnsafeRawBufferPointer(rebasing: content[..<target.pos])) }
                        isFull = target.pos == target.size && pending != 0
                    }
                }
                guard pending == 0 else { throw Failure(.damaged, "could not decompress: the data ends early") }
            }
        }
    }

    private static func check(_ status: Int) throws -> Int {
        guard ZSTD_isError(status) == 0 else {
            throw Failure(.damaged, "could not decompress: \(String(cString: ZSTD_getErrorName(status)))")
        }
        return status
    }
}
