/// Judges a traced command that writes to a repository: whether a power cut at any moment leaves it as before or as after.
///
/// The rules (promises P2 and P4), each of which is one `throw` below:
/// - a file takes its final name only when its bytes are durable;
/// - a backup's record takes its name only when all files of the backup and all packs are durable, and their names;
/// - a pack is removed, or written anew, only when it is durable that no deleted backup has a record;
/// - in the end there is nothing that is not durable.
struct CommitAudit {
    struct Report: Equatable {
        var records = 0
        var removedPacks = 0
        var rewrittenPacks = 0
    }

    private struct File {
        var writes = 0
        var durableWrites = 0
        var isDurable: Bool { writes == durableWrites }
    }

    private let root: String
    private var report = Report()
    private var files: [String: File] = [:]
    /// Names that were made, changed or removed in a directory since it was synced.
    private var names: [String: Set<String>] = [:]
    /// What runs, by thread: the writes of a file that a sync covers, the names of a directory.
    private var syncing: [String: (writes: Int, names: Set<String>)] = [:]
    private var removed: Set<String> = []

    /// `root` is the cluster's part of the repository.
    static func run(_ text: String, root: String) throws -> Report {
        var audit = CommitAudit(root: root)
        for event in try SystemCallTrace(parsing: text).events {
            switch event {
            case .begin(let call): try audit.begin(call)
            case .end(let call): try audit.end(call)
            }
        }
        try audit.requireDurable("the end", in: ["packs", "backups"])
        return audit.report
    }

    private init(root: String) { self.root = root }

    private mutating func begin(_ call: SystemCallTrace.Call) throws {
        switch call.name {
        case "fdatasync", "fsync": syncing[call.thread] = (files[call.file]?.writes ?? 0, names[call.file] ?? [])
        case "rename": try rename(call)
        case "unlink": try unlink(call)
        default: break
        }
    }

    private mutating func end(_ call: SystemCallTrace.Call) throws {
        guard let result = call.result, result >= 0 else { return }
        switch call.name {
        case "openat" where call.arguments.contains("O_CREAT"):
            guard let path = try call.paths.first, isOurs(path), files[path] == nil || removed.contains(path) else { return }
            removed.remove(path)
            files[path] = File()
            touch(path)
        case "mkdir": if let path = try call.paths.first { touch(path) }
        case "pwrite64", "ftruncate":
            if isOurs(call.file), !removed.contains(call.file) { files[call.file, default: File()].writes += 1 }
        case "fdatasync", "fsync":
            guard let covered = syncing.removeValue(forKey: call.thread) else { return }
            if let file = files[call.file] { files[call.file]!.durableWrites = max(file.durableWrites, covered.writes) }
            names[call.file]?.subtract(covered.names)
        default: break
        }
    }

    // MARK: Names

    private func isOurs(_ path: String) -> Bool { path.hasPrefix(root + "/") }

    private static func parent(_ path: String) -> String {
        path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    }

    private mutating func touch(_ path: String) {
        if isOurs(path) { names[Self.parent(path), default: []].insert(path) }
    }

    private mutating func rename(_ call: SystemCallTrace.Call) throws {
        let paths = try call.paths
        guard paths.count == 2, isOurs(paths[1]) else { return }
        let file = files.removeValue(forKey: paths[0])
        guard file?.isDurable != false else { throw TraceFailure("\(paths[1]): named before its bytes are durable") }
        if paths[1].hasSuffix("/backup.json") {
            try requireDurable("a record", in: ["packs", "backups"], besides: [paths[0]])
            report.records += 1
        }
        if paths[1].hasSuffix(".pack") {
            try requireNoDeletedRecord(paths[1])
            report.rewrittenPacks += files[paths[1]] == nil ? 1 : 0
        }
        files[paths[1]] = file
        for path in paths { touch(path) }
    }

    private mutating func unlink(_ call: SystemCallTrace.Call) throws {
        guard let path = try call.paths.first, isOurs(path) else { return }
        if path.hasSuffix(".pack") {
            try requireNoDeletedRecord(path)
            report.removedPacks += 1
        }
        // What comes back after a power cut is a leftover, which is taken away again.
        files[path] = nil
        removed.insert(path)
        names[Self.parent(path)]?.remove(path)
    }

    // MARK: Rules

    private func requireDurable(_ what: String, in parts: [String], besides exceptions: Set<String> = []) throws {
        for part in parts.map({ "\(root)/\($0)" }) {
            if let file = files.first(where: { $0.key.hasPrefix(part) && !$0.value.isDurable && !exceptions.contains($0.key) }) {
                throw TraceFailure("\(what): before the bytes of \(file.key) are durable")
            }
            for (directory, names) in names where directory.hasPrefix(part) && !removed.contains(directory) {
                if let name = names.first(where: { !exceptions.contains($0) && (files[$0] != nil || !$0.hasSuffix(".tmp")) }) {
                    throw TraceFailure("\(what): before the name \(name) is durable")
                }
            }
        }
    }

    private func requireNoDeletedRecord(_ pack: String) throws {
        let name = names.values.joined().first { $0.hasSuffix("/backup.json") || $0.hasSuffix("/backup.json.deleted") }
        if let name { throw TraceFailure("\(pack): gone before it is durable that \(name) is") }
    }
}
