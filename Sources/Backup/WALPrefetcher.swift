package import PostgresModel
import Repository
import Storage
import SystemPackage

/// Keeps the next segments of a recovery ready, for as long as it asks for them.
///
/// It helps and never answers: what it cannot have it leaves to who delivers, who then says what is wrong. At its end it
/// leaves nothing behind.
package struct WALPrefetcher: Sendable {
    /// A recovery that asks for nothing for so long has ended, or waits for WAL that is not archived yet.
    private static let longestSilence: Int32 = 10_000
    /// What lies ready must not be what fills the disk: so much is left free at least.
    private static let leastFree = 512 << 20

    private let prefetch: WALPrefetch
    private var window: PrefetchWindow

    /// Nil where the segments are too large to lie ready.
    package init?(_ prefetch: WALPrefetch, after segment: WALSegment) {
        guard let window = PrefetchWindow(after: segment, size: prefetch.archive.segmentSize) else { return nil }
        self.prefetch = prefetch
        self.window = window
    }

    /// Returns when the recovery asks no more, when there is nothing more for it, or when another one is at work there.
    package mutating func run() throws {
        guard try Directory.exists(prefetch.directory.removingLastComponent()) else { return }
        try Directory.make(prefetch.directory)
        guard let lock = try LockFile.take(directory: prefetch.directory) else { return }
        defer { withExtendedLifetime(lock) {} }
        defer { clear() }
        // What a killed one left.
        try Directory.removeContents(prefetch.directory)
        try Directory.make(prefetch.store)
        try serve(RequestPipe(listeningAt: prefetch.requests))
    }

    private mutating func serve(_ requests: RequestPipe) throws {
        while !window.isExhausted, !Interruption.isRequested {
            let segment = window.next
            let lines = try requests.lines(within: segment == nil ? Self.longestSilence : 0)
            if segment == nil, lines.isEmpty { return }
            for line in lines { try follow(line) }
            if lines.isEmpty, let segment { try prepare(segment) }
        }
    }

    private mutating func follow(_ request: String) throws {
        guard let segment = WALSegment(name: request, size: prefetch.archive.segmentSize) else { return }
        for stale in window.didRequest(segment) { try Directory.remove(prefetch.readyPath(stale)) }
    }

    private mutating func prepare(_ segment: WALSegment) throws {
        guard try prefetch.archive.place(of: segment) == .archived else { return window.cannotPrepare(segment) }
        let name = segment.name(size: prefetch.archive.segmentSize)
        let temporary = prefetch.directory.appending(name + ".tmp")
        guard try Directory.space(at: prefetch.directory).free.rawValue >= Self.leastFree else {
            return window.cannotPrepare(segment)
        }
        do {
            guard try WALFetch(prefetch.archive, threads: 2).run(name, to: temporary) == .delivered else {
                return window.cannotPrepare(segment)
            }
            // The server makes durable what it takes, and waits for that (src/backend/access/transam/xlogarchive.c,
            // KeepFileRestoredFromArchive): most of it should be on disk by then.
            try File(temporary, .update).startWriteback(from: 0, count: prefetch.archive.segmentSize.bytes)
            guard Directory.move(temporary, to: prefetch.readyPath(segment)) else { return window.cannotPrepare(segment) }
        } catch let failure as Failure where failure.code == .damaged {
            return window.cannotPrepare(segment)  // who delivers it will say so
        }
        window.didPrepare(segment)
    }

    /// First nobody hears any more that somebody listens here.
    private func clear() {
        // What cannot be removed is removed by the next one, or goes with the data directory.
        try? Directory.remove(prefetch.requests)
        try? Directory.removeTree(prefetch.directory)
    }
}
