import Glibc
import PostgresModel
@testable import Repository
import Storage
import SystemPackage
import TestSupport

/// What lies where in packs, and how it is damaged on purpose.
extension RepositoryExample {
    typealias Place = DamageReport.Frame

    /// Some consecutive blocks of a file, and where they are.
    struct Part {
        let path: String
        /// The number of the first one in the file.
        let position: Int
        let place: Place
        let blocks: Range<Int>

        /// As a verification reports it.
        var reportedBlock: Int? { RelationFile.firstBlock(ofPath: path).map { Int($0) + position } }
    }

    func parts(_ record: BackupRecord) throws -> [Part] {
        let packs = try packs(record)
        var parts: [Part] = []
        try reader(record).entries { entry in
            guard case .file(_, _, let extents) = entry.kind else { return }
            var position = 0
            for extent in extents {
                parts.append(
                    Part(
                        path: entry.path, position: position, place: Place(pack: packs[extent.pack], frame: extent.frame),
                        blocks: extent.block..<(extent.block + extent.blocks)))
                position += extent.blocks
            }
        }
        return parts
    }

    /// Changes one byte of a frame as it is stored.
    func flip(_ place: Place, _ part: Surgery.FramePart) throws {
        let path = packPath(place.pack)
        guard let bytes = try SmallFile.read(path) else { throw TestFailure("\(path) is missing") }
        let frame = PackTests.frameOffsets(bytes).first { PackTests.integer(bytes, $0 + 4) == place.frame }
        guard let frame else { throw TestFailure("\(path) has no frame \(place.frame)") }
        let payload = PackTests.integer(bytes, frame + 8)
        let offset =
            switch part {
            case .header: frame + 12
            case .payload: frame + 32 + payload / 2
            case .sums: frame + 32 + payload + 5
            }
        try VerificationTests.flip(path, at: offset)
    }

    /// Writes a pack anew, every frame as it was, but one with another content and other sums, and right checksums over them.
    func replace(_ place: Place, _ change: (inout [UInt8], inout [UInt8]) -> Void) throws {
        let path = packPath(place.pack)
        let (reader, encoder, decompressor) = (try PackReader(path), try FrameEncoder(.standard), try Decompressor())
        let writer = try PackWriter(FilePath("\(path).new"))
        let buffer = FrameBuffer()
        for number in reader.frames {
            var header = try reader.readStored(number, into: buffer)
            if number == place.frame {
                let count = try reader.read(number, into: buffer, decompressor: decompressor)
                var content = Array(buffer.content[..<count])
                var sums = Array(buffer.sums(header))
                change(&content, &sums)
                header = try content.withUnsafeBytes { content in
                    try sums.withUnsafeBytes {
                        try encoder.encode(number: number, content: content, sums: $0, into: buffer.stored)
                    }
                }
            }
            try writer.append(UnsafeRawBufferPointer(rebasing: buffer.stored[..<header.frameCount]), header)
        }
        try writer.finish()
        try Directory.rename(FilePath("\(path).new"), to: path)
    }
}

enum Surgery {
    enum FramePart: CaseIterable { case header, payload, sums }

    /// What tells a file that was written anew from one that was left alone.
    static func inode(_ path: FilePath) throws -> UInt64 {
        var status = stat()
        guard stat(path.string, &status) == 0 else { throw Failure.system("look at", path) }
        return UInt64(status.st_ino)
    }

    /// Swaps two elements of so many bytes.
    static func swap(_ bytes: inout [UInt8], _ a: Int, _ b: Int, size: Int) {
        for i in 0..<size { bytes.swapAt(a * size + i, b * size + i) }
    }
}
