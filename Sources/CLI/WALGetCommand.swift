import ArgumentParser
import Backup
import Cluster
import PostgresModel
import Repository
import Storage
import SystemPackage

struct WALGetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Deliver a segment or history file: restore_command = 'pgark wal get %f \"%p\"'.",
        discussion: """
            Exit status 0: delivered. 1: proved absent. Above 125: anything else, so that PostgreSQL stops and does not \
            take a failure for the end of the archive.

            For a server in recovery a process in the background keeps the next segments ready in pg_wal/pgark.prefetch. It \
            ends, and takes that directory away, when nothing was asked for in ten seconds.
            """)

    @OptionGroup var global: GlobalOptions
    @Option(help: "The recovery ends at this LSN at the latest: behind it, what is missing is absent.") var until: LSN?
    @Option(help: "The timeline that the recovery ends on: of the others, what its history left behind is absent.")
    var timeline: TimelineID?
    @Option(help: "The system identifier (default: the current one; another where the cluster was upgraded).")
    var system: SystemIdentifier?
    @Flag(inversion: .prefixedNo, help: "Keep the recovery's next segments ready in the background.") var prefetch = true
    @Argument(help: "The name of the file, %f.") var segment: String
    @Argument(help: "Where to put it, %p.") var path: String

    func run() throws {
        let output = global.output
        let file = try global.clusterFile()
        let archive = try WALGetCommand.archive(of: file, system)
        let fetch = try WALFetch(archive, until: until, timeline: timeline)
        if deliverPrefetched(archive, file, fetch) {
            return try output.data(Document(segment: segment, partialBytes: nil)) { "" }
        }
        switch try fetch.run(segment, to: FilePath(path)) {
        case .delivered:
            requestMore(archive, file)
            try output.data(Document(segment: segment, partialBytes: nil)) { "" }
        case .deliveredPartial(let bytes):
            output.note("pgark: \(segment) is unfinished; delivered its \(bytes) bytes, padded with zeros")
            try output.data(Document(segment: segment, partialBytes: bytes)) { "" }
        case .absent:
            output.failure(Failure(.segmentMissing, "could not get \(segment): it is not in the archive"))
            throw ExitCode(WALGetStatus.absent)
        }
    }

    static func archive(of file: ClusterFile, _ system: SystemIdentifier?) throws -> WALArchive {
        let repository = Repository(of: file)
        return WALArchive(repository, system: try system.map { try repository.system($0) } ?? repository.requireSystem())
    }

    // MARK: Prefetching

    /// Whatever prevents this, the archive has the segment and says what is wrong with it.
    private func deliverPrefetched(_ archive: WALArchive, _ file: ClusterFile, _ fetch: WALFetch) -> Bool {
        guard prefetch, let wanted = WALSegment(name: segment, size: archive.segmentSize), fetch.isWhole(wanted),
            let ready = try? WALPrefetch(archive, for: FilePath(path)), (try? ready.take(wanted, to: FilePath(path))) == true
        else { return false }
        requestMore(archive, file)
        return true
    }

    /// The segment is delivered: that the next ones will not lie ready is no failure of this command.
    private func requestMore(_ archive: WALArchive, _ file: ClusterFile) {
        guard prefetch, let delivered = WALSegment(name: segment, size: archive.segmentSize) else { return }
        do {
            try WALPrefetch(archive, for: FilePath(path))?.didDeliver(delivered) { folder in
                try DetachedProcess.start([
                    "wal", "prefetch", "--config", "\(file.path)", "--system", "\(archive.system.systemIdentifier)", segment,
                    "\(folder)",
                ])
            }
        } catch { global.output.note("pgark: could not prefetch WAL: \(error)") }
    }

    private struct Document: Encodable {
        let segment: String
        @Nullable var partialBytes: Int?
    }
}

/// What `wal get` starts in the background.
struct WALPrefetchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prefetch", abstract: "Keep the next segments of a recovery ready.", shouldDisplay: false)

    @OptionGroup var global: GlobalOptions
    @Option var system: SystemIdentifier
    @Argument(help: "The segment that was delivered last.") var segment: String
    @Argument(help: "The pg_wal of the server in recovery.") var folder: String

    func run() throws {
        let archive = try WALGetCommand.archive(of: global.clusterFile(), system)
        guard let delivered = WALSegment(name: segment, size: archive.segmentSize) else {
            throw Failure(.usage, "could not prefetch WAL: \"\(segment)\" is not the name of a WAL segment")
        }
        var prefetcher = WALPrefetcher(try WALPrefetch(archive, beside: Directory.absolute(FilePath(folder))), after: delivered)
        try prefetcher?.run()
    }
}
