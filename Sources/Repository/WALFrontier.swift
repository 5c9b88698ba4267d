package import PostgresModel
import Storage
import SystemPackage

/// Where a receiver goes on, beside servers that archive by themselves and may be ahead of it.
extension WALArchive {
    /// The end of the WAL that is here without a hole, along the newest timeline's history: WAL that is stored behind a hole
    /// was archived by a server while nothing was received, and the hole is still to be received, where a server has it.
    /// A hole that is known to be lost, or that retention made, is passed over. Nil where nothing is stored.
    package func frontier() throws -> (timeline: TimelineID, position: LSN)? {
        try ranges().last.flatMap { try frontier(of: $0.timeline) }
    }

    /// The same along another timeline's history, which is stored. Nil where nothing of it is.
    package func frontier(of timeline: TimelineID) throws -> (timeline: TimelineID, position: LSN)? {
        let ranges = try ranges()
        let lost = try notedGaps(), removed = try removedBefore()
        var frontier: (timeline: TimelineID, position: LSN)?
        for range in try path(to: timeline, ranges) {
            if let frontier, range.from > frontier.position {
                let isExplained =
                    lost.contains { gap in
                        (gap.timeline == range.timeline || gap.timeline == frontier.timeline) && gap.fromLSN <= frontier.position
                            && gap.toLSN >= range.from
                    }
                    || removed[range.timeline].map { range.from <= $0 } == true
                guard isExplained else { return frontier }
            }
            frontier = (range.timeline, max(range.to, frontier?.position ?? .zero))
        }
        return frontier
    }

    /// The ranges of a timeline and of those that it came from, as far as they are parts of its history.
    private func path(to timeline: TimelineID, _ ranges: [Range]) throws -> [Range] {
        let history = try history(of: timeline) ?? TimelineHistory(of: timeline)
        return ranges.compactMap { range in
            switch history.end(of: range.timeline) {
            case .none: return nil
            case .some(.none): return range
            case .some(.some(let end)):
                guard range.from < end else { return nil }
                var share = range
                share.to = min(range.to, end)
                return share
            }
        }
    }

    /// Removes from `incoming` what interrupted writers left half written, and what was received of segments that a server
    /// has archived whole since. The caller holds the receive lock.
    package func removeLeftovers() throws {
        for name in try Directory.names(in: incoming) ?? [] {
            if name.hasSuffix(".tmp") { try Directory.remove(incoming.appending(name)) }
            guard name.hasSuffix(".partial"), let segment = WALSegment(name: name.dropLast(8), size: segmentSize) else {
                continue
            }
            if try Directory.exists(archivedPath(segment)), try isPartOfArchived(segment) {
                // Whoever archived it may have been killed before its name was durable.
                try Directory.synchronize(archivedPath(segment).removingLastComponent())
                try Directory.synchronize(wal)
                try Directory.remove(partialPath(segment))
            } else {
                try cutOffRoom(segment)
                // Its receiver was killed between its last sync and its new name.
                if try receivedBytes(of: segment) == segmentSize.bytes {
                    try File(partialPath(segment), .update).synchronize()
                    try complete(segment)
                }
            }
        }
    }

    /// A killed receiver's file may have zeros behind what was received.
    private func cutOffRoom(_ segment: WALSegment) throws {
        guard let bytes = try receivedBytes(of: segment) else { return }
        let file = try File(partialPath(segment), .update)
        guard try file.size > bytes else { return }
        try file.truncate(to: bytes)
        try file.synchronize()
    }

    /// One that differs stays: it was acknowledged, and somebody will want to know why.
    private func isPartOfArchived(_ segment: WALSegment) throws -> Bool {
        let file = try File(partialPath(segment), .read)
        let size = try receivedBytes(of: segment) ?? 0
        var offset = 0
        var isEqual = true
        do {
            try CompressedFile.read(archivedPath(segment)) { bytes in
                let own = try file.bytes(at: offset, count: max(0, min(bytes.count, size - offset)))
                isEqual = isEqual && own.withUnsafeBytes { $0.elementsEqual(bytes.prefix(own.count)) }
                offset += bytes.count
            }
        } catch let failure as Failure where failure.code == .damaged {
            return false
        }
        return isEqual && offset >= size
    }
}
