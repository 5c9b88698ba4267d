/// The blocks of a relation file that an incremental backup sends, and how long the file is
/// (PostgreSQL: src/backend/backup/basebackup_incremental.c, GetFileBackupMethod).
package struct FileChange: Equatable, Sendable {
    /// Ascending.
    package var blocks: [UInt32]
    /// The file has at least so many blocks (the server's truncation block length). Below, a block that is not sent is the
    /// earlier backup's, or zeros where that one was shorter; from there on there is nothing but what is sent.
    package var minimumBlocks: Int

    package init(blocks: [UInt32], minimumBlocks: Int) {
        self.blocks = blocks
        self.minimumBlocks = minimumBlocks
    }

    /// How many blocks the whole file has.
    package var fileBlocks: Int { max(minimumBlocks, blocks.last.map { Int($0) + 1 } ?? 0) }
}

/// Reads the head of an INCREMENTAL file as its bytes arrive, in pieces of any length
/// (PostgreSQL: src/backend/backup/basebackup.c, sendFile; src/bin/pg_combinebackup/reconstruct.c, make_incremental_rfile).
package struct FileChangeReader: Sendable {
    private static let magic: UInt32 = 0xD3AE_1F0D
    private var bytes: [UInt8] = []
    /// The file's size, from which the number of its blocks follows within limits.
    private let size: Int

    /// `size` is that of the whole INCREMENTAL file.
    package init(size: Int) { self.size = size }

    /// Takes the head's bytes from the front of the input; the change, once it is complete.
    package mutating func take(_ input: inout UnsafeRawBufferPointer.SubSequence) throws -> FileChange? {
        var needed = try needed()
        while bytes.count < needed, !input.isEmpty {
            let piece = input.prefix(needed - bytes.count)
            bytes.append(contentsOf: piece)
            input = input.dropFirst(piece.count)
            needed = try self.needed()
        }
        return bytes.count == needed ? try change() : nil
    }

    /// How long the head is, as far as is known. Blocks begin at a multiple of their size.
    private func needed() throws -> Int {
        guard bytes.count >= 12 else { return 12 }
        let count = Int(integer(at: 4))
        guard integer(at: 0) == Self.magic, count <= size / RelationFile.pageSize else {
            throw Failure(.protocolViolation, "could not read an incremental file: it does not begin as one")
        }
        let head = 12 + 4 * count
        return count == 0 ? head : (head + RelationFile.pageSize - 1) / RelationFile.pageSize * RelationFile.pageSize
    }

    private func change() throws -> FileChange {
        let blocks = (0..<Int(integer(at: 4))).map { integer(at: 12 + 4 * $0) }
        guard zip(blocks, blocks.dropFirst()).allSatisfy({ $0 < $1 }), bytes.count + blocks.count * RelationFile.pageSize == size
        else { throw Failure(.protocolViolation, "could not read an incremental file: its list of blocks is not consistent") }
        return FileChange(blocks: blocks, minimumBlocks: Int(integer(at: 8)))
    }

    private func integer(at offset: Int) -> UInt32 { bytes.withUnsafeBytes { $0.littleEndian(at: offset) } }

    /// Of the head, once it is complete.
    package var head: [UInt8] { bytes }
}
