import PostgresModel
import Repository
import Storage
import SystemPackage

/// Writes what a backup's map has into the destination: directories, links, files. All but the control file, which is left
/// to the caller, because it is what makes a directory one that can be started.
struct DataDirectoryWriter {
    let reader: BackupReader
    let outline: MapOutline
    let destination: RestoreDestination
    let threads: Int
    /// What is in place is kept where it is right, and everything else there is removed.
    let reuses: Bool
    let reporter: Reporter

    struct Written {
        var files = 0
        var bytes = 0
        /// What was not in place already.
        var writtenBytes = 0
        var control: MapEntry?
    }

    func run() throws -> Written {
        if reuses { try removeForeign() }
        var written = Written()
        let progress = WriteProgress()
        let scan = try FrameScan(reader, threads: threads) { [destination, reuses] in
            FileWriter(destination: destination, reuses: reuses, progress: progress)
        }
        do {
            try reader.entries { entry in
                try Interruption.check()
                try write(entry, scan, &written)
                reporter.progress(progress.done, reader.record.dataBytes)
            }
            try scan.finish { reporter.progress(progress.done, reader.record.dataBytes) }
        } catch {
            scan.cancel()
            throw error
        }
        written.writtenBytes = progress.written
        return written
    }

    private func write(_ entry: MapEntry, _ scan: FrameScan, _ written: inout Written) throws {
        let path = destination.path(of: entry.path)
        switch entry.kind {
        case .directory:
            try Directory.create(path, permissions: entry.mode, owner: destination.owner)
            try Directory.setPermissions(of: path, entry.mode)
        case .link(let target): try link(entry.path, to: target, at: path)
        case .file(let size, _, let extents):
            if RestoreDestination.ownNames.contains(entry.path) { return }
            written.files += 1
            written.bytes += size
            if entry.path == ControlFile.name {
                written.control = entry
                return
            }
            if reuses { try makeReusable(path, entry.mode, size) }
            if extents.isEmpty {
                let file = try File(path, .replace, permissions: entry.mode)
                try file.setOwnerIfRoot(destination.owner)
            } else {
                try scan.add(entry)
            }
        }
    }

    /// A tablespace's link leads to where this restore put it.
    private func link(_ name: String, to target: String, at path: FilePath) throws {
        let oid = name.hasPrefix("pg_tblspc/") ? String(name.dropFirst("pg_tblspc/".count)) : nil
        let place = oid.flatMap { destination.tablespaces[$0] }
        let path = place == nil ? path : destination.directory.appending(name)
        let target = place?.string ?? target
        if reuses {
            if Directory.linkTarget(path)?.string == target { return }
            try Directory.removeTree(path)
        }
        try Directory.link(target, at: path, owner: destination.owner)
    }

    // MARK: A directory with content

    /// A file that is there gets the right owner and mode, and loses what it has too much. One with several names is somebody
    /// else's too (pg_upgrade --link, cp --link), so it only loses this name.
    private func makeReusable(_ path: FilePath, _ mode: UInt32, _ size: Int) throws {
        guard let status = try Directory.status(path) else { return }
        if status.links > 1 { return try Directory.remove(path) }
        if status.permissions != mode { try Directory.setPermissions(of: path, mode) }
        if Owner.current.isRoot, status.owner != destination.owner { try Directory.setOwner(of: path, destination.owner) }
        if status.size > size { try File(path, .update).truncate(to: size) }
    }

    /// Removes what the backup does not have, or has as another kind of thing; in a tablespace's location only from the
    /// cluster's own directory.
    private func removeForeign() throws {
        let scratch = destination.directory.appending(RestoreDestination.marker + ".map")
        try Directory.removeTree(scratch)  // of one that was killed before the file had lost its name
        let index = try MapIndex(reader.mapPath, scratch: scratch)
        try removeForeign(in: destination.directory, "", index)
        for name in outline.versionDirectories.sorted() { try removeForeign(destination.path(of: name), name, index) }
    }

    private func removeForeign(in place: FilePath, _ prefix: String, _ index: MapIndex) throws {
        for name in try Directory.names(in: place) ?? [] where !(prefix.isEmpty && RestoreDestination.ownNames.contains(name)) {
            try removeForeign(place.appending(name), prefix + name, index)
        }
    }

    private func removeForeign(_ path: FilePath, _ name: String, _ index: MapIndex) throws {
        try Interruption.check()
        let kind = try Directory.status(path)?.kind
        switch (kind, try index.entry(name)?.kind) {
        case (.directory, .directory): try removeForeign(in: path, name + "/", index)
        case (.file, .file), (.symbolicLink, .link): break
        default: try Directory.removeTree(path)
        }
    }
}

extension DataDirectoryWriter {
    /// The last step: now a server can be started from the directory. Durable when it returns.
    func writeControlFile(_ entry: MapEntry?) throws {
        guard let entry, case .file(let size, _, let extents) = entry.kind else {
            throw Failure(.damaged, "could not restore backup \(reader.record.id): its map has no \(ControlFile.name)")
        }
        let frames = try reader.frames()
        var content: [UInt8] = []
        for extent in extents { content += try frames.blocks(extent) }
        content.removeLast(content.count - size)
        try SmallFile.write(
            content, to: destination.path(of: entry.path), permissions: entry.mode,
            owner: Owner.current.isRoot ? destination.owner : nil)
    }
}
