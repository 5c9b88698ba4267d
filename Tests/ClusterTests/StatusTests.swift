@testable import Cluster
import PostgresModel
import Testing

@Suite struct StatusTests {
    @Test func aStandbyShowsItsUpstreamItsSlotAndItsLag() throws {
        var example = try Example()
        example.standby?.positions.replayed = LSN("0/4FFFF00")
        let node = example.view.nodeStatuses[1]
        #expect(node.role == .standby)
        #expect(node.state == "streaming")
        #expect(node.upstream == "node1")
        #expect(node.slot == "node2")
        #expect(node.sync == "async")
        #expect(node.lagBytes == 0x100)
        #expect(node.lagSeconds == 0.5)
    }

    @Test func aStandbyThatHasEverythingIsNotLateHoweverOldTheLastCommitIs() throws {
        var example = try Example()
        example.standby?.positions.replayedAgeSeconds = 86_400
        #expect(example.view.nodeStatuses[1].lagSeconds == 0)
    }

    @Test func anUnreachableNodeHidesNoOther() throws {
        var example = try Example()
        example.standby = nil
        let statuses = example.view.nodeStatuses
        #expect(statuses.map(\.role) == [.primary, .unreachable])
        #expect(statuses[1].state.contains("refused"))
        #expect(example.view.timeline == .first)
        #expect(
            example.view.warnings == [
                "connection (node2): no server runs there: could not connect to PostgreSQL at b:5432: Connection refused"
            ])
    }

    @Test func theUpstreamIsFoundByItsSlotWhereItsAddressIsAnotherOne() throws {
        var example = try Example()
        example.standby?.walReceiver?.senderHost = "10.9.9.9"
        #expect(example.view.nodeStatuses[1].upstream == "node1")
        example.standby?.walReceiver?.slot = "unknown"
        #expect(example.view.nodeStatuses[1].upstream == "10.9.9.9:5432")
    }

    @Test func theRepositorysLagIsWhatTheServerWasNotToldToBeDurable() throws {
        var example = try Example()
        example.primary.walSenders[0].flushedLSN = LSN("0/4FFFF00")
        #expect(example.view.repositoryLagBytes == 0x100)
        #expect(example.view.receiverNode == "node1")
    }

    @Test func aServerThatAnswersAndRefusesIsUnknownAndNotUnreachable() throws {
        let example = try Example()
        let failure = Failure(.authenticationFailed, "could not log in", hint: "passfile")
        let view = ClusterView(
            file: example.file,
            nodes: [example.view.nodes[0], NodeObservation(node: "node2", state: .refusing(failure))], repository: example.facts,
            time: Example.now)
        #expect(view.nodeStatuses[1].role == .unknown)
        #expect(view.warnings.contains("connection (node2): a server answers there, but not us: could not log in"))
    }

    @Test func eachSlotIsOfANodeOrOfTheRepositoryOrNotOurs() throws {
        var example = try Example.cascading()
        example.primary.slots.append(Example.slot("old", process: nil, application: nil))
        example.primary.slots.append(Example.slot("other", process: 77, application: "pg_receivewal"))
        let slots = example.view.slotStatuses
        func line(_ node: String) -> [String] {
            slots.filter { $0.node == node }.map { "\($0.slot) \($0.owner ?? "-") \($0.managed) \($0.state)" }
        }
        #expect(
            line("node1") == [
                "pgark the repository true active", "node2 node2 true active", "node3 node3 true spare", "old - false waiting",
                "other pg_receivewal false active",
            ])
        #expect(line("node2") == ["node1 node1 true spare", "pgark the repository true spare", "node3 node3 true active"])
        #expect(line("node3") == ["node1 node1 true spare", "node2 node2 true spare", "pgark the repository true spare"])
    }

    @Test func theReceiversSlotIsMissedOnThePrimaryAndNotFoundOnAStandbyThatOnlyKeepsOne() throws {
        var example = try Example()
        example.primary.slots.removeFirst()
        let remark = try #require(example.remarks.first)
        #expect(remark.name == .slot && remark.node == "node1" && example.remarks.count == 1)
    }

    @Test func anUpstreamThatDoesNotAnswerUsHasItsNameStill() throws {
        var example = try Example.cascading()
        example.standby = nil
        #expect(example.view.nodeStatuses[2].upstream == "node2")
    }

    @Test func whatWasHeardLongAgoIsNoLongerSo() throws {
        let known = try Example().view.nodes[0]
        func state(_ heard: Double?, now: Double) -> String? {
            ClusterWatch.observation(of: "node1", heard.map { (known, UInt64($0 * 1e9)) }, now: UInt64(now * 1e9)).failure?
                .message
        }
        #expect(state(100, now: 105) == nil)
        #expect(state(100, now: 112) == "could not ask node1: no answer for 12 s")
        #expect(state(nil, now: 100) == "could not ask node1: no answer yet")
    }
}
