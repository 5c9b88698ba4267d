import PostgresModel
import Storage
import SystemPackage

/// What a program did below one directory, as the preloaded library wrote it down (Sources/CPowerCut).
struct PowerCutJournal {
    /// Bytes or the size of a file were about to change.
    struct Change: Equatable {
        let position: Int
        let inode: UInt64
        let offset: Int
        let oldSize: Int
        let oldBytes: [UInt8]
    }

    /// What a name had before it changed.
    struct Name: Equatable {
        enum Before: Equatable {
            case nothing, directory
            case file(inode: UInt64)
        }
        let path: FilePath
        let before: Before
    }

    /// One operation on names: a creation or removal of one, a rename of two.
    struct Naming: Equatable {
        let position: Int
        var names: [Name]
    }

    /// A sync that covers what the journal had before `covered`.
    struct Sync: Equatable {
        enum Scope: Equatable {
            case file(inode: UInt64)
            case directory(FilePath)
            case everything
        }
        let scope: Scope
        let covered: Int
        var failed = false
    }

    private(set) var changes: [Change] = []
    private(set) var namings: [Naming] = []
    private(set) var syncs: [Sync] = []

    /// Throws where something was done that cannot be taken back.
    init(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { bytes in
            var position = 0
            var continues = false
            while position + Header.size <= bytes.count {
                // A kill may have cut a record short; the next process's records stand behind it.
                guard let header = Header(bytes, at: position), position + header.totalSize <= bytes.count else {
                    position += 1
                    continue
                }
                try add(header, bytes, at: position, continues: continues)
                continues = header.continues
                position += header.totalSize
            }
        }
    }

    init(_ path: FilePath) throws {
        let file = try Directory.exists(path) ? File(path, .read) : nil
        try self.init(file.map { try $0.bytes(at: 0, count: $0.size) } ?? [])
    }

    private mutating func add(_ header: Header, _ bytes: UnsafeRawBufferPointer, at position: Int, continues: Bool) throws {
        let text = bytes[(position + Header.size)..<(position + Header.size + header.pathLength)]
        let path = String(decoding: text, as: UTF8.self)
        switch header.kind {
        case 1:
            let data = bytes[(position + header.totalSize - header.dataLength)..<(position + header.totalSize)]
            changes.append(
                Change(
                    position: position, inode: header.inode, offset: header.offset, oldSize: header.oldSize,
                    oldBytes: Array(data)))
        case 2, 3:
            syncs.append(Sync(scope: .file(inode: header.inode), covered: header.offset, failed: header.kind == 3))
        case 4:
            let before: Name.Before =
                header.isDirectory ? .directory : header.inode == 0 ? .nothing : .file(inode: header.inode)
            let name = Name(path: FilePath(path), before: before)
            if continues {
                namings[namings.count - 1].names.append(name)
            } else {
                namings.append(Naming(position: position, names: [name]))
            }
        case 5: syncs.append(Sync(scope: .directory(FilePath(path)), covered: header.offset))
        case 6: syncs.append(Sync(scope: .everything, covered: header.offset))
        default: throw TestFailure("a power cut cannot take back: \(path)")
        }
    }
}

/// `struct power_cut_record` of CPowerCut.h.
private struct Header {
    static let size = 64
    private static let magic: UInt32 = 0x5743_5550

    let kind: UInt32
    let flags: UInt32
    let pathLength: Int
    let dataLength: Int
    let inode: UInt64
    let offset: Int
    let oldSize: Int

    var continues: Bool { flags & 1 != 0 }
    var isDirectory: Bool { flags & 2 != 0 }
    var totalSize: Int { Self.size + pathLength + dataLength }

    init?(_ bytes: UnsafeRawBufferPointer, at position: Int) {
        func number<Value: FixedWidthInteger>(_ offset: Int, _: Value.Type) -> Value {
            bytes.loadUnaligned(fromByteOffset: position + offset, as: Value.self)
        }
        guard number(0, UInt32.self) == Self.magic else { return nil }
        var sum: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes[position..<(position + Self.size - 8)] { sum = (sum ^ UInt64(byte)) &* 0x100_0000_01b3 }
        guard number(56, UInt64.self) == sum else { return nil }
        kind = number(4, UInt32.self)
        flags = number(8, UInt32.self)
        pathLength = Int(number(12, UInt32.self))
        dataLength = Int(number(16, UInt64.self))
        inode = number(24, UInt64.self)
        offset = Int(number(32, UInt64.self))
        oldSize = Int(number(40, UInt64.self))
    }
}
