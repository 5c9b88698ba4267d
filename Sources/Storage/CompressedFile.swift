import PostgresModel
package import SystemPackage

/// Writes one zstd file front to back. The name appears only with `commit`, complete and durable.
package final class CompressedFileWriter {
    private let path: FilePath
    private let temporary: FilePath
    private let file: File
    private let compressor: Compressor
    package private(set) var storedBytes = 0

    package init(_ path: FilePath, level: CompressionLevel, permissions: UInt32 = 0o640) throws {
        self.path = path
        temporary = FilePath("\(path).tmp")
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

    /// Ends the file, makes it durable and gives it its name, durable as well.
    package func commit() throws {
        try stream(UnsafeRawBufferPointer(start: nil, count: 0), .finish)
        try file.synchronize()
        try Directory.rename(temporary, to: path)
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
