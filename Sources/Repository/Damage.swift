package import PostgresModel
import Storage
import SystemPackage

/// What verification found wrong in a backup, kept beside it until a later verification of it finds it well.
///
/// Backups share frames. One that is found damaged is noted in every backup that refers to it, whichever was looked at, so
/// that each says by itself what is wrong with it, and nothing is forgotten when another is deleted.
package struct DamageReport: Codable, Sendable, Equatable {
    package struct Frame: Codable, Sendable, Hashable {
        package var pack: String
        package var frame: Int

        package init(pack: String, frame: Int) {
            self.pack = pack
            self.frame = frame
        }
    }

    package var time: Timestamp
    /// It came from a verification that looked into everything.
    package var deep: Bool
    package var frames: [Frame]
    package var problems: [Verification.Problem]

    package init(time: Timestamp, deep: Bool, frames: [Frame], problems: [Verification.Problem]) {
        self.time = time
        self.deep = deep
        self.frames = frames
        self.problems = problems
    }

    /// This, and what was known before.
    fileprivate func keeping(_ earlier: DamageReport) -> DamageReport {
        let frames = Set(frames)
        return DamageReport(
            time: time, deep: deep || earlier.deep, frames: self.frames + earlier.frames.filter { !frames.contains($0) },
            problems: problems + earlier.problems.filter { !problems.contains($0) })
    }
}

extension Catalogue {
    private func damagePath(_ id: String) -> FilePath { directory(of: id).appending("damage.json") }

    /// As `damage`, without reading what it is.
    package func isKnownToBeDamaged(_ id: String) throws -> Bool { try Directory.exists(damagePath(id)) }

    /// Nil where no verification found anything. A report that cannot be read is a problem itself and stops nobody; the next
    /// verification replaces it.
    package func damage(_ id: String) throws -> DamageReport? {
        do {
            return try Record.read(damagePath(id))
        } catch let failure as Failure where failure.code == .damaged || failure.code == .inputOutput {
            let problem = Verification.Problem(
                backup: id, file: "damage.json", message: "what verifications found cannot be read: \(failure.message)")
            return DamageReport(time: .now, deep: false, frames: [], problems: [problem])
        }
    }

    /// Keeps what was found in a backup; nothing wrong clears what was found before, if that verification looked as deep.
    package func note(_ damage: DamageReport, in id: String) throws {
        var damage = damage
        // What looked less deep does not know better.
        if let earlier = try self.damage(id), earlier.deep, !damage.deep { damage = damage.keeping(earlier) }
        if !damage.problems.isEmpty { return try Record.write(damage, to: damagePath(id)) }
        guard try isKnownToBeDamaged(id) else { return }
        try Directory.remove(damagePath(id))
        try Directory.synchronize(directory(of: id))
    }

    /// Notes what a verification of one backup found in all others that refer to the same frames. Their maps are read only
    /// where they list a damaged pack. `tick` is called between backups.
    package func share(_ damage: DamageReport, tick: () throws -> Void = {}) throws {
        if damage.frames.isEmpty { return }
        for record in try entries().compactMap(\.record) {
            try tick()
            do { try note(damage.frames, deep: damage.deep, in: record) } catch let failure as Failure
                where failure.code == .damaged
            {
                continue  // its map or its list of packs, which its own verification names
            }
        }
    }

    /// Notes in a backup what verifications found while it was taken: they could not know what it would refer to.
    func noteKnownDamage(in record: BackupRecord) throws {
        let known = try knownDamage()
        try note(known.flatMap(\.frames), deep: known.contains(where: \.deep), in: record)
    }

    /// What was found in any backup.
    fileprivate func knownDamage() throws -> [DamageReport] {
        try (identifiers() ?? []).compactMap { try damage($0) }
    }

    /// Of these damaged frames, those that a backup refers to and that are not noted in it yet.
    private func note(_ frames: [DamageReport.Frame], deep: Bool, in record: BackupRecord) throws {
        let earlier = try damage(record.id)
        let noted = Set(earlier?.frames ?? [])
        let reader = BackupReader(catalogue: self, record: record)
        let packs = try reader.packs()
        let damaged = DamagedFrames(frames.filter { !noted.contains($0) }, packs: packs)
        if damaged.isEmpty { return }
        var found: Set<DamageReport.Frame> = []
        var problems: [Verification.Problem] = []
        try reader.entries { entry in
            guard case .file(_, _, let extents) = entry.kind else { return }
            var position = 0
            var isHit = false
            for extent in extents {
                if damaged.contains(pack: extent.pack, frame: extent.frame) {
                    let frame = DamageReport.Frame(pack: packs[extent.pack], frame: extent.frame)
                    found.insert(frame)
                    if !isHit { problems.append(.init(backup: record.id, file: entry.path, position: position, shared: frame)) }
                    isHit = true
                }
                position += extent.blocks
            }
        }
        if found.isEmpty { return }
        let report = DamageReport(
            time: .now, deep: deep, frames: found.sorted { ($0.pack, $0.frame) < ($1.pack, $1.frame) }, problems: problems)
        try Record.write(earlier.map { report.keeping($0) } ?? report, to: damagePath(record.id))
    }
}

extension Verification.Problem {
    /// `position` is the number of the first block that is hit, in its file.
    fileprivate init(backup: String, file: String, position: Int, shared frame: DamageReport.Frame) {
        self.init(
            backup: backup, file: file, block: RelationFile.firstBlock(ofPath: file).map { Int($0) + position },
            message: "frame \(frame.frame) of pack \(frame.pack) is damaged, as another backup's verification found")
    }
}

/// The frames of a backup's packs that are damaged as far as anybody knows: what verifications of any backup found, and
/// packs that are not there.
struct DamagedFrames {
    private var frames: Set<Place> = []
    private var missing: Set<Int> = []

    private struct Place: Hashable { let pack: Int, frame: Int }

    /// Those of `damaged` that are in one of `packs`.
    init(_ damaged: [DamageReport.Frame], packs: [String]) {
        let numbers = Dictionary(zip(packs, packs.indices)) { first, _ in first }
        for frame in damaged {
            if let pack = numbers[frame.pack] { frames.insert(Place(pack: pack, frame: frame.frame)) }
        }
    }

    init(_ catalogue: Catalogue, packs: [String]) throws {
        self.init(try catalogue.knownDamage().flatMap(\.frames), packs: packs)
        let present = Set(try Directory.names(in: catalogue.repository.packs) ?? [])
        missing = Set(packs.indices.filter { !present.contains(packs[$0] + Catalogue.packSuffix) })
    }

    var isEmpty: Bool { frames.isEmpty && missing.isEmpty }

    func contains(pack: Int, frame: Int) -> Bool {
        if isEmpty { return false }
        return missing.contains(pack) || frames.contains(Place(pack: pack, frame: frame))
    }
}
