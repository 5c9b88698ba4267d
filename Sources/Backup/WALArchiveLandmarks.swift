package import PostgresModel
package import Repository
import Storage

/// Finds landmarks by reading the stored WAL: archived, complete and partial segments alike.
package struct WALArchiveLandmarks: WALLandmarks {
    let archive: WALArchive
    var size: WALSegmentSize { archive.segmentSize }

    package init(_ archive: WALArchive) { self.archive = archive }

    /// Commit times of neighbours in the WAL differ by the time between taking the time and writing the record, which
    /// is milliseconds. A whole segment that is older than a moment by this much has nothing later before it.
    private static let disorderSeconds = 3600.0

    // MARK: Searches

    package func search(_ query: LandmarkQuery, in stretch: WALStretch) throws -> LandmarkSearch {
        var search = LandmarkSearch()
        _ = try scan(stretch) { landmark in
            search.see(landmark)
            if query.matches(landmark) { search.match = landmark }
            return search.match == nil
        }
        return search
    }

    /// From the newest segment backwards, to one that is older than the moment by more than the disorder of times: what is
    /// asked for is near the end of the WAL more often than near the backup.
    package func ending(after time: Timestamp, orAt: Bool, in stretch: WALStretch) throws -> EndingSearch {
        var lastRecord: LSN?
        var first: WALLandmark?
        var before: WALLandmark?
        for part in backwards(stretch) {
            var newest: Timestamp?
            var later: WALLandmark?
            var earlier: WALLandmark?
            let last = try scan(part) { landmark in
                guard landmark.transaction != nil else { return true }
                newest = max(newest ?? landmark.time, landmark.time)
                if landmark.time > time || (orAt && landmark.time == time) { later = landmark } else { earlier = landmark }
                return later == nil
            }
            if let later {
                (first, before) = (later, earlier)
            } else {
                before = before ?? earlier
            }
            lastRecord = lastRecord ?? last
            if let newest, time - newest > Self.disorderSeconds { break }
        }
        return first.map { .found($0, before: before) } ?? .none(lastRecord: lastRecord)
    }

    package func lastRecord(in stretch: WALStretch) throws -> LSN? {
        for part in backwards(stretch) {
            if let last = try scan(part, { _ in true }) { return last }
        }
        return nil
    }

    /// The stretch in parts of one segment, the newest first.
    func backwards(_ stretch: WALStretch) -> some Sequence<WALStretch> {
        let first = size.start(of: stretch.from)
        let starts = sequence(state: stretch.to) { end -> WALStretch? in
            guard end > stretch.from, end > first else { return nil }
            let start = size.start(of: LSN(rawValue: end.rawValue - 1))
            defer { end = start }
            return WALStretch(history: stretch.history, from: max(start, stretch.from), to: end, reach: stretch.reach)
        }
        return starts
    }

    // MARK: Reading

    /// Ends the reading of a segment whose rest is not needed.
    private struct Enough: Error {}

    /// Shows the landmarks of the stretch to `body`, in order, until it says false. Returns where the last record
    /// begins that was read.
    func scan(_ stretch: WALStretch, _ body: (WALLandmark) -> Bool) throws -> LSN? {
        var reader = WALRecordReader(start: size.start(of: stretch.from), segmentSize: size)
        var wantsMore = stretch.from < stretch.to
        while wantsMore, reader.end == nil, reader.frontier < stretch.to, reader.position < stretch.reach {
            try Interruption.check()
            let start = reader.position
            try read(segment(at: start, stretch.history), upTo: stretch.reach - start) { bytes in
                reader.read(bytes) { if wantsMore, stretch.holds($0) { wantsMore = body($0) } }
                guard wantsMore, reader.end == nil, reader.frontier < stretch.to else { throw Enough() }
            }
            guard size.offset(of: reader.position) == 0, reader.position > start else { break }  // the segment is not whole
        }
        if case .unknownFormat(let magic) = reader.end {
            throw Failure(
                .unsupported, "could not read the WAL at \(reader.position): its format \(String(magic, radix: 16)) is not known",
                hint: "A newer pgark may know it.")
        }
        return reader.lastRecord
    }

    /// The file with the WAL of this history: of several timelines that share a segment the newest, which begins with a
    /// copy of the others' (PostgreSQL: src/backend/access/transam/xlog.c, XLogInitNewTimeline).
    private func segment(at start: LSN, _ history: TimelineHistory) -> WALSegment {
        let last = LSN(rawValue: start.rawValue + UInt64(size.bytes) - 1)
        return WALSegment(timeline: history.timeline(at: last), holding: start, size: size)
    }

    private func read(_ segment: WALSegment, upTo limit: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        var left = limit
        do {
            try archive.read(segment) { bytes in
                guard left > 0 else { throw Enough() }
                let piece = UnsafeRawBufferPointer(rebasing: bytes.prefix(left))
                left -= piece.count
                try body(piece)
            }
        } catch is Enough {
            return
        }
    }
}
