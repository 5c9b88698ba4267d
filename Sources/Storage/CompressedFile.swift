import PostgresModel
package import SystemPackage

/// Writes one zstd file front to back. The name appears only with `commit`, complete and durable.
package final class CompressedFileWriter {
    private let path: FilePath
    private let temporary: FilePath
    private let file: File
    private let compressor: Compressor
    package private(set) var storedBytes = 0
    private var begun = 0

    /// `isShared` where others may write the same file at the same time.
    package init(_ path: FilePath, level: CompressionLevel, permissions: UInt32 = 0o640, isShared: Bool = false) throws {
        self.path = path
        temporary = isShared ? SmallFile.temporaryPath(for: path) : FilePath("\(path).tmp")
        file = try File(temporary, .replace, permissions: permissions)
        compressor = try Compressor(level)
    }

    package func write(_ bytes: UnsafeRawBufferPointer) throws { try stream(bytes, .more) }

    private func stream(_ bytes: UnsafeRawBufferPointer, _ step: Compressor.Step) throws {
        try compressor.stream(bytes, step) {
            try file.write($0, at: storedBytes)
            storedBytes += $0.count
        }
    }

    /// Asks the disk to begin with what is written so far, so that the end waits for less.
    package func startWriteback() {
        file.startWriteback(from: begun, count: storedBytes - begun)
        begun = storedBytes
    }

    /// Ends the file, makes it durable and gives it its name, durable as well.
    package func commit() throws {
        try stream(UnsafeRawBufferPointer(start: nil, count: 0), .finish)
        try file.synchronize()
        try Directory.rename(temporary, to: path)
    }

    /// As `commit`, but takes the name from nobody: false where something has it, and then what was written is discarded.
    package func commitUnlessTaken() throws -> Bool {
        try stream(UnsafeRawBufferPointer(start: nil, count: 0), .finish)
        try file.synchronize()
        if try Directory.adopt(temporary, as: path) { return true }
        try Directory.remove(temporary)
        return false
    }

    /// Leaves nothing behind.
    package func discard() { try? Directory.remove(temporary) }  // a leftover .tmp is collected as garbage later
}

package enum CompressedFile {
    /// Shows the content of a zstd file to `body`, in pieces. Damage is reported with the file's name.
    package static func read(_ path: FilePath, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let file = try File(path, .read)
        var offset = 0
        do {
            try Decompressor().stream(
                input: {
                    let count = try file.read(at: offset, into: $0)
                    offset += count
                    return count
                }, output: body)
        } catch let failure as Failure where failure.code == .damaged && failure.details.isEmpty {
            throw failure.adding(detail: "in \(path)")
        }
    }
}
