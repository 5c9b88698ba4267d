import PostgresModel
import Storage

/// Proves that the stored WAL is undamaged, also between backups: every segment of every system is read to its end, and
/// every timeline that has segments has the history that a recovery needs to get there.
package struct WALVerification {
    package struct Report: Sendable {
        package var segments = 0
        package var problems: [Verification.Problem] = []
    }

    private let repository: Repository
    private let threads: Int

    package init(_ repository: Repository, threads: Int) {
        self.repository = repository
        self.threads = threads
    }

    /// Problems are collected, not thrown; `tick` is called between segments, with how many bytes of WAL were looked at.
    package func run(tick: @escaping @Sendable (Int) throws -> Void) throws -> Report {
        var report = Report()
        for system in try repository.systems() {
            let archive = WALArchive(repository, system: system)
            let segments = try archive.segments().map(\.segment)
            report.problems += histories(of: Set(segments.map(\.timeline)), archive)
            let queue = Monitor(segments[...])
            let looked = Monitor(report.segments * system.walSegmentSize.bytes)
            let workers = (0..<max(1, threads)).map { number in
                WorkerThread("verify-\(number)") {
                    var problems: [Verification.Problem] = []
                    while let segment = queue.change({ $0.popFirst() }) {
                        try tick(looked.read { $0 })
                        problems += problem(segment, archive).map { [$0] } ?? []
                        looked.change { $0 += system.walSegmentSize.bytes }
                    }
                    return problems
                }
            }
            report.segments += segments.count
            report.problems += try workers.map { worker in Result { try worker.join() } }.flatMap { try $0.get() }
        }
        report.problems.sort { $0.file < $1.file }
        return report
    }

    // MARK: One of them

    private func histories(of timelines: Set<TimelineID>, _ archive: WALArchive) -> [Verification.Problem] {
        timelines.sorted().compactMap { timeline in
            let problem = { Verification.Problem(backup: nil, file: "WAL \(timeline.historyFileName)", message: $0) }
            do {
                guard try archive.history(of: timeline) == nil else { return nil }
                return problem("it is missing, but segments of timeline \(timeline) are stored")
            } catch {
                return problem((error as? Failure)?.message ?? "\(error)")
            }
        }
    }

    private func problem(_ segment: WALSegment, _ archive: WALArchive) -> Verification.Problem? {
        let size = archive.segmentSize
        var count = 0
        var reason: String?
        do {
            try archive.read(segment) { bytes in
                if count == 0 { reason = mismatch(bytes, segment, archive) }
                count += bytes.count
            }
            if reason == nil, case .partial? = try archive.place(of: segment) { return nil }
            if count != size.bytes { reason = reason ?? "it has \(count) bytes where \(size.bytes) are due" }
        } catch let failure as Failure where failure.code == .segmentMissing {
            return nil  // retention removed it meanwhile
        } catch {
            reason = (error as? Failure)?.message ?? "\(error)"
        }
        return reason.map { Verification.Problem(backup: nil, file: "WAL \(segment.name(size: size))", message: $0) }
    }

    private func mismatch(_ bytes: UnsafeRawBufferPointer, _ segment: WALSegment, _ archive: WALArchive) -> String? {
        guard bytes.count >= WALPageHeader.size else { return nil }  // so little is only of one that has begun
        guard let header = WALPageHeader(bytes) else { return "it does not begin with a WAL page" }
        return header.mismatch(segment: segment, size: archive.segmentSize, system: archive.system.systemIdentifier)
    }
}
