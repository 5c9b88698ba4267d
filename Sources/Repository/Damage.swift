package import PostgresModel
import Storage
import SystemPackage

/// What verification found wrong in a backup, kept beside it until a later verification finds it well.
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

    /// What is known after a verification that looked less deep than the one before: that one's findings hold on.
    fileprivate func keeping(_ earlier: DamageReport) -> DamageReport {
        DamageReport(
            time: time, deep: true, frames: frames + earlier.frames.filter { !frames.contains($0) },
            problems: problems + earlier.problems.filter { !problems.contains($0) })
    }
}

extension Catalogue {
    func damagePath(_ id: String) -> FilePath { directory(of: id).appending("damage.json") }

    /// Nil where no verification found anything.
    package func damage(_ id: String) throws -> DamageReport? { try Record.read(damagePath(id)) }

    /// Keeps what was found in a backup; nothing wrong clears what was found before, if that verification looked as deep.
    package func note(_ damage: DamageReport, in id: String) throws {
        var damage = damage
        if let earlier = try self.damage(id), earlier.deep, !damage.deep { damage = damage.keeping(earlier) }
        if !damage.problems.isEmpty { return try Record.write(damage, to: damagePath(id)) }
        guard try Directory.exists(damagePath(id)) else { return }
        try Directory.remove(damagePath(id))
        try Directory.synchronize(directory(of: id))
    }
}

/// The frames of a backup's packs that are damaged as far as anybody knows: what verifications of any backup found, and
/// packs that are not there.
struct DamagedFrames {
    private var frames: Set<Place> = []
    private var missing: Set<Int> = []

    private struct Place: Hashable { let pack: Int, frame: Int }

    init(_ catalogue: Catalogue, packs: [String]) throws {
        let numbers = Dictionary(zip(packs, packs.indices)) { first, _ in first }
        for id in try Directory.names(in: catalogue.repository.backups) ?? [] {
            for damaged in try catalogue.damage(id)?.frames ?? [] {
                if let pack = numbers[damaged.pack] { frames.insert(Place(pack: pack, frame: damaged.frame)) }
            }
        }
        let present = Set(try Directory.names(in: catalogue.repository.packs) ?? [])
        missing = Set(packs.indices.filter { !present.contains(packs[$0] + Catalogue.packSuffix) })
    }

    var isEmpty: Bool { frames.isEmpty && missing.isEmpty }

    func contains(pack: Int, frame: Int) -> Bool {
        if isEmpty { return false }
        return missing.contains(pack) || frames.contains(Place(pack: pack, frame: frame))
    }
}
