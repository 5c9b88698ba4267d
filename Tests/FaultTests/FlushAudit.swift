import PostgresModel

/// Judges a traced WAL receiver: whether each position that it reported as flushed was durable when it said so.
///
/// The rules (promise P1), each of which is one `throw` below:
/// - a byte is durable once fdatasync of its file, begun after its write had ended, has returned 0;
/// - a file's name is durable once fsync of its directory, begun after the file was made, has returned 0;
/// - zeros written ahead of what is received (pwritev) are no bytes of it: they count as nothing here;
/// - a fdatasync that fails loses what was written since the one before (the kernel may have dropped it), until it is
///   written again;
/// - a report ('r') names no flush beyond the durable bytes and no write beyond the written ones, without a hole;
/// - the raw form of a segment is removed only after its compressed form, and that one's name, are durable.
struct FlushAudit {
    struct Report: Equatable {
        /// Reports that said more than the one before.
        var advances = 0
        var lastFlush: UInt64 = 0
        var completed = 0
        var archived = 0
        var failedSyncs = 0
    }

    /// Bytes from the start of a file.
    private struct File {
        var written = 0
        var durable = 0
        var hasDurableName = false
    }

    private let segmentSize: WALSegmentSize
    private var report = Report()
    private var files: [String: File] = [:]
    /// A sync or a change of name that runs: what it will have made durable, by thread.
    private var syncing: [String: Int] = [:]
    private var unsyncedNames: [String: Set<String>] = [:]
    private var namesBeingSynced: [String: Set<String>] = [:]
    private var start: UInt64?

    static func run(_ text: String, segmentSize: WALSegmentSize) throws -> Report {
        var audit = FlushAudit(segmentSize: segmentSize)
        for event in try SystemCallTrace(parsing: text).events {
            switch event {
            case .begin(let call): try audit.begin(call)
            case .end(let call): try audit.end(call)
            }
        }
        return audit.report
    }

    private init(segmentSize: WALSegmentSize) { self.segmentSize = segmentSize }

    private mutating func begin(_ call: SystemCallTrace.Call) throws {
        switch call.name {
        case "fdatasync": syncing[call.thread] = files[call.file]?.written ?? 0
        case "fsync": namesBeingSynced[call.thread] = unsyncedNames[call.file] ?? []
        case "sendto": try messages(call)
        case "unlink": try remove(call)
        default: break
        }
    }

    private mutating func end(_ call: SystemCallTrace.Call) throws {
        guard let result = call.result else { return }
        switch call.name {
        case "openat" where result >= 0 && call.arguments.contains("O_CREAT"): try create(call)
        case "pwrite64" where result > 0: try write(call, count: result)
        case "fdatasync":
            if result == 0 {
                files[call.file, default: File()].durable = max(files[call.file]?.durable ?? 0, syncing[call.thread] ?? 0)
            } else {
                report.failedSyncs += 1
                files[call.file, default: File()].written = files[call.file]?.durable ?? 0
            }
        case "fsync" where result == 0:
            for name in namesBeingSynced[call.thread] ?? [] {
                files[name]?.hasDurableName = true
                unsyncedNames[call.file]?.remove(name)
            }
        case "rename" where result == 0: try rename(call)
        case "link" where result == 0: try link(call)
        default: break
        }
    }

    // MARK: Files

    private static func directory(of path: String) -> String {
        path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    }

    private mutating func create(_ call: SystemCallTrace.Call) throws {
        guard let path = try call.paths.first, files[path] == nil || call.arguments.contains("O_TRUNC") else { return }
        files[path] = File()
        unsyncedNames[Self.directory(of: path), default: []].insert(path)
    }

    private mutating func write(_ call: SystemCallTrace.Call, count: Int) throws {
        // The bytes themselves may be cut short; where they went may not.
        guard let offset = call.numbers.last else {
            throw TraceFailure("a write without an offset: \(call.arguments.suffix(40))")
        }
        let file = files[call.file] ?? File()
        guard offset <= file.written else {
            throw TraceFailure("\(call.file): written at \(offset), which leaves a hole after \(file.written)")
        }
        files[call.file, default: File()].written = max(file.written, offset + count)
    }

    private mutating func rename(_ call: SystemCallTrace.Call) throws {
        let paths = try call.paths
        guard paths.count == 2, let file = files.removeValue(forKey: paths[0]) else { return }
        if paths[0].hasSuffix(".partial") {
            guard file.durable == segmentSize.bytes else {
                throw TraceFailure("\(paths[0]): completed with \(file.durable) durable bytes")
            }
            report.completed += 1
        }
        unsyncedNames[Self.directory(of: paths[1]), default: []].insert(paths[1])
        unsyncedNames[Self.directory(of: paths[0])]?.remove(paths[0])
        // After a crash the file has one name or the other, so a durable name stays one; but a temporary one does not count.
        let keepsName = file.hasDurableName && !paths[0].hasSuffix(".tmp")
        files[paths[1]] = File(written: file.written, durable: file.durable, hasDurableName: keepsName)
    }

    /// A second name, which is as durable as its directory's next sync makes it.
    private mutating func link(_ call: SystemCallTrace.Call) throws {
        let paths = try call.paths
        guard paths.count == 2, let file = files[paths[0]] else { return }
        unsyncedNames[Self.directory(of: paths[1]), default: []].insert(paths[1])
        files[paths[1]] = File(written: file.written, durable: file.durable)
    }

    private mutating func remove(_ call: SystemCallTrace.Call) throws {
        guard let path = try call.paths.first, let name = path.split(separator: "/").last.map(String.init),
            path.contains("/incoming/"),
            WALSegment(name: name, size: segmentSize) != nil
        else { return }
        let archived = files.first { $0.key.hasSuffix("/\(name).zst") }?.value
        guard let archived, archived.durable > 0, archived.durable == archived.written, archived.hasDurableName else {
            throw TraceFailure("\(name): removed before its archived form was durable")
        }
        files[path] = nil
        report.archived += 1
    }

    // MARK: Reports

    /// The messages of one send. All of libpq's have a kind and a length, but for the first one of a connection.
    private mutating func messages(_ call: SystemCallTrace.Call) throws {
        guard let bytes = try call.strings().first, bytes.first != 0 else { return }
        var rest = bytes[...]
        while rest.count >= 5 {
            let kind = rest[rest.startIndex]
            let length = Int(Self.integer(rest.dropFirst().prefix(4)))
            guard length >= 4, rest.count > length else {
                throw TraceFailure("a message of \(length) bytes in a send of \(rest.count)")
            }
            let body = rest.dropFirst(5).prefix(length - 4)
            if kind == UInt8(ascii: "d"), body.first == UInt8(ascii: "r") { try status(Array(body)) }
            if kind == UInt8(ascii: "Q") { try command(String(decoding: body.dropLast(), as: UTF8.self)) }
            rest = rest.dropFirst(length + 1)
        }
        guard rest.isEmpty else { throw TraceFailure("a send ends within a message") }
    }

    private static func integer(_ bytes: some Sequence<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    private mutating func command(_ text: String) throws {
        guard text.hasPrefix("START_REPLICATION"), start == nil else { return }
        let words = text.split(separator: " ")
        guard let position = words.lazy.compactMap({ LSN(String($0)) }).first else { throw TraceFailure("no position: \(text)") }
        start = position.rawValue
    }

    private mutating func status(_ body: [UInt8]) throws {
        guard body.count == 34, let start else { throw TraceFailure("a report of \(body.count) bytes before the stream began") }
        let written = Self.integer(body[1..<9])
        let flushed = Self.integer(body[9..<17])
        let applied = Self.integer(body[17..<25])
        let durableEnd = end(from: start) { $0.hasDurableName ? $0.durable : 0 }
        guard flushed <= durableEnd else {
            throw TraceFailure("flushed up to \(LSN(rawValue: flushed)) reported, durable is \(LSN(rawValue: durableEnd))")
        }
        guard written <= end(from: start, \.written), flushed <= written, applied <= flushed else {
            throw TraceFailure("written up to \(LSN(rawValue: written)) reported, which is not so")
        }
        if flushed > report.lastFlush { report.advances += 1 }
        report.lastFlush = max(report.lastFlush, flushed)
    }

    /// How far the segments of timeline 1 reach from `start` without a hole, whatever form each of them has.
    private func end(from start: UInt64, _ count: (File) -> Int) -> UInt64 {
        var position = start
        while true {
            let segment = WALSegment(timeline: .first, holding: LSN(rawValue: position), size: segmentSize)
            let name = segment.name(size: segmentSize)
            let begin = segment.start(size: segmentSize).rawValue
            let forms = files.filter { Self.segmentName($0.key) == name && !$0.key.hasSuffix(".tmp") }
            let reach =
                forms.map { file in
                    // Only a whole segment is ever compressed; the tests of the archive prove the content.
                    file.key.hasSuffix(".zst") ? (count(file.value) > 0 ? segmentSize.bytes : 0) : count(file.value)
                }.max() ?? 0
            guard reach == segmentSize.bytes else { return max(position, begin + UInt64(reach)) }
            position = begin + UInt64(segmentSize.bytes)
        }
    }

    private static func segmentName(_ path: String) -> String {
        path.split(separator: "/").last.map { $0.split(separator: ".").first.map(String.init) ?? "" } ?? ""
    }
}
