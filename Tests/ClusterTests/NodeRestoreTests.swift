@testable import Cluster
import Postgres
import PostgresModel
import Testing

/// `pgark restore --node`: what has to be known before anything is touched.
@Suite("A restore of a node")
struct NodeRestoreTests {
    private static func plan(_ change: (inout PlanExample, inout RestoreOutline) -> Void = { _, _ in }) throws -> Plan {
        var example = try PlanExample.converged()
        var outline = RestoreOutline(
            backup: "b", reason: "", remarks: [], target: "the end of WAL", timeline: 1, systemIdentifier: PlanExample.system,
            walTo: "0/5000000", walBytes: 1 << 20, bytes: 1 << 30, files: 1000, major: 18, settings: [])
        change(&example, &outline)
        let questions = RestoreQuestions(repository: "/repo", cluster: "shop", target: RecoveryTarget(), promotes: true)
        return try NodeRestore(try example.file, node: "node1", questions, outline).plan(example.facts)
    }

    @Test("sets aside what is there, makes the new server, and waits until it is the primary")
    func steps() throws {
        let plan = try Self.plan()
        #expect(plan.steps.map(\.action.title).first == "set /data aside" && plan.steps.count == 4 && plan.mayLoseData)
    }

    fileprivate struct Obstacle: CustomTestStringConvertible {
        let reason: String
        let change: @Sendable (inout PlanExample, inout RestoreOutline) -> Void
        var testDescription: String { reason }

        static let all = [
            Obstacle(reason: "is of PostgreSQL 17, and the programs there are of 18") { $1.major = 17 },
            Obstacle(reason: "are free") { example, _ in
                example.nodes["node1"]!.instance!.freeBytes = 1000 << 20
            },
            Obstacle(reason: "is a mount point") { example, _ in example.nodes["node1"]!.instance!.isMountPoint = true },
            Obstacle(reason: "node2 is a primary") { example, _ in
                example.nodes["node2"]!.instance!.server!.isInRecovery = false
            },
            Obstacle(reason: "the server of node2 may be a primary") { example, _ in
                example.nodes["node2"]!.instance!.hasStandbySignal = false
                example.nodes["node2"]!.instance!.server = nil
            },
            Obstacle(reason: "whether node2 is a primary") { example, _ in
                example.unreachable["node2"] = Failure(.hostUnreachable, "could not reach node2")
            },
        ]
    }

    @Test("is refused where it could not succeed, or there would be two primaries", arguments: Obstacle.all)
    fileprivate func refused(_ obstacle: Obstacle) throws {
        let failure = #expect(throws: Failure.self) { try Self.plan(obstacle.change) }
        #expect(failure?.message.contains(obstacle.reason) == true, "\(String(describing: failure))")
    }
}
