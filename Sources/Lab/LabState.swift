import FoundationEssentials
package import Hosts
package import PostgresModel
import Storage
import SystemPackage

/// What lab.json keeps: enough to find everything that the lab started again, and to end nothing else.
package struct LabState: Codable, Sendable {
    /// Tells our file from any other lab.json.
    private(set) var kind = "pgark-lab"
    package let madeBy: Maker
    package let created: Timestamp
    package let postgresDirectory: String
    package let serverVersion: Int
    package let ports: Ports
    package var receiver: ProcessIdentity?

    package enum Maker: String, Codable, Sendable { case up, tour }

    package struct Ports: Codable, Sendable {
        package let node1: Int, node2: Int, restored: Int
    }

    package init(madeBy: Maker, programs: PostgresPrograms, ports: Ports) {
        self.madeBy = madeBy
        created = .now
        postgresDirectory = programs.directory.string
        serverVersion = programs.version.number
        self.ports = ports
    }

    package var version: ServerVersion { ServerVersion(number: serverVersion) }

    /// Nil where there is no such file; a file that is not ours is refused.
    static func read(_ path: FilePath) throws -> LabState? {
        guard let bytes = try SmallFile.read(path) else { return nil }
        guard let state = try? JSONDecoder().decode(LabState.self, from: Data(bytes)), state.kind == "pgark-lab" else {
            throw Failure(
                .foreignSystem, "could not use \(path.removingLastComponent()) as the lab: its lab.json is not ours",
                hint: "Name another directory: --directory DIR")
        }
        return state
    }

    func write(to path: FilePath) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try SmallFile.write(try encoder.encode(self), to: path, permissions: 0o644)
    }
}
