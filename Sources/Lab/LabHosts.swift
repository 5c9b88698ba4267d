import Glibc
package import Hosts
package import Postgres
import PostgresModel
import Storage
import SystemPackage

/// The three hosts as processes on loopback: node1, node2 and the repository with its WAL receiver.
package final class LabHosts {
    package let home: LabHome
    package internal(set) var state: LabState
    package let programs: PostgresPrograms
    package let node1: PostgresInstance
    package let node2: PostgresInstance
    /// What `lab tour` restores, beside the other two.
    package let restored: PostgresInstance
    /// What `up` and `down` did; empty where there was nothing to do.
    package internal(set) var changes: [String] = []
    private let tell: Narration.Teller

    package static let standbySlot = "node2"
    package static let receiverSlot = "pgark"

    /// The lab as its lab.json describes it.
    package init(home: LabHome, state: LabState, tell: @escaping Narration.Teller = { _ in }) throws {
        self.home = home
        self.state = state
        self.tell = tell
        guard let programs = try PostgresPrograms(in: FilePath(state.postgresDirectory)) else {
            throw Failure(
                .labFailed, "could not use the lab in \(home.directory): its PostgreSQL is gone",
                details: ["programs: \(state.postgresDirectory)"])
        }
        self.programs = programs
        node1 = try PostgresInstance(
            name: "node1", programs: programs,
            places: .init(under: home.directory.appending("node1"), configurationOutside: true), port: state.ports.node1)
        node2 = try PostgresInstance(
            name: "node2", programs: programs,
            places: .init(under: home.directory.appending("node2"), configurationOutside: true), port: state.ports.node2)
        restored = try PostgresInstance(
            name: "restored", programs: programs,
            places: .init(
                data: home.restored, sockets: home.directory.appending("restored-run"),
                log: home.directory.appending("restored.log")), port: state.ports.restored)
    }

    /// A new lab in an empty home: ports are chosen and written down before anything starts.
    package static func create(
        in home: LabHome, for maker: LabState.Maker, programs: PostgresPrograms, basePort: Int,
        tell: @escaping Narration.Teller = { _ in }
    ) throws -> LabHosts {
        try programs.requireReachable()
        let ports = try LoopbackPort.free(3, from: basePort)
        let state = LabState(
            madeBy: maker, programs: programs, ports: .init(node1: ports[0], node2: ports[1], restored: ports[2]))
        try state.write(to: home.stateFile)
        return try LabHosts(home: home, state: state, tell: tell)
    }

    /// The lab that is there. Throws where it has not got far enough to have a state.
    package static func existing(in home: LabHome, tell: @escaping Narration.Teller = { _ in }) throws -> LabHosts {
        guard let state = try home.state() else {
            throw Failure(.labMissing, "could not find a lab in \(home.directory)", hint: "Make one: pgark lab up")
        }
        return try LabHosts(home: home, state: state, tell: tell)
    }

    /// The superuser's connection: the lab's own, for what an administrator does by hand.
    package func connect(to server: PostgresInstance, database: String = "postgres") throws -> Connection {
        try Connection("\(conninfo(server, database: database))", application: "pgark lab")
    }

    package func conninfo(_ server: PostgresInstance, database: String) -> Conninfo {
        Conninfo(port: server.port, user: "postgres", database: database, passfile: home.passfile)
    }

    func did(_ change: String) {
        changes.append(change)
        tell(.remark(change))
    }
}
