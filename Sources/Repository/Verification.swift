package import PostgresModel
import Storage
import SystemPackage

/// Proves that what a backup needs is there and undamaged, without restoring it.
package struct Verification {
    package struct Problem: Encodable, Sendable, Equatable {
        package var backup: String
        package var file: String
        /// The first block that is hit, where the file is a relation.
        @Nullable package var block: Int?
        package var message: String

        package init(backup: String, file: String, block: Int? = nil, message: String) {
            self.backup = backup
            self.file = file
            self.block = block
            self.message = message
        }
    }

    package struct Report: Sendable {
        package var files = 0
        package var bytes = 0
        package var problems: [Problem] = []
    }

    private let reader: BackupReader
    private let deep: Bool

    /// `deep` decompresses everything and checks files and pages too; else only what is stored is checked.
    package init(_ reader: BackupReader, deep: Bool) {
        self.reader = reader
        self.deep = deep
    }

    /// Problems are collected, not thrown; `tick` is called after each file.
    package func run(tick: (Report) throws -> Void) throws -> Report {
        var report = Report()
        check(reader.mapPath, reader.record.map, "map.zst", &report)
        check(reader.manifestPath, reader.record.manifest, "manifest", &report)
        for file in reader.record.configuration {
            check(reader.configurationPath(file), file.content, "config/\(file.name)", &report)
        }
        checkWAL(&report)
        let frames = try reader.frames()
        for damage in frames.damagedIndexes() { report.problems.append(problem(damage.pack, nil, damage.message)) }
        do {
            try reader.entries { entry in
                if case .file(let size, let checksum, let extents) = entry.kind {
                    report.files += 1
                    report.bytes += size
                    if let problem = check(entry.path, checksum, extents, frames) { report.problems.append(problem) }
                    try tick(report)
                }
            }
        } catch let failure as Failure where failure.code != .interrupted {
            report.problems.append(problem("map.zst", nil, failure.message))
        }
        return report
    }

    private func problem(_ file: String, _ block: Int?, _ message: String) -> Problem {
        Problem(backup: reader.record.id, file: file, block: block, message: message)
    }

    private func check(_ path: FilePath, _ expected: BackupRecord.StoredFile, _ name: String, _ report: inout Report) {
        do {
            let found = try BackupWriter.describe(path)
            if found != expected { report.problems.append(problem(name, nil, "\(path) is not what was stored")) }
        } catch {
            report.problems.append(problem(name, nil, "\(error)"))
        }
    }

    private func check(_ path: String, _ checksum: UInt32, _ extents: [Extent], _ frames: FrameReader) -> Problem? {
        let firstBlock = RelationFile.firstBlock(ofPath: path)
        var sum = CRC32C()
        var position = 0
        var badBlock: Int?
        for extent in extents {
            let block = firstBlock.map { Int($0) + position / RelationFile.pageSize }
            do {
                try frames.bytes(extent) { bytes in
                    guard deep else { return }
                    sum.add(bytes)
                    if let block { badBlock = badBlock ?? badPage(path, bytes, block) }
                }
            } catch {
                return problem(path, block, (error as? Failure)?.message ?? "\(error)")
            }
            position += extent.length
        }
        if let badBlock { return problem(path, badBlock, "the page's checksum does not match its content") }
        return deep && sum.value != checksum ? problem(path, nil, "its content is not what the server sent") : nil
    }

    /// The first page whose PostgreSQL checksum is wrong, leaving out those that were known to be when the backup was taken.
    private func badPage(_ path: String, _ bytes: UnsafeRawBufferPointer, _ block: Int) -> Int? {
        guard reader.record.dataChecksums else { return nil }
        return (0..<(bytes.count / RelationFile.pageSize)).first { i in
            let start = i * RelationFile.pageSize
            let page = UnsafeRawBufferPointer(rebasing: bytes[start..<(start + RelationFile.pageSize)])
            return RelationFile.check(page, block: UInt32(block + i), backupBegin: reader.record.beginLSN) == .bad
                && !reader.record.badPages.contains(BackupRecord.BadPage(path: path, block: block + i))
        }.map { block + $0 }
    }

    /// Without the WAL from its begin to its end a backup cannot be made consistent.
    private func checkWAL(_ report: inout Report) {
        let record = reader.record
        let archive = reader.walArchive
        let last = WALSegment(timeline: record.timeline, endingAt: record.endLSN, size: record.walSegmentSize)
        var segment = WALSegment(timeline: record.timeline, holding: record.beginLSN, size: record.walSegmentSize)
        while segment.number <= last.number {
            var count = 0
            let name = segment.name(size: record.walSegmentSize)
            do {
                try archive.read(segment) { count += $0.count }
                let needed = min(record.walSegmentSize.bytes, record.endLSN - segment.start(size: record.walSegmentSize))
                if count < needed { report.problems.append(problem("WAL \(name)", nil, "it has \(count) of \(needed) bytes")) }
            } catch {
                report.problems.append(problem("WAL \(name)", nil, (error as? Failure)?.message ?? "\(error)"))
            }
            segment = segment.next
        }
    }
}
