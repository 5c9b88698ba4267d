package import PostgresModel
import Storage
import SystemPackage

/// Proves that what a backup needs is there and undamaged, without restoring it.
package struct Verification {
    package struct Problem: Codable, Sendable, Equatable {
        /// Nil for WAL that lies between backups.
        @Nullable package var backup: String?
        package var file: String
        /// The first block that is hit, where the file is a relation.
        @Nullable package var block: Int?
        package var message: String

        package init(backup: String?, file: String, block: Int? = nil, message: String) {
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
        /// Frames that cannot be used any more, by any backup.
        package var frames: [DamageReport.Frame] = []
    }

    private let reader: BackupReader
    private let deep: Bool
    private let threads: Int
    private let checked: CheckedFrames

    /// `deep` decompresses everything and checks blocks, pages and files too; else only what is stored is checked. Frames
    /// that `checked` knows, from another backup's verification that looked as deep, are not looked at again.
    package init(_ reader: BackupReader, deep: Bool, threads: Int = 2, checked: CheckedFrames = CheckedFrames()) {
        self.checked = checked
        self.reader = reader
        self.deep = deep
        self.threads = threads
    }

    /// Problems are collected, not thrown; `tick` is called with the bytes checked so far.
    package func run(tick: @escaping (Int) throws -> Void) throws -> Report {
        var report = Report()
        check(reader.mapPath, reader.record.map, "map.zst", &report)
        check(reader.packListPath, reader.record.packs, "packs", &report)
        check(reader.manifestPath, reader.record.manifest, "manifest.zst", &report)
        for file in reader.record.configuration {
            check(reader.configurationPath(file), file.content, "config/\(file.name)", &report)
        }
        try checkWAL(&report, tick)
        do {
            try checkIndexes(&report)
            try checkFrames(&report, tick)
        } catch let failure as Failure where failure.code == .damaged {
            report.problems.append(problem("map.zst", nil, failure.message))
        }
        report.problems.sort { ($0.file, $0.block ?? 0) < ($1.file, $1.block ?? 0) }
        return report
    }

    fileprivate func problem(_ file: String, _ block: Int?, _ message: String) -> Problem {
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

    /// Packs that can be read only because their index was made anew.
    private func checkIndexes(_ report: inout Report) throws {
        let packs = try reader.packSet()
        for pack in 0..<packs.count {
            // A pack that cannot be read at all is reported with the files that need it.
            guard let found = try? packs.reader(of: pack), found.isIndexDamaged else { continue }
            report.problems.append(
                problem(
                    packs.path(pack).lastComponent?.string ?? "", nil,
                    "its header or its index is damaged; its frames can still be found"))
        }
    }

    private func checkFrames(_ report: inout Report, _ tick: @escaping (Int) throws -> Void) throws {
        let findings = FrameFindings(record: reader.record)
        let scan = try FrameScan(reader, threads: threads) { [deep, checked] in
            FrameCheck(findings: findings, checked: checked, deep: deep)
        }
        do {
            try reader.entries { entry in
                guard case .file(let size, _, _) = entry.kind else { return }
                report.files += 1
                report.bytes += size
                try scan.add(entry)
                try tick(findings.bytes)
            }
            try scan.finish { try tick(findings.bytes) }
        } catch {
            scan.cancel()
            report.problems += findings.problems
            throw error
        }
        report.problems += findings.problems
        report.frames = findings.frames
    }

    /// Without the WAL from its begin to its end a backup cannot be made consistent.
    private func checkWAL(_ report: inout Report, _ tick: (Int) throws -> Void) throws {
        let record = reader.record
        let archive = try reader.walArchive()
        let last = WALSegment(timeline: record.timeline, endingAt: record.endLSN, size: record.walSegmentSize)
        var segment = WALSegment(timeline: record.timeline, holding: record.beginLSN, size: record.walSegmentSize)
        while segment.number <= last.number {
            try tick(0)
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
